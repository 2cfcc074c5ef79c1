//! Events files written by hand, for tests.

use super::{Body, Conversation, Log, pair};

/// An events file in the making.
#[derive(Clone)]
pub(crate) struct File {
    text: String,
    /// Which of its entries are segments that neither TCP made.
    forged: Vec<usize>,
    id: u16,
    conn: u64,
    passive: bool,
}

impl File {
    /// One that a run at this moment since boot wrote, with the connection that both samples have.
    pub(crate) fn new(role: &str, monotonic: f64) -> File {
        File::start(role, monotonic).opened(0.0)
    }

    /// The server's, whose connection a SYN opened.
    pub(crate) fn passive(monotonic: f64) -> File {
        File {
            passive: true,
            ..File::start("server", monotonic)
        }
        .opened(0.05)
    }

    fn start(role: &str, monotonic: f64) -> File {
        let realtime = monotonic + 1e9;
        let text = format!(
            "{{\"event\":\"start\",\"version\":1,\"role\":\"{role}\",\"profile\":\"linux\",\"seed\":1,\"monotonic\":{monotonic},\"realtime\":{realtime}}}\n"
        );
        File {
            text,
            forged: Vec::new(),
            id: 0,
            conn: 1,
            passive: false,
        }
    }

    fn opened(self, t: f64) -> File {
        let client = self.text.contains("\"role\":\"client\"");
        let (local, remote) = if client {
            ("10.0.0.1:40000", "10.0.0.2:7000")
        } else {
            ("10.0.0.2:7000", "10.0.0.1:40000")
        };
        let passive = self.passive;
        self.line(t, &format!("\"event\":\"opened\",\"local\":\"{local}\",\"remote\":\"{remote}\",\"passive\":{passive}"))
    }

    /// The next connection on the same four-tuple, established after 5 s: what is written from here
    /// on is its.
    pub(crate) fn again(self) -> File {
        let (t, before) = if self.passive {
            (5.05, "SYN-RECEIVED")
        } else {
            (5.0, "SYN-SENT")
        };
        self.next(t)
            .state(t, "CLOSED", before, "SYN")
            .state(5.1, before, "ESTABLISHED", "SYN,ACK")
    }

    /// The same, opened then.
    pub(crate) fn next(mut self, t: f64) -> File {
        self.conn += 1;
        self.opened(t)
    }

    /// What the application did.
    pub(crate) fn app(self, t: f64, did: &str, text: &str) -> File {
        let text = text.replace('"', "\\\"");
        self.line(
            t,
            &format!("\"event\":\"app\",\"did\":\"{did}\",\"text\":\"{text}\""),
        )
    }

    /// A line of its own.
    pub(crate) fn line(mut self, t: f64, body: &str) -> File {
        self.text += &format!("{{\"t\":{t},\"conn\":{},{body}}}\n", self.conn);
        self
    }

    /// A state.
    pub(crate) fn state(self, t: f64, from: &str, to: &str, on: &str) -> File {
        self.line(
            t,
            &format!("\"event\":\"state\",\"from\":\"{from}\",\"to\":\"{to}\",\"on\":\"{on}\""),
        )
    }

    /// A timer: `started`, `fired` or `stopped`.
    pub(crate) fn timer(self, t: f64, timer: &str, action: &str) -> File {
        self.line(
            t,
            &format!("\"event\":\"timer\",\"timer\":\"{timer}\",\"action\":\"{action}\""),
        )
    }

    /// What was written last was made by neither TCP.
    pub(crate) fn forged(mut self) -> File {
        self.forged.push(self.text.lines().count() - 2);
        self
    }

    /// A segment that is sent: flags, SEG.SEQ, SEG.ACK and octets, and what the gate did.
    pub(crate) fn sends(mut self, t: f64, segment: (&str, u32, u32, u32), verdict: &str) -> File {
        self.id += 1;
        let id = self.id;
        self.segment(t, "out", segment, id, verdict)
    }

    /// The segment with that id arrives.
    pub(crate) fn receives(
        self,
        t: f64,
        segment: (&str, u32, u32, u32),
        id: u16,
        verdict: &str,
    ) -> File {
        self.segment(t, "in", segment, id, verdict)
    }

    fn segment(
        self,
        t: f64,
        dir: &str,
        (flags, seq, ack, len): (&str, u32, u32, u32),
        id: u16,
        verdict: &str,
    ) -> File {
        self.line(
            t,
            &format!(
                "\"event\":\"segment\",\"dir\":\"{dir}\",\"flags\":\"{flags}\",\"seq\":{seq},\"ack\":{ack},\"len\":{len},\"win\":1000,\"id\":{id},\"retransmission\":0,\"verdict\":\"{verdict}\""
            ),
        )
    }

    /// As if it had been read.
    pub(crate) fn log(&self) -> Log {
        self.read(&self.text)
    }

    fn read(&self, text: &str) -> Log {
        let mut log = Log::parse(text).unwrap();
        for index in &self.forged {
            if let Some(Body::Segment(segment)) =
                log.entries.get_mut(*index).map(|entry| &mut entry.body)
            {
                segment.forged = true;
            }
        }
        log
    }

    /// The same, its writer killed within the last line.
    pub(crate) fn killed(&self) -> Log {
        self.read(self.text.get(..self.text.len() - 10).unwrap())
    }
}

/// The only conversation of two files.
pub(crate) fn conversation(a: &Log, b: &Log) -> Conversation {
    let mut conversations = pair(a, b);
    assert_eq!(conversations.len(), 1);
    conversations.remove(0)
}

/// A segment that is lost and sent again when its timer is over, and a TIME-WAIT of its own length.
pub(crate) fn eventful() -> (File, File) {
    let (client, server) = handshake();
    let client = client
        .state(0.004, "ESTABLISHED", "FIN-WAIT-1", "CLOSE")
        .timer(0.004, "retransmission", "started")
        .sends(0.004, ("FA", 101, 301, 0), "drop")
        .timer(0.204, "retransmission", "fired")
        .sends(0.204, ("FA", 101, 301, 0), "pass")
        .receives(0.207, ("FA", 301, 102, 0), 2, "pass")
        .state(0.207, "FIN-WAIT-1", "TIME-WAIT", "FIN")
        .timer(0.207, "time-wait", "started")
        .timer(2.207, "time-wait", "fired")
        .state(2.207, "TIME-WAIT", "CLOSED", "2 MSL timeout");
    let server = server
        .receives(0.305, ("FA", 101, 301, 0), 3, "pass")
        .state(0.305, "SYN-RECEIVED", "CLOSE-WAIT", "FIN")
        .state(0.306, "CLOSE-WAIT", "LAST-ACK", "CLOSE")
        .sends(0.306, ("FA", 301, 102, 0), "pass")
        .line(9.0, "\"event\":\"r1\",\"retransmissions\":1");
    (client, server)
}

/// Times are seconds of each run; the client's began 0.1 s after the server's, so that their
/// numbers differ by that.
pub(crate) fn handshake() -> (File, File) {
    let client = File::new("client", 50.1)
        .state(0.0, "CLOSED", "SYN-SENT", "active OPEN")
        .sends(0.0, ("S", 100, 0, 0), "pass")
        .receives(0.003, ("SA", 300, 101, 0), 1, "pass")
        .state(0.003, "SYN-SENT", "ESTABLISHED", "SYN,ACK");
    let server = File::new("server", 50.0)
        .receives(0.101, ("S", 100, 0, 0), 1, "pass")
        .state(0.101, "LISTEN", "SYN-RECEIVED", "SYN")
        .sends(0.102, ("SA", 300, 101, 0), "pass");
    (client, server)
}
