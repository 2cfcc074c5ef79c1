//! JSON Lines: one object per event, described by `docs/events.schema.json`.

use super::{Done, Noted, Outlet, Seen, Sink, words};
use serde::Serialize;
use std::io::Write;
use std::net::SocketAddr;
use tcpx_proto::event::{Event, TimerAction, What};
use tcpx_proto::script::Did;
use tcpx_proto::time::{Duration, Instant};

/// The version of the format.
const VERSION: u32 = 1;

/// The first line: what it takes to pair this file with the other end's, and to repeat the run.
#[derive(Clone, Copy, Serialize)]
#[serde(tag = "event", rename = "start")]
pub struct Start {
    version: u32,
    role: &'static str,
    profile: &'static str,
    seed: u64,
    /// CLOCK_MONOTONIC at t = 0, seconds.
    monotonic: f64,
    /// Time since 1970 at t = 0, seconds.
    realtime: f64,
}

impl Start {
    /// `role` is `client` or `server`, `profile` a [`Profile`](tcpx_proto::config::Profile)'s name,
    /// `seed` the host's. `monotonic` and `realtime` (since 1970) are two clocks' readings of one
    /// moment, t = 0 of the file.
    pub fn new(
        role: &'static str,
        profile: &'static str,
        seed: u64,
        monotonic: Duration,
        realtime: Duration,
    ) -> Start {
        Start {
            version: VERSION,
            role,
            profile,
            seed,
            monotonic: monotonic.as_secs_f64(),
            realtime: realtime.as_secs_f64(),
        }
    }

    /// For a host in memory, whose clocks begin at zero: `client` or `server`, the profile's name,
    /// and [`Host::seed`](crate::Host::seed).
    pub fn in_memory(role: &'static str, profile: &'static str, seed: u64) -> Start {
        Start::new(role, profile, seed, Duration::ZERO, Duration::ZERO)
    }
}

/// One line after the first.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since the start.
    t: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<u64>,
    #[serde(flatten)]
    body: Body<'a>,
}

/// What a line tells.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Body<'a> {
    Opened {
        local: SocketAddr,
        remote: SocketAddr,
        passive: bool,
    },
    State {
        from: &'static str,
        to: &'static str,
        on: &'static str,
    },
    Segment {
        dir: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        carries: Option<Vec<&'static str>>,
        flags: String,
        seq: u32,
        ack: u32,
        len: u32,
        win: u32,
        id: u16,
        #[serde(skip_serializing_if = "String::is_empty")]
        options: String,
        retransmission: u32,
        verdict: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<&'a str>,
    },
    Accepted {
        seq: u32,
        text: u32,
    },
    Discarded {
        reason: &'static str,
    },
    Deviated {
        rule: &'static str,
        requirement: &'static str,
        to: &'static str,
    },
    Timer {
        timer: &'static str,
        action: &'static str,
        /// When it will fire: seconds since the start.
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<f64>,
    },
    Icmp {
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        value: Option<u32>,
    },
    R1 {
        retransmissions: u32,
    },
    Urgent {
        up_to: u32,
    },
    Closed {
        reason: &'static str,
    },
    App {
        did: &'static str,
        /// The step, the reason, or octets, in which all that is not printable ASCII is written as
        /// in a script.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
}

/// Writes an events file, as `docs/events.schema.json` describes it.
pub struct Events {
    outlet: Outlet,
    start: Instant,
}

impl Events {
    /// Writes the first line; `start` is t = 0.
    pub fn new(outlet: Outlet, start: Instant, first: &Start) -> Events {
        let mut events = Events { outlet, start };
        events.line(first);
        events
    }

    fn line(&mut self, line: &impl Serialize) {
        // An outlet takes everything, and these types are all plain: neither call can fail.
        let _infallible = serde_json::to_writer(&mut self.outlet, line);
        let _infallible = self.outlet.write_all(b"\n");
    }

    fn body(&self, event: &Event) -> Body<'static> {
        match event.what {
            What::Opened {
                local,
                remote,
                passive,
            } => Body::Opened {
                local,
                remote,
                passive,
            },
            What::State { from, to, on } => Body::State {
                from: from.name(),
                to: to.name(),
                on: on.name(),
            },
            What::Deviated {
                rule,
                requirement,
                to,
            } => Body::Deviated {
                rule,
                requirement,
                to: to.name(),
            },
            What::Accepted { seq, text } => Body::Accepted { seq: seq.0, text },
            What::Discarded(reason) => Body::Discarded {
                reason: reason.name(),
            },
            What::Timer { timer, action } => {
                let (action, until) = match action {
                    TimerAction::Started { until } => {
                        ("started", Some(until.since(self.start).as_secs_f64()))
                    }
                    TimerAction::Fired => ("fired", None),
                    TimerAction::Stopped => ("stopped", None),
                };
                Body::Timer {
                    timer: timer.name(),
                    action,
                    until,
                }
            }
            What::Icmp(kind) => {
                let (kind, value) = words::icmp(kind);
                Body::Icmp { kind, value }
            }
            What::R1 { retransmissions } => Body::R1 { retransmissions },
            What::Urgent { up_to } => Body::Urgent { up_to: up_to.0 },
            What::Closed(reason) => Body::Closed {
                reason: reason.name(),
            },
        }
    }
}

