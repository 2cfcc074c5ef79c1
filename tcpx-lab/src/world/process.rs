//! A process that plays a script: one of the pair, or the kernel's player; its record is read while
//! it is written.

use crate::programs::{sibling, to_get};
use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tcpx::LinkKind;
use tcpx::netns::Namespace;
use tcpx_cli::input;
use tcpx_experiment::end::End;
use tcpx_experiment::experiment::Plan;
use tcpx_experiment::trace::{Body, Direction, Entry, Log};
use tcpx_proto::script::{AppAction, StepKind};
use tcpx_proto::state::State;
use tcpx_proto::wire::Flags;

/// Where a process finds its script: no file is left behind, however a run ends.
const SCRIPT: &str = "/dev/stdin";

/// A process at work. It is killed when dropped before its end.
pub(super) struct Process {
    name: String,
    child: Child,
    record: BufReader<ChildStdout>,
    text: String,
    said: Option<JoinHandle<std::io::Result<String>>>,
    /// The id and SEG.SEQ of each SYN that came.
    syns: Vec<(u16, u32)>,
    /// States that were entered.
    entered: HashSet<State>,
    /// Connections that were opened and are not closed.
    open: BTreeSet<u64>,
    /// The step that its script is at; `None`: it has not begun.
    step: Option<StepKind>,
    /// Its script is over.
    over: bool,
    ended: bool,
}

impl Process {
    /// The binary of the pair that plays this end.
    pub(super) fn pair(
        plan: &Plan,
        end: End,
        inside: &Namespace,
        link: LinkKind,
        seed: u64,
    ) -> Result<Process> {
        let host = end.of(&plan.hosts);
        let words = host.command(SCRIPT);
        let (program, arguments) = words.split_first().context("no command")?;
        let path = sibling(program).with_context(|| {
            format!(
                "no {program} next to tcpx-lab or in PATH; {}",
                to_get(program)
            )
        })?;
        let mut command = Command::new(path);
        command
            .args(arguments)
            .args(["--link", link.name()])
            .args(["--stay", "--events", "-", "--quiet", "--seed"])
            .arg((seed ^ (end as u64 + 1)).to_string());
        Process::start(program.clone(), command, inside, &host.script_text)
    }

