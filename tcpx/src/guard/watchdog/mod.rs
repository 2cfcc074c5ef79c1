//! The watchdog: a process that inserts the firewall rule and removes it however we end, and a
//! thread of ours that replaces it when it is killed.

use crate::capability::Capability;
use crate::error::Error;
use crate::privileges;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long our own end waits for the removal. The watchdog goes on after it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before another attempt to start a watchdog, which needs a process that the system may not have.
const PAUSE: Duration = Duration::from_secs(1);

/// The watchdog is the only one that changes the rule, one iptables after the other, so that a
/// removal never overtakes an insertion. It inserts the rule, says so, and removes it when its
/// stdin ends: because we close it, or because we are gone, be it by SIGKILL.
///
/// - Its stderr is what a killed predecessor wrote to: no more of that comes when the last iptables
///   of the predecessor has ended.
/// - A removal is over when a listing is without the rule. Until then it is repeated, for an hour
///   or more: another process may hold the lock of the firewall.
/// - An iptables that refuses has inserted nothing. Of one that was killed that is unknown, and the
///   predecessor may have inserted it.
/// - The rule comes by the environment: no name of ours is on its command line, where `pkill -f`
///   would find it.
const SCRIPT: &str = r#"
while read -r _ <&2; do :; done
exec 2>/dev/null
gone() { rules=$("$0" -w 5 -S OUTPUT) && case $rules in *"$TCPX_NAME"*) false ;; esac; }
[ -n "$TCPX_AGAIN" ] && "$0" -w 5 -C OUTPUT $TCPX_RULE || "$0" -w 5 -I OUTPUT $TCPX_RULE 2>&1
status=$? tries=720
if [ $status -eq 0 ]; then
    echo ok
else
    echo no
    [ -n "$TCPX_AGAIN" ] || [ $status -ge 128 ] || exit 0
    tries=10
fi
read -r _
pause=0
until "$0" -w 5 -D OUTPUT $TCPX_RULE; tries=$((tries - 1)); gone || [ $tries -eq 0 ]; do
    sleep $pause
    [ $pause -ge 5 ] || pause=$((pause + 1))
done
"#;

/// The signals that may be sent to a whole process group.
const IGNORED: [libc::c_int; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGPIPE,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// A rule and how to set it.
#[derive(Debug)]
pub(super) struct Order {
    /// The iptables program.
    pub(super) program: PathBuf,
    /// What marks the rule as ours, as the listing shows it.
    pub(super) name: String,
    /// What follows `-I OUTPUT`: words without spaces.
    pub(super) specification: Vec<String>,
}

/// A rule in the kernel's firewall, for as long as this lives.
#[derive(Debug)]
pub(super) struct Watchdog {
    name: String,
    /// Its end is the watchdog's signal, and the system closes it however we end.
    lifeline: Option<PipeWriter>,
    /// Disconnected when the keeper has ended: the rule is gone.
    ended: Mutex<Receiver<Infallible>>,
}

impl Watchdog {
    /// Starts one, and waits until the rule is there.
    pub(super) fn start(order: Order) -> Result<Watchdog, Error> {
        let (reader, writer) = io::pipe().map_err(Error::io("make a pipe"))?;
        let (tell, told) = channel();
        let (alive, ended) = channel();
        let name = order.name.clone();
        let keeper = thread::Builder::new().name("guard".into());
        let keeper = keeper.spawn(move || {
            let _alive = alive;
            keep(&order, &reader, &tell);
        });
        keeper.map_err(Error::io("start a thread"))?;
        await_insertion(&told)?;
        Ok(Watchdog {
            name,
            lifeline: Some(writer),
            ended: Mutex::new(ended),
        })
    }

    /// The tag of the rule.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.lifeline = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(
                rule = self.name,
                "cannot remove the firewall rule yet, because iptables does not finish (which \
                 process holds /run/xtables.lock?): a background process removes it as soon as it \
                 can"
            );
        }
    }
}

/// Waits for the word of the first watchdog that lives long enough to have one.
fn await_insertion(told: &Receiver<Result<OwnedFd, Error>>) -> Result<(), Error> {
    let mut said = String::new();
    while let Ok(stdout) = told.recv() {
        said.clear();
        for line in BufReader::new(File::from(stdout?)).lines() {
            match line
                .map_err(Error::io("read from the watchdog of the firewall rule"))?
                .trim()
            {
                "ok" => return Ok(()),
                "no" => {
                    return Err(Error::Iptables {
                        act: "insert a rule",
                        output: said,
                    });
                }
                line => said = [said.as_str(), line].join(" ").trim().to_owned(),
            }
        }
    }
    Err(Error::Iptables {
        act: "insert a rule",
        output: format!("its watchdog exited; /bin/sh printed '{said}'"),
    })
}

/// Keeps a watchdog alive until one has done its work. This thread keeps the two privileges that
/// iptables takes when the others drop theirs.
fn keep(order: &Order, lifeline: &PipeReader, tell: &Sender<Result<OwnedFd, Error>>) {
    privileges::keep_only(&[Capability::NetAdmin, Capability::NetRaw]);
    let mut predecessor = None;
    loop {
        match order.carry_out(lifeline, predecessor.take()) {
            Ok((mut watchdog, stdout)) => {
                predecessor = stdout.try_clone().ok();
                // The receiver is gone once the rule is there.
                _ = tell.send(Ok(stdout));
                match watchdog.wait() {
                    Ok(status) if status.code().is_none() => {
                        tracing::warn!(rule = order.name, %status, "the watchdog of the firewall \
                            rule was killed; started another one");
                    }
                    Ok(status) if status.success() => return,
                    outcome => {
                        tracing::warn!(
                            rule = order.name,
                            ?outcome,
                            "the watchdog of the firewall rule failed: see `iptables -S OUTPUT`"
                        );
                        return;
                    }
                }
            }
            // During the installation this is its error. After it the rule must not be without a
            // watchdog.
            Err(error) => match tell.send(Err(error)) {
                Ok(()) => return,
                Err(_) => thread::sleep(PAUSE),
            },
        }
    }
}

impl Order {
    /// Starts a watchdog, in a session of its own that no signal meant for us reaches, and gives
    /// its stdout. `predecessor` is that of the one before.
    fn carry_out(
        &self,
        lifeline: &PipeReader,
        predecessor: Option<OwnedFd>,
    ) -> Result<(Child, OwnedFd), Error> {
        let failed = || Error::io("start the watchdog of the firewall rule with /bin/sh");
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT])
            .arg(&self.program)
            .current_dir("/");
        command
            .env("TCPX_NAME", &self.name)
            .env("TCPX_RULE", self.specification.join(" "));
        command.env("TCPX_AGAIN", if predecessor.is_some() { "1" } else { "" });
        command
            .stdin(lifeline.try_clone().map_err(failed())?)
            .stdout(Stdio::piped());
        command.stderr(predecessor.map_or_else(Stdio::null, Stdio::from));
        // SAFETY: between fork and exec the closure makes system calls alone and allocates nothing.
        unsafe { command.pre_exec(stand_apart) };
        let mut watchdog = privileges::lend(|| command.spawn()).map_err(failed())?;
        let stdout = watchdog
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("it has no stdout"))
            .map_err(failed())?;
        Ok((watchdog, stdout.into()))
    }
}

/// What a signal finds ignored when a program begins, a shell cannot but ignore, and its children
/// do, too.
fn stand_apart() -> io::Result<()> {
    rustix::process::setsid()?;
    for signal in IGNORED {
        // SAFETY: nothing of Rust's is called when the signal comes.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