impl Sink for Events {
    fn segment(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        let body = Body::Segment {
            dir: if record.out { "out" } else { "in" },
            cause: record.label.map(|label| label.cause.to_string()),
            carries: record.label.map(|label| label.carries.names().collect()),
            flags: record.flags.to_string(),
            seq: record.seq.0,
            ack: record.ack.0,
            len: record.len,
            win: record.window,
            id: record.id,
            options: record.options.to_string(),
            retransmission: record.retransmission,
            verdict: seen.judgement.verdict.name(),
            rule: seen.rule,
        };
        self.line(&Line {
            t: seen.t.as_secs_f64(),
            conn: seen.conn,
            body,
        });
    }

    fn event(&mut self, noted: &Noted<'_>) {
        let body = self.body(noted.event);
        self.line(&Line {
            t: noted.t.as_secs_f64(),
            conn: noted.conn,
            body,
        });
    }

    fn deed(&mut self, done: &Done<'_>) {
        let octets = |octets: &[u8]| Some(octets.escape_ascii().to_string());
        let (did, text) = match done.did {
            Did::Began(step) => ("began", Some(step.clone())),
            Did::Done => ("done", None),
            Did::Failed(why) => ("failed", Some(why.clone())),
            Did::Sent(data) => ("sent", octets(data)),
            Did::Received(data) => ("received", octets(data)),
            Did::Over => ("over", None),
        };
        self.line(&Line {
            t: done.t.as_secs_f64(),
            conn: done.conn,
            body: Body::App { did, text },
        });
    }

    fn flush(&mut self) {
        let _never_fails = self.outlet.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;
    use serde_json::Value;

    fn lines() -> String {
        let start = Start::new(
            "client",
            "linux",
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

    #[test]
    fn every_line_holds_against_the_schema() {
        let schema: Value =
            serde_json::from_str(include_str!("../../../docs/events.schema.json")).unwrap();
        for line in lines().lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            let name = value["event"].as_str().unwrap();
            let definition = &schema["$defs"][name];
            check(&schema, definition, &value).unwrap_or_else(|wrong| panic!("{line}: {wrong}"));
        }
    }

    #[test]
    fn wrong_lines_are_caught_by_the_schema() {
        let schema: Value =
            serde_json::from_str(include_str!("../../../docs/events.schema.json")).unwrap();
        for line in [
            r#"{"t":0.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN_SENT","on":"active OPEN"}"#,
            r#"{"t":0.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN-SENT"}"#,
            r#"{"t":-1.0,"conn":1,"event":"state","from":"CLOSED","to":"SYN-SENT","on":"active OPEN"}"#,
            r#"{"t":0.0,"conn":0,"event":"state","from":"CLOSED","to":"SYN-SENT","on":"active OPEN","extra":1}"#,
        ] {
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(
                check(&schema, &schema["$defs"]["state"], &value).is_err(),
                "{line}"
            );
        }
    }

    /// As much of JSON Schema as the file uses, `pattern` and `description` left out.
    fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let empty = serde_json::Map::new();
        let schema = schema.as_object().ok_or("no such definition")?;
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            check(
                root,
                root.pointer(reference.trim_start_matches('#')).unwrap(),
                value,
            )?;
        }
        let right_type = match schema.get("type").and_then(Value::as_str) {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("number") => value.is_number(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("boolean") => value.is_boolean(),
            other => other.is_none(),
        };
        let known = schema
            .get("enum")
            .is_none_or(|names| names.as_array().unwrap().contains(value));
        let equal = schema.get("const").is_none_or(|constant| constant == value);
        let enough = schema
            .get("minimum")
            .is_none_or(|least| value.as_f64() >= least.as_f64());
        let little = schema
            .get("maximum")
            .is_none_or(|most| value.as_f64() <= most.as_f64());
        if !(right_type && known && equal && enough && little) {
            return Err(format!("{value} is not {schema:?}"));
        }
        for item in value.as_array().into_iter().flatten() {
            schema
                .get("items")
                .map_or(Ok(()), |items| check(root, items, item))?;
        }
        let members = value.as_object().unwrap_or(&empty);
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            members
                .get(name.as_str().unwrap())
                .ok_or(format!("{name} is missing"))?;
        }
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        for (name, member) in members {
            match properties.get(name) {
                Some(property) => check(root, property, member)?,
                None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    return Err(format!("{name} is unknown"));
                }
                None => {}
            }
        }
        Ok(())
    }
}
