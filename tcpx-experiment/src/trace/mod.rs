//! What one end recorded: an events file (JSON Lines), read back; and one connection seen from both
//! ends.

mod conversation;
pub mod lateness;
#[cfg(test)]
pub(crate) mod sample;
mod tuples;

pub(crate) use conversation::TOGETHER;
pub use conversation::{Conversation, Flight, Step, Tick, pair};

pub use tcpx_proto::event::TimerActionKind;
pub use tcpx_proto::fault::{Direction, VerdictKind};
pub use tcpx_proto::script::AppAction;
pub use tcpx_proto::trace::{Body, Entry, Header, Role, Segment};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;
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
        let Start {
            role,
            monotonic,
            realtime,
            ..
        } = start;
        Ok(Log {
            role,
            monotonic,
            realtime,
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
mod tests {
    use super::*;

    const START: &str = r#"{"event":"start","version":1,"role":"client","profile":"linux","seed":7,"monotonic":12.5,"realtime":1000.25}"#;

    #[test]
    fn file_of_known_and_unknown_events_is_read_in_order() {
        let text = format!(
            "{START}\n{}\n{}\n{}\n{}\n",
            r#"{"event":"opened","t":0.1,"conn":1,"local":"10.0.0.1:40000","remote":"10.0.0.2:7000"}"#,
            r#"{"event":"timer","t":0.1,"conn":1,"timer":"retransmission","action":"started","until":1.1}"#,
            r#"{"event":"accepted","t":0.1,"conn":1,"seq":5,"text":0}"#,
            r#"{"event":"segment","t":0.2,"conn":1,"dir":"out","cause":"call","carries":["syn"],"flags":"S","seq":9,"ack":0,"len":0,"win":100,"id":3,"retransmission":0,"verdict":"pass"}"#,
        );
        let log = Log::parse(&text).unwrap();
        assert_eq!(
            (log.role, log.monotonic, log.truncated),
            (Role::Client, 12.5, false)
        );
        assert_eq!(log.connections()[&1].1, "10.0.0.2:7000".parse().unwrap());
        assert!(matches!(
            log.entries[1].body,
            Body::Timer {
                action: TimerActionKind::Started,
                ..
            }
        ));
        assert!(matches!(log.entries[2].body, Body::Accepted { .. }));
        let Body::Segment(segment) = &log.entries[3].body else {
            panic!("{:?}", log.entries[3])
        };
        assert_eq!(
            (
                segment.flags.control().as_str(),
                segment.id,
                segment.fault(),
                segment.forged
            ),
            ("SYN", 3, None, false)
        );
    }

    #[test]
    fn time_is_read_to_the_last_bit() {
        let log = Log::parse(&format!(
            "{START}\n{{\"event\":\"closed\",\"t\":3.7199999999999998,\"reason\":\"reset\"}}\n"
        ))
        .unwrap();
        let written = std::time::Duration::from_micros(3_720_000).as_secs_f64();
        assert_eq!(
            log.entries[0].t.to_bits(),
            written.to_bits(),
            "what happens last happens before the end"
        );
    }

    #[test]
    fn last_line_cut_off_is_left_out_and_told() {
        let log =
            Log::parse(&format!("{START}\n{{\"event\":\"closed\",\"t\":1.0,\"conn\":1,\"reason\":\"clean\"}}\n{{\"event\":\"sta")).unwrap();
        assert_eq!((log.entries.len(), log.truncated), (1, true));
    }

    #[test]
    fn broken_line_in_the_middle_is_an_error_with_its_number() {
        let error = Log::parse(&format!("{START}\n{{\"event\":\n{{}}\n")).unwrap_err();
        assert!(
            format!("{error:#}").starts_with("line 2 is not an event"),
            "{error:#}"
        );
    }

    #[test]
    fn other_version_or_no_start_is_refused() {
        assert!(Log::parse("").is_err());
        let other = START.replace("\"version\":1", "\"version\":2");
        assert!(
            format!("{:#}", Log::parse(&format!("{other}\n")).unwrap_err()).contains("version 2")
        );
    }
}
