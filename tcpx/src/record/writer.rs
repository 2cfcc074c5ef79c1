//! A file or terminal that may be slow, full or gone, written from a thread of its own so that
//! TCP's timers never wait for it.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// How many bytes may wait for a slow reader before the writer gives up.
const MOST_WAITING: usize = 64 << 20;

/// How long the end of a run waits for a reader that does not read.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What could not be written, shared by all writers of a run.
#[derive(Clone, Default, Debug)]
pub struct Failures(Arc<Mutex<Vec<String>>>);

impl Failures {
    /// Notes a failure, and says it on stderr at once.
    pub fn note(&self, message: String) {
        let _nobody_reads_stderr = writeln!(io::stderr(), "{message}");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message);
    }

    /// Whether anything was lost.
    pub fn any(&self) -> bool {
        !self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }
}

/// Collects what is written until [`flush`](Write::flush), then hands it to the thread. `write`
/// never fails and never blocks: the first failure goes to [`Failures`], and all that comes after
/// it is dropped. Dropping it writes out the rest.
pub struct BackgroundWriter {
    name: String,
    buffer: Vec<u8>,
    /// What is written still goes somewhere.
    open: bool,
    queue: Arc<Queue>,
    thread: ThreadId,
    finished: Receiver<()>,
    failures: Failures,
}

impl fmt::Debug for BackgroundWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundWriter")
            .field("name", &self.name)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// What waits to be written.
struct Queue {
    /// `None`: nothing more goes there.
    chunks: Mutex<Option<Sender<Vec<u8>>>>,
    waiting: AtomicUsize,
}

impl Queue {
    fn chunks(&self) -> MutexGuard<'_, Option<Sender<Vec<u8>>>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was taken: not when the thread has ended or writes no more.
    fn put(&self, chunk: Vec<u8>) -> bool {
        self.waiting.fetch_add(chunk.len(), Ordering::Relaxed);
        self.chunks()
            .as_ref()
            .is_some_and(|chunks| chunks.send(chunk).is_ok())
    }
}

/// A way into a writer for others: what they put there comes after what was flushed before it.
#[derive(Clone)]
pub struct Slot {
    queue: Arc<Queue>,
    thread: ThreadId,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// Whether it was taken: not when the writer is gone, and not from its own thread.
    pub fn put(&self, bytes: &[u8]) -> bool {
        thread::current().id() != self.thread && self.queue.put(bytes.to_vec())
    }
}

impl BackgroundWriter {
    /// Starts the thread. `name` is what a failure calls it.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(
        name: impl Into<String>,
        into: impl Write + Send + 'static,
        failures: Failures,
    ) -> io::Result<BackgroundWriter> {
        let name = name.into();
        let (sender, chunks) = channel();
        let (done, finished) = channel();
        let queue = Arc::new(Queue {
            chunks: Mutex::new(Some(sender)),
            waiting: AtomicUsize::new(0),
        });
        let source = Arc::clone(&queue);
        let noted = failures.clone();
        let called = name.clone();
        let writer = thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                if let Err(error) = write_all(into, &chunks, &source) {
                    noted.note(format!(
                        "cannot write to {called}: {error}; recording to it stops, the \
                    connection continues"
                    ));
                }
                let _owner_gave_up = done.send(());
            })?;
        Ok(BackgroundWriter {
            name,
            buffer: Vec::new(),
            open: true,
            queue,
            thread: writer.thread().id(),
            finished,
            failures,
        })
    }

    /// A way in for others.
    pub fn slot(&self) -> Slot {
        Slot {
            queue: Arc::clone(&self.queue),
            thread: self.thread,
        }
    }
}

fn write_all(mut into: impl Write, chunks: &Receiver<Vec<u8>>, source: &Queue) -> io::Result<()> {
    for chunk in chunks {
        into.write_all(&chunk)?;
        into.flush()?;
        source.waiting.fetch_sub(chunk.len(), Ordering::Relaxed);
    }
    Ok(())
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() || !self.open {
            return Ok(());
        }
        if self.queue.waiting.load(Ordering::Relaxed) + self.buffer.len() > MOST_WAITING {
            self.failures.note(format!(
                "{}: its reader is too slow, {MOST_WAITING} bytes are waiting; recording to it \
                 stops",
                self.name
            ));
            self.open = false;
        } else {
            self.open = self.queue.put(std::mem::take(&mut self.buffer));
        }
        if !self.open {
            *self.queue.chunks() = None;
        }
        Ok(())
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        let _never_fails = self.flush();
        *self.queue.chunks() = None;
        if self.finished.recv_timeout(LAST_WAIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            self.failures.note(format!(
                "{}: its reader has stalled, the rest is lost",
                self.name
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;

    #[test]
    fn writer_dropped_has_written_everything_in_order() {
        let (reader, writer) = io::pipe().unwrap();
        let failures = Failures::default();
        let mut background = BackgroundWriter::new("pipe", writer, failures.clone()).unwrap();
        for n in 0..100 {
            writeln!(background, "{n}").unwrap();
            background.flush().unwrap();
        }
        drop(background);
        let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(io::read_to_string(reader).unwrap(), expected);
        assert!(!failures.any());
    }

    #[test]
    fn what_others_put_into_a_slot_comes_after_what_was_flushed_before() {
        let (reader, writer) = io::pipe().unwrap();
        let mut background = BackgroundWriter::new("pipe", writer, Failures::default()).unwrap();
        let slot = background.slot();
        for text in ["view\n", "more of it\n"] {
            background.write_all(text.as_bytes()).unwrap();
            background.flush().unwrap();
            assert!(slot.put(b"a line\n"));
        }
        drop(background);
        assert!(!slot.put(b"too late\n"));
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "view\na line\nmore of it\na line\n"
        );
    }

    #[test]
    fn full_disk_is_one_failure_and_writing_goes_on() {
        let failures = Failures::default();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut background = BackgroundWriter::new("events.jsonl", full, failures.clone()).unwrap();
        for _ in 0..100 {
            background.write_all(b"line\n").unwrap();
            background.flush().unwrap();
        }
        drop(background);
        let messages = failures.0.lock().unwrap();
        assert_eq!(messages.len(), 1);
        assert!(
            messages[0].starts_with("cannot write to events.jsonl: No space left on device"),
            "{messages:?}"
        );
    }

    #[test]
    fn reader_that_stops_is_one_failure_and_nothing_blocks() {
        let (reader, writer) = io::pipe().unwrap();
        let failures = Failures::default();
        let mut background = BackgroundWriter::new("pipe", writer, failures.clone()).unwrap();
        for _ in 0..3 {
            background.write_all(&vec![0; MOST_WAITING / 2]).unwrap();
            background.flush().unwrap();
        }
        assert!(failures.any());
        drop(reader);
        drop(background);
    }
}
