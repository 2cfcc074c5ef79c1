//! A network namespace held by a file descriptor.

use super::netlink::configure;
use super::unshare::unshare;
use rtnetlink::LinkUnspec;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    /// A new, empty one with its loopback up.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN; ENOSPC past `user.max_net_namespaces`.
    pub fn new() -> io::Result<Namespace> {
        let fd = on_own_thread(|| {
            unshare(UnshareFlags::NEWNET)?;
            configure(async |netlink| {
                netlink
                    .link()
                    .set(LinkUnspec::new_with_name("lo").up().build())
                    .execute()
                    .await
            })?;
            own_descriptor()
        })?;
        Ok(Namespace { fd })
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// Those of opening `/proc/thread-self/ns/net`.
    pub fn current() -> io::Result<Namespace> {
        Ok(Namespace {
            fd: own_descriptor()?,
        })
    }

    /// A namespace given as a descriptor.
    pub fn from_fd(fd: OwnedFd) -> Namespace {
        Namespace { fd }
    }

    /// Does `work` on a thread of its own inside the namespace. Sockets opened there stay there,
    /// wherever they are used later.
    ///
    /// # Errors
    /// Those of entering it and those of `work`; a panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_own_thread(|| {
            move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }

    /// Makes `command` start inside the namespace.
    ///
    /// # Errors
    /// Those of duplicating a descriptor. Failing to enter is an error of `spawn`.
    pub fn command<'a>(&self, command: &'a mut Command) -> io::Result<&'a mut Command> {
        let fd = self.fd.try_clone()?;
        let enter = move || {
            Ok(move_into_link_name_space(
                fd.as_fd(),
                Some(LinkNameSpaceType::Network),
            )?)
        };
        // SAFETY: between fork and exec `enter` makes one system call and allocates nothing.
        Ok(unsafe { command.pre_exec(enter) })
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The calling thread's namespace.
fn own_descriptor() -> io::Result<OwnedFd> {
    Ok(fs::File::open("/proc/thread-self/ns/net")?.into())
}

/// Does `work` on a short thread, so that the caller's own namespace stays what it is.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
