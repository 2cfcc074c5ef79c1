//! What one end recorded: an events file (JSON Lines), read back; and one connection seen from both
//! ends.

mod conversation;
pub mod lateness;
#[cfg(test)]
pub(crate) mod sample;
mod side;
mod tuples;

pub use conversation::{Conversation, Flight, pair};
pub(crate) use side::TOGETHER;
pub use side::{Remark, Step, Tick};
pub use tcpx_proto::fault::Direction;
pub use tcpx_proto::trace::{Body, Entry, Header, Role, Segment};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpx_proto::fault::VerdictKind;
use tcpx_proto::trace::VERSION;

/// The most events of one end.
const MOST: usize = 1_000_000;

/// One end's record.
#[derive(Clone, Debug)]
pub struct Log {
    /// Who wrote it.
    pub role: Role,
    /// The clock of this machine's boot when the run started, seconds.
    pub monotonic: f64,
    /// The calendar's clock at the same moment, seconds since 1970.
    pub realtime: f64,
    /// What happened, in the order of the file.
    pub entries: Vec<Entry>,
    /// The last line is cut off: its writer was killed.
    pub truncated: bool,
}

/// The first line, as much of it as a reader needs.
#[derive(Deserialize)]
struct Start {
    version: u32,
    role: Role,
    monotonic: f64,
    realtime: f64,
}

/// What a verdict of the gate does to a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    Untouched,
    /// It goes no further.
    Dropped,
    /// It goes on with another content: of the header, the identification alone is sure to be left.
    Altered,
    /// It goes on as it was, at another time or more than once.
    Moved,
}

impl Effect {
    /// That of a verdict.
    pub const fn of(verdict: VerdictKind) -> Effect {
        match verdict {
            VerdictKind::Pass => Effect::Untouched,
            VerdictKind::Drop => Effect::Dropped,
            VerdictKind::Corrupt | VerdictKind::Rewrite => Effect::Altered,
            VerdictKind::Delay
            | VerdictKind::Duplicate
            | VerdictKind::Reorder
            | VerdictKind::Trickle
            | VerdictKind::Hold => Effect::Moved,
        }
    }
}

impl Log {
    /// What the peer of `other` would have written if it had kept a record: nothing, by the same
    /// clock.
    pub fn none(other: &Log) -> Log {
        Log {
            role: match other.role {
                Role::Client => Role::Server,
                Role::Server => Role::Client,
            },
            monotonic: other.monotonic,
            realtime: other.realtime,
            entries: Vec::new(),
            truncated: false,
        }
    }

    /// Reads the text of one. A last line without its end is left out: a process that is killed
    /// leaves one.
    ///
    /// # Errors
    /// No `start` line, another version, or a line that is not an event.
    pub fn parse(text: &str) -> Result<Log> {
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", text));
        let mut lines = whole
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let (_, first) = lines.next().context("it has no start line")?;
        let start: Start = serde_json::from_str(first).context("line 1 is not a start line")?;
        if start.version != VERSION {
            bail!(
                "unknown version {}: this program reads version {VERSION}",
                start.version
            );
        }
        let entries = lines
            .take(MOST + 1)
            .map(|(number, line)| {
                serde_json::from_str(line)
                    .with_context(|| format!("line {} is not an event", number + 1))
            })
            .collect::<Result<Vec<Entry>>>()?;
        ensure!(
            entries.len() <= MOST,
            "it has more than {MOST} events, the most that are read"
        );
        Ok(Log {
            role: start.role,
            monotonic: start.monotonic,
            realtime: start.realtime,
            entries,
            truncated: !rest.is_empty(),
        })
    }

    /// The two ends of each connection, ours first.
    pub fn connections(&self) -> HashMap<u64, (SocketAddr, SocketAddr)> {
        let opened = |entry: &Entry| match (entry.conn, &entry.body) {
            (Some(conn), Body::Opened { local, remote, .. }) => Some((conn, (*local, *remote))),
            _ => None,
        };
        self.entries.iter().filter_map(opened).collect()
    }
}

#[cfg(test)]
mod tests;
