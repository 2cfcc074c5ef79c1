//! JSON Lines: one object per event, described by `docs/events.schema.json`.

use super::BackgroundWriter;
use serde::Serialize;
use std::io::Write;
use tcpx_proto::time::Instant;
use tcpx_proto::trace::{Recorded, Sink, Start};

/// Writes an events file, as `docs/events.schema.json` describes it.
#[derive(Debug)]
pub struct Events {
    writer: BackgroundWriter,
    start: Instant,
}

impl Events {
    /// Writes the first line; `start` is t = 0.
    pub fn new(writer: BackgroundWriter, start: Instant, first: &Start) -> Events {
        let mut events = Events { writer, start };
        events.line(first);
        events
    }

    fn line(&mut self, line: &impl Serialize) {
        // The writer takes everything, and these types are all plain: neither call can fail.
        let _infallible = serde_json::to_writer(&mut self.writer, line);
        let _infallible = self.writer.write_all(b"\n");
    }
}

impl Sink for Events {
    fn record(&mut self, recorded: &Recorded<'_>) {
        self.line(&recorded.entry(self.start));
    }

    fn flush(&mut self) {
        let _never_fails = self.writer.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;
    use std::time::Duration;
    use tcpx_proto::config::Profile;
    use tcpx_proto::trace::Role;

    fn lines() -> String {
        let start = Start::new(
            Role::Client,
            Profile::Linux,
            7,
            Duration::from_millis(12_500),
            sample::REALTIME,
        );
        String::from_utf8(
            sample::written(|outlet| Box::new(Events::new(outlet, sample::START, &start))).unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn run_with_a_dropped_ack_gives_these_lines() {
        let expected = [
            r#"{"event":"start","version":1,"role":"client","profile":"linux","seed":7,"monotonic":12.5,"realtime":1700000000.0}"#,
            r#"{"t":0.0,"conn":1,"event":"opened","local":"10.0.0.1:40000","remote":"10.0.0.2:7000","passive":false}"#,
            r#"{"t":0.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN-SENT","on":"active OPEN"}"#,
            r#"{"t":0.00001,"conn":1,"event":"segment","dir":"out","cause":"call","carries":["syn"],"flags":"S","seq":100,"ack":0,"len":0,"win":64240,"id":9,"options":"mss 1460,ws 7","retransmission":0,"verdict":"pass"}"#,
            r#"{"t":0.0005,"conn":1,"event":"segment","dir":"in","flags":"SA","seq":300,"ack":101,"len":0,"win":64240,"id":9,"options":"mss 1460,ws 7","retransmission":0,"verdict":"pass"}"#,
            r#"{"t":0.0005,"conn":1,"event":"state","from":"SYN-SENT","to":"ESTABLISHED","on":"SYN,ACK"}"#,
            r#"{"t":0.000501,"conn":1,"event":"timer","timer":"keepalive","action":"started","until":2.0}"#,
            r#"{"t":0.00051,"conn":1,"event":"segment","dir":"out","cause":"ack","carries":["ack-of-syn"],"flags":"A","seq":101,"ack":301,"len":0,"win":64240,"id":9,"retransmission":0,"verdict":"drop","rule":"drop out ack-of-syn"}"#,
            r#"{"t":0.0006,"event":"segment","dir":"in","flags":"A","seq":7,"ack":8,"len":0,"win":64240,"id":9,"retransmission":0,"verdict":"pass"}"#,
            r#"{"t":0.0006,"event":"discarded","reason":"not-reserved"}"#,
            r#"{"t":0.0009,"conn":1,"event":"closed","reason":"aborted"}"#,
        ];
        assert_eq!(lines().lines().collect::<Vec<_>>(), expected);
    }
}
