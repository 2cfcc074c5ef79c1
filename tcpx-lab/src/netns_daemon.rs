//! Two namespaces that outlive this command: a process in the background holds them until it is
//! told to end.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getuid, kill_process, setsid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{self, DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tcpx::netns::root;
use tcpx::netns::{self, Cable, DEVICE};
use tcpx_cli::input;

/// A holder keeps the two namespaces as its standard input and output.
const HELD: [&str; 2] = ["0", "1"];

/// Makes the namespaces and leaves a holder behind. It must be called before the process has a
/// second thread.
///
/// # Errors
/// They are there already; namespaces are forbidden; the state directory cannot be written.
pub fn up() -> Result<()> {
    if let Some(holder) = Holder::find()? {
        bail!(
            "the namespaces are up already (held by process {}); `tcpx-lab netns down` removes them",
            holder.pid.as_raw_nonzero()
        );
    }
    let file = state_file()?;
    root::acquire()?;
    let (a, b) = netns::pair(Cable::default())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hold").current_dir("/").stderr(Stdio::null());
    command
        .stdin(a.fd().try_clone_to_owned()?)
        .stdout(b.fd().try_clone_to_owned()?);
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
    let holder = command.spawn().context("cannot start the holder")?;
    let a = fs::read_link(format!("/proc/{}/fd/{}", holder.id(), HELD[0]))?;
    fs::write(&file, format!("{} {}", holder.id(), a.display()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "client: {} on {DEVICE}   server: {} on {DEVICE}   held by process {}",
        netns::A,
        netns::B,
        holder.id()
    );
    Ok(())
}

/// Becomes `command`, or a shell, in the client's namespace (0) or the server's (1).
///
/// # Errors
/// They are not up; they cannot be entered; the command cannot be started.
pub fn enter(side: usize, command: &[String]) -> Result<()> {
    let Some(holder) = Holder::find()? else {
        bail!("the namespaces are not up; `tcpx-lab netns up` makes them")
    };
    let open = |name: &str| {
        File::open(holder.path(name)).with_context(|| format!("cannot open {}", holder.path(name)))
    };
    let network = open(&format!(
        "fd/{}",
        HELD.get(side).copied().unwrap_or_default()
    ))?;
    if fs::read_link(holder.path("ns/user"))? != fs::read_link("/proc/self/ns/user")? {
        move_into_link_name_space(open("ns/user")?.as_fd(), Some(LinkNameSpaceType::User))
            .context("cannot enter the user namespace")?;
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .context("cannot enter the network namespace")?;
    let shell = [std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned())];
    let words = if command.is_empty() { &shell } else { command };
    let (program, arguments) = words.split_first().context("no command")?;
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("cannot run {program}"))
}

/// Ends the holder, and so the namespaces, once no process is in them.
///
/// # Errors
/// It cannot be ended.
pub fn down() -> Result<()> {
    match Holder::find()? {
        Some(holder) => {
            kill_process(holder.pid, Signal::TERM)?;
            println!("the namespaces are gone");
        }
        None => println!("the namespaces were not up"),
    }
    let file = state_file()?;
    let _was_not_there = fs::remove_file(&file);
    Ok(file.parent().map_or(Ok(()), fs::remove_dir)?)
}

/// What the holder does.
pub fn hold() -> ! {
    loop {
        std::thread::park();
    }
}

/// A holder that lives.
struct Holder {
    pid: Pid,
}

impl Holder {
    /// The one that the state file names, if the process still holds that namespace: a number alone
    /// may have a new owner.
    fn find() -> Result<Option<Holder>> {
        let Ok(text) = input::text_in(&state_file()?, input::SOURCE) else {
            return Ok(None);
        };
        let Some((pid, namespace)) = text.split_once(' ') else {
            return Ok(None);
        };
        let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let holder = Holder { pid };
        let held = fs::read_link(holder.path(&format!("fd/{}", HELD[0])));
        Ok(held
            .is_ok_and(|held| held.as_os_str() == namespace)
            .then_some(holder))
    }

    fn path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid.as_raw_nonzero())
    }
}

/// Where the holder's number is kept: a directory that no other user may write.
fn state_file() -> Result<PathBuf> {
    let uid = getuid().as_raw();
    let directory = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) => PathBuf::from(runtime).join("tcpx-netns"),
        None => PathBuf::from(format!("/tmp/tcpx-netns-{uid}")),
    };
    let made = DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(&directory);
    made.with_context(|| format!("cannot make {}", directory.display()))?;
    let owner = fs::symlink_metadata(&directory)?;
    if owner.uid() != uid || !owner.is_dir() || owner.mode() & 0o022 != 0 {
        bail!(
            "{} belongs to another user; remove it, or set XDG_RUNTIME_DIR",
            directory.display()
        );
    }
    Ok(directory.join("holder"))
}
