//! Signals: caught, unless who started us has them ignored.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that is caught from now on. One that was ignored when the program began, as nohup(1)
/// and the `&` of a script leave it, stays ignored, and never arrives.
pub(crate) struct Caught(Option<Signal>);

impl Caught {
    /// The system may refuse to let it be caught.
    pub(crate) fn new(kind: SignalKind) -> io::Result<Caught> {
        let ignored = disposition(kind.as_raw_value()) == libc::SIG_IGN;
        Ok(Caught(if ignored { None } else { Some(signal(kind)?) }))
    }

    /// Waits for it.
    pub(crate) async fn arrives(&mut self) {
        match &mut self.0 {
            Some(signal) => _ = signal.recv().await,
            None => std::future::pending().await,
        }
    }
}

/// Makes it possible to wait for a child: where SIGCHLD is ignored, as some programs leave it to
/// those that they start, the kernel forgets how a child ended.
pub fn await_children() {
    if disposition(libc::SIGCHLD) == libc::SIG_IGN {
        // SAFETY: nothing of Rust's is called when the signal comes.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    }
}

/// What happens when it comes.
fn disposition(signal: libc::c_int) -> libc::sighandler_t {
    // SAFETY: all zeros are a valid sigaction, and the kernel only writes to it.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is changed, and `now` outlives the call. A signal that does not exist leaves
    // it as it is.
    unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    now.sa_sigaction
}