    /// This program again, as an application on the kernel's TCP.
    pub(super) fn kernel(plan: &Plan, end: End, inside: &Namespace) -> Result<Process> {
        let host = end.of(&plan.hosts);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["play", "--own"])
            .arg(host.address.to_string())
            .arg("--peer")
            .arg(host.peer.to_string());
        command
            .args(["--role", tcpx_experiment::world::role(end).name()])
            .args(&host.flags);
        Process::start(
            "the kernel's player".to_owned(),
            command,
            inside,
            &host.script_text,
        )
    }

    /// A program that reads its script from its stdin and writes its record to its stdout.
    fn start(
        name: String,
        mut command: Command,
        inside: &Namespace,
        script: &str,
    ) -> Result<Process> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec the closure makes system calls alone and allocates nothing.
        unsafe {
            command.pre_exec(|| {
                // It ends by SIGTERM, whether we ignore that or not.
                libc::signal(libc::SIGTERM, libc::SIG_DFL);
                Ok(set_parent_process_death_signal(Some(Signal::TERM))?)
            })
        };
        let mut child = inside
            .command(&mut command)?
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        // A script fits into a pipe, whether its reader is there already or not.
        child
            .stdin
            .take()
            .context("no stdin")?
            .write_all(script.as_bytes())
            .with_context(|| format!("{name} takes no script"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let said = thread::spawn(move || input::text_of(stderr, input::SOURCE));
        let entered = HashSet::new();
        let open = BTreeSet::new();
        let record = BufReader::new(stdout);
        Ok(Process {
            name,
            child,
            record,
            text: String::new(),
            said: Some(said),
            syns: Vec::new(),
            entered,
            open,
            step: None,
            over: false,
            ended: false,
        })
    }

    /// Waits until it listens, or until it does whatever it does first.
    pub(super) fn wait_until_ready(&mut self, plan: &Plan) -> Result<()> {
        let until = Instant::now() + plan.limit.max(Duration::from_secs(20));
        while matches!(self.step, None | Some(StepKind::Listen)) {
            if self.ended || Instant::now() >= until {
                let said = self.end()?;
                bail!("{} ended before it played: {}", self.name, said.trim());
            }
            wait(&mut [self], Duration::from_secs(1))?;
        }
        Ok(())
    }

    pub(super) fn has_entered(&self, state: State) -> bool {
        self.entered.contains(&state)
    }

    /// SEG.SEQ of the last SYN that came, those that were `forged` left out.
    pub(super) fn heard_syn(&self, forged: &HashSet<(u16, u32)>) -> Option<u32> {
        self.syns
            .iter()
            .rev()
            .find(|named| !forged.contains(named))
            .map(|(_, seq)| *seq)
    }

    /// Its script is over and its connections are closed, or it has ended.
    pub(super) fn is_done(&self) -> bool {
        self.ended || self.over && self.open.is_empty()
    }

    /// Reads what there is, at most a buffer full.
    fn read(&mut self) -> Result<()> {
        loop {
            let mut line = String::new();
            if self.record.read_line(&mut line)? == 0 {
                self.ended = true;
                return Ok(());
            }
            self.note(&line);
            self.text += &line;
            ensure!(
                self.text.len() as u64 <= input::RECORD,
                "{} wrote more than {} MiB of events",
                self.name,
                input::RECORD >> 20
            );
            if self.record.buffer().is_empty() {
                return Ok(());
            }
        }
    }

    fn note(&mut self, line: &str) {
        // The first line is no entry, and a wrong one is found when the whole record is read.
        let Ok(Entry { conn, body, .. }) = serde_json::from_str::<Entry>(line) else {
            return;
        };
        match (body, conn) {
            (Body::Opened { .. }, Some(conn)) => _ = self.open.insert(conn),
            (Body::Closed { .. }, Some(conn)) => _ = self.open.remove(&conn),
            (Body::Segment(seen), _)
                if seen.dir == Direction::In && seen.flags.contains(Flags::SYN) =>
            {
                self.syns.push((seen.id, seen.seq.0))
            }
            (Body::State { to, .. }, _) => _ = self.entered.insert(to),
            (Body::App(AppAction::Over), _) => self.over = true,
            (Body::App(AppAction::Began(step)), _) => self.step = StepKind::of(&step),
            _ => {}
        }
    }

    /// Asks it to end and reads its record.
    pub(super) fn finish(mut self) -> Result<(String, Log)> {
        let said = self.end()?;
        let log = Log::parse(&self.text).with_context(|| {
            format!(
                "the record of {} is wrong; it said: {}",
                self.name,
                said.trim()
            )
        })?;
        Ok((std::mem::take(&mut self.text), log))
    }

    fn end(&mut self) -> Result<String> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ended_already = rustix::process::kill_process(pid, Signal::TERM);
        while !self.ended {
            self.read()?;
        }
        self.child.wait()?;
        let said = self.said.take().map(JoinHandle::join);
        said.and_then(Result::ok)
            .context("its stderr was not read")?
            .context("its stderr cannot be read")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _ended_already = self.child.wait();
    }
}

/// Waits until one of them has written something, and reads it.
pub(super) fn wait(processes: &mut [&mut Process], most: Duration) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec {
        tv_sec: i64::try_from(most.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: most.subsec_nanos().into(),
    };
    let alive: Vec<usize> = (0..processes.len())
        .filter(|index| !processes[*index].ended)
        .collect();
    let ready: Vec<usize> = {
        let mut fds: Vec<PollFd<'_>> = alive
            .iter()
            .map(|index| {
                PollFd::from_borrowed_fd(processes[*index].record.get_ref().as_fd(), PollFlags::IN)
            })
            .collect();
        poll(&mut fds, Some(&timeout))?;
        alive
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(index, _)| *index)
            .collect()
    };
    ready
        .into_iter()
        .try_for_each(|index| processes[index].read())
}
