//! A program at work: what it says can be awaited line by line, and it ends with the test.

use super::PATIENCE;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running program. Killed when dropped before its end.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    said: String,
    stdout: Option<JoinHandle<Vec<u8>>>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status; None: a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts it with an empty stdin; its stdout is collected.
    pub(crate) fn start(command: &mut Command) -> Program {
        Program::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))
    }

    /// Starts it with a pipe for its stdin; its stdout is collected.
    pub(crate) fn start_with_input(command: &mut Command) -> (Program, ChildStdin) {
        let mut program = Program::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let input = program.child.stdin.take().unwrap();
        (program, input)
    }

    /// Starts it with stdin and stdout as the command has them. Tests that run in the background
    /// have SIGINT ignored, and our programs would leave it so.
    pub(crate) fn spawn(command: &mut Command) -> Program {
        // SAFETY: between fork and exec the closure makes system calls alone and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGUSR1] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            })
        };
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let stdout = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut all = Vec::new();
                let _as_far_as_it_goes = stdout.read_to_end(&mut all);
                all
            })
        });
        Program {
            child,
            lines,
            said: String::new(),
            stdout,
        }
    }

    /// Waits for a line on stderr that contains `words`.
    pub(crate) fn wait_for(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("never said {words:?}, but:\n{}", self.said);
            };
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end_by(self, signal: Signal) -> Ended {
        self.signal(signal);
        self.finish()
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.extend([line.as_str(), "\n"]),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(timeout) => panic!(
                    "{timeout}: did not end within {PATIENCE:?}, but said:\n{}",
                    self.said
                ),
            }
        }
        let status = self.child.wait().unwrap();
        let stdout = self
            .stdout
            .take()
            .map(|reader| reader.join().unwrap())
            .unwrap_or_default();
        Ended {
            code: status.code(),
            stdout,
            stderr: std::mem::take(&mut self.said),
        }
    }

    /// Waits for an end with status 0 and gives what it wrote to stdout.
    pub(crate) fn succeed(self) -> String {
        let ended = self.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        String::from_utf8(ended.stdout).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
        if std::thread::panicking() {
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                self.said.extend([line.as_str(), "\n"]);
            }
            // By the test runner's stderr: shown with the failure.
            eprintln!(
                "a program that the test left behind had said:\n{}",
                self.said
            );
        }
    }
}
