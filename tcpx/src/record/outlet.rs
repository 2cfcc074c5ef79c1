//! A file or terminal that may be slow, full or gone, written from a thread of its own so that TCP's timers never wait for it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many octets may wait for a slow reader before the outlet is given up.
const MOST_WAITING: usize = 64 << 20;

/// How long the end of a run waits for a reader that does not read.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What could not be written, shared by all outlets of a run.
#[derive(Clone, Default, Debug)]
pub struct Failures(Arc<Mutex<Vec<String>>>);

impl Failures {
    /// Notes a failure, and says it on stderr at once.
    pub fn note(&self, message: String) {
        let _nobody_reads_stderr = writeln!(anstream::stderr(), "{message}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }

    /// Whether anything was lost.
    pub fn any(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Collects what is written until [`flush`](Write::flush), then hands it to the thread. `write` never fails and never blocks: the first
/// failure goes to [`Failures`], and all that comes after it is dropped. Dropping the outlet writes out the rest.
pub struct Outlet {
    name: String,
    buffer: Vec<u8>,
    queue: Option<Sender<Vec<u8>>>,
    waiting: Arc<AtomicUsize>,
    finished: Receiver<()>,
    failures: Failures,
}

impl Outlet {
    /// Starts the thread. `name` is what a failure calls it.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(name: impl Into<String>, into: impl Write + Send + 'static, failures: Failures) -> io::Result<Outlet> {
        let name = name.into();
        let (queue, chunks) = channel();
        let (done, finished) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (counter, noted, called) = (waiting.clone(), failures.clone(), name.clone());
        std::thread::Builder::new().name("outlet".into()).spawn(move || {
            if let Err(error) = write_all(into, &chunks, &counter) {
                noted.note(format!("cannot write to {called}: {error}; nothing more goes there, the connection goes on"));
            }
            let _owner_gave_up = done.send(());
        })?;
        Ok(Outlet { name, buffer: Vec::new(), queue: Some(queue), waiting, finished, failures })
    }
}

fn write_all(mut into: impl Write, chunks: &Receiver<Vec<u8>>, waiting: &AtomicUsize) -> io::Result<()> {
    for chunk in chunks {
        into.write_all(&chunk)?;
        into.flush()?;
        waiting.fetch_sub(chunk.len(), Ordering::Relaxed);
    }
    Ok(())
}

impl Write for Outlet {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.queue.is_some() {
            self.buffer.extend_from_slice(octets);
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(queue) = self.queue.as_ref().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        let len = self.buffer.len();
        if self.waiting.fetch_add(len, Ordering::Relaxed) + len > MOST_WAITING {
            self.failures.note(format!("{}: its reader is too slow, {MOST_WAITING} octets wait; nothing more goes there", self.name));
            self.queue = None;
        } else if queue.send(std::mem::take(&mut self.buffer)).is_err() {
            self.queue = None;
        }
        Ok(())
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let _never_fails = self.flush();
        self.queue = None;
        if self.finished.recv_timeout(LAST_WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            self.failures.note(format!("{}: its reader does not read, the rest is lost", self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn outlet_dropped_has_written_everything_in_order() {
        let (reader, writer) = io::pipe().unwrap();
        let failures = Failures::default();
        let mut outlet = Outlet::new("pipe", writer, failures.clone()).unwrap();
        for n in 0..100 {
            writeln!(outlet, "{n}").unwrap();
            outlet.flush().unwrap();
        }
        drop(outlet);
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(io::read_to_string(reader).unwrap(), expected);
        assert!(!failures.any());
    }

    #[test]
    fn full_disk_is_one_failure_and_writing_goes_on() {
        let failures = Failures::default();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut outlet = Outlet::new("events.jsonl", full, failures.clone()).unwrap();
        for _ in 0..100 {
            outlet.write_all(b"line\n").unwrap();
            outlet.flush().unwrap();
        }
        drop(outlet);
        let messages = failures.0.lock().unwrap();
        assert_eq!(messages.len(), 1);
        assert!(messages[0].starts_with("cannot write to events.jsonl: No space left on device"), "{messages:?}");
    }

    #[test]
    fn reader_that_stops_is_one_failure_and_nobody_blocks() {
        let (reader, writer) = io::pipe().unwrap();
        let failures = Failures::default();
        let mut outlet = Outlet::new("pipe", writer, failures.clone()).unwrap();
        for _ in 0..3 {
            outlet.write_all(&vec![0; MOST_WAITING / 2]).unwrap();
            outlet.flush().unwrap();
        }
        assert!(failures.any());
        drop(reader);
        drop(outlet);
    }
}
