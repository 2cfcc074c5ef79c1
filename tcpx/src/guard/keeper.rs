//! Threads with file tables of their own, which hold the sockets of many ports: the limit on open
//! files counts for each table, so that ports take nothing from the files of the process.

use crate::error::Error;
use crate::privileges;
use socket2::Socket;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, JoinHandle};

/// Bytes of stack: a keeper makes system calls and little else.
const STACK: usize = 128 * 1024;

type Job = Box<dyn FnOnce(&mut Vec<Socket>) + Send>;

/// One such thread. It ends, and its sockets with it, when this is dropped, and with the process.
#[derive(Debug)]
pub(super) struct Keeper {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// # Errors
    /// The system refuses a thread or a file table of its own (Linux before 5.9, a seccomp filter).
    pub(super) fn start() -> io::Result<Keeper> {
        let (jobs, waiting) = mpsc::channel();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let keep = move || {
            let separate = separate_files();
            let goes_on = separate.is_ok();
            // The other side waits for this.
            _ = ready.send(separate);
            if goes_on {
                work(&waiting);
            }
        };
        let builder = Builder::new().name("tcpx-ports".into()).stack_size(STACK);
        let keeper = Keeper {
            thread: Some(builder.spawn(keep)?),
            jobs: Some(jobs),
        };
        is_ready
            .recv()
            .map_err(|_| io::Error::other("a thread died"))??;
        Ok(keeper)
    }

    /// Does something with the sockets, in their thread, and waits for the outcome.
    pub(super) fn with<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Vec<Socket>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, outcome) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |sockets| _ = done.send(job(sockets)));
        if let Some(jobs) = &self.jobs {
            // A thread that died is found out below.
            _ = jobs.send(job);
        }
        outcome.recv().unwrap_or_else(|_| {
            Err(Error::Io {
                act: "hold ports",
                source: io::Error::other("a thread died"),
            })
        })
    }

    /// It needs no privilege any more.
    pub(super) fn drop_privileges(&self) -> Result<(), Error> {
        self.with(|_| {
            privileges::keep_only(&[]);
            Ok(())
        })
    }
}

impl Drop for Keeper {
    /// The ports are free afterwards.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was an error of the job.
            _ = thread.join();
        }
    }
}

fn work(jobs: &Receiver<Job>) {
    let mut sockets = Vec::new();
    while let Ok(job) = jobs.recv() {
        job(&mut sockets);
    }
}

/// Gives this thread a file table of its own, with standard input, output and error alone.
fn separate_files() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: no descriptor is used by this thread, and those of the others stay open.
    match unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
