//! What one end recorded: an events file (JSON Lines), read back; and one connection seen from both
//! ends.

mod conversation;
pub mod lateness;
#[cfg(test)]
pub(crate) mod sample;
mod tuples;

pub(crate) use conversation::TOGETHER;
pub use conversation::{Conversation, Flight, Step, Tick, pair};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::HashMap;
use std::net::SocketAddr;

/// The most events of one end.
const MOST: usize = 1_000_000;

/// One end's record.
#[derive(Clone, Debug)]
pub struct Log {
    /// Who wrote it: `client`, `server`.
    pub role: String,
    /// The clock of this machine's boot when the run started, seconds.
    pub monotonic: f64,
    /// The calendar's clock at the same moment, seconds since 1970.
    pub realtime: f64,
    /// What happened, in the order of the file.
    pub entries: Vec<Entry>,
    /// The last line is cut off: its writer was killed.
    pub truncated: bool,
}

/// One line.
#[derive(Clone, Deserialize, Debug)]
pub struct Entry {
    /// Seconds since the start of the run.
    pub t: f64,
    /// The connection's number; none for what belongs to no connection.
    #[serde(default)]
    pub conn: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen, as far as a picture shows it.
#[derive(Clone, Deserialize, Debug)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum What {
    /// A connection has a record now.
    Opened {
        /// The writer's end.
        local: SocketAddr,
        /// The peer's end.
        remote: SocketAddr,
        /// By a SYN to a listener rather than by a call.
        #[serde(default)]
        passive: bool,
    },
    /// The state changed.
    State {
        /// Before, in the RFC's spelling.
        from: String,
        /// After.
        to: String,
        /// The event of RFC 9293 Figure 5.
        on: String,
    },
    /// A segment at the edge.
    Segment(Segment),
    /// Something about a timer of the connection.
    Timer {
        /// Which, by the word that `tcpx_proto::event::Timer` has for it.
        timer: String,
        /// What.
        action: Action,
        /// When it runs out, seconds since the start of the run, where it starts.
        #[serde(default)]
        until: Option<f64>,
    },
    /// A removed rule took effect.
    Deviated {
        /// The preset.
        rule: String,
    },
    /// A segment was not used.
    Discarded {
        /// Why.
        reason: String,
    },
    /// An ICMP error was believed.
    Icmp {
        /// Which.
        kind: String,
        /// Its code, or the MTU.
        #[serde(default)]
        value: Option<u32>,
    },
    /// The connection ended.
    Closed {
        /// How.
        reason: String,
    },
    /// The application did something.
    App {
        /// `began`, `done`, `failed`, `sent`, `received` or `over`.
        did: String,
        /// The step, the reason, or octets with escapes.
        #[serde(default)]
        text: String,
    },
    /// Something that no picture shows.
    #[serde(other)]
    Other,
}

/// A segment at the edge of one end.
#[derive(Clone, Deserialize, Debug)]
pub struct Segment {
    /// `out` or `in`.
    pub dir: Direction,
    /// Why it was sent; only the sender knows.
    #[serde(default)]
    pub cause: Option<String>,
    /// Control bits as letters, in the order FSRPAUEW.
    pub flags: String,
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK.
    pub ack: u32,
    /// Octets of text.
    pub len: u32,
    /// SEG.WND, octets.
    pub win: u32,
    /// IP identification.
    pub id: u16,
    /// The options, as [`tcpx_proto::wire::Options`] prints them.
    #[serde(default)]
    pub options: String,
    /// How often these octets were seen before.
    #[serde(default)]
    pub retransmission: u32,
    /// What the gate did: `pass`, or a verdict of the fault language.
    pub verdict: String,
    /// The line of the fault language that decided.
    #[serde(default)]
    pub rule: Option<String>,
    /// Neither TCP made it: somebody put it on the wire in the name of one.
    #[serde(default)]
    pub forged: bool,
}

/// What happens to a timer.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It runs, anew if it ran already.
    Started,
    /// It ran out.
    Fired,
    /// It runs no longer.
    Stopped,
}

/// Which way a segment passed its recorder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the network.
    Out,
    /// From the network.
    In,
}

/// The first line.
#[derive(Deserialize)]
struct Start {
    version: u32,
    role: String,
    monotonic: f64,
    realtime: f64,
}

/// IP identification, SEG.SEQ, SEG.ACK, octets of text and control bits.
pub type Header<'a> = (u16, u32, u32, u32, &'a str);

/// Letters and names of the control bits, in the order in which RFC 9293 writes them.
pub(crate) const CONTROL: [(char, &str); 8] = [
    ('S', "SYN"),
    ('F', "FIN"),
    ('R', "RST"),
    ('P', "PSH"),
    ('A', "ACK"),
    ('U', "URG"),
    ('E', "ECE"),
    ('W', "CWR"),
];

impl Segment {
    /// The control bits as RFC 9293 writes them: `SYN,ACK`.
    pub fn control(&self) -> String {
        let set: Vec<&str> = CONTROL
            .iter()
            .filter(|(letter, _)| self.flags.contains(*letter))
            .map(|(_, name)| *name)
            .collect();
        set.join(",")
    }

    /// The names of its options: `mss`, `sackOK`, `ts`, `ws`, `sack`.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        self.options
            .split(',')
            .filter_map(|option| option.split_whitespace().next())
    }

    /// What the two ends of a segment's way have in common. The gate may rewrite the rest.
    pub fn header(&self) -> Header<'_> {
        (self.id, self.seq, self.ack, self.len, &self.flags)
    }

    /// Whether the receiver's gate rewrote or corrupted it: of the segment that was sent the id
    /// alone is sure to be left.
    pub fn altered(&self) -> bool {
        self.dir == Direction::In && ["rewrite", "corrupt"].contains(&self.verdict.as_str())
    }

    /// What the gate did to it, by its rule where that is known; `None`: nothing.
    pub fn fault(&self) -> Option<&str> {
        (self.verdict != "pass").then(|| self.rule.as_deref().unwrap_or(&self.verdict))
    }
}

impl Log {
    /// What the peer of `other` would have written if it had kept a record: nothing, by the same
    /// clock.
    pub fn none(other: &Log) -> Log {
        Log {
            role: String::new(),
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
        if start.version != 1 {
            bail!(
                "version {} is unknown here; this program reads version 1",
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
        let opened = |entry: &Entry| match (entry.conn, &entry.what) {
            (Some(conn), What::Opened { local, remote, .. }) => Some((conn, (*local, *remote))),
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
            (log.role.as_str(), log.monotonic, log.truncated),
            ("client", 12.5, false)
        );
        assert_eq!(log.connections()[&1].1, "10.0.0.2:7000".parse().unwrap());
        assert!(matches!(
            log.entries[1].what,
            What::Timer {
                action: Action::Started,
                ..
            }
        ));
        assert!(matches!(log.entries[2].what, What::Other));
        let What::Segment(segment) = &log.entries[3].what else {
            panic!("{:?}", log.entries[3])
        };
        assert_eq!(
            (
                segment.control().as_str(),
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
