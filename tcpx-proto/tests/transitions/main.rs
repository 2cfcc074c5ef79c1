//! Every state meets every call, segment and timeout, and does what RFC 9293 section 3.10 says
//! (`../data/rfc9293.tsv`: section, profile, state, what was before, event, replies, next state,
//! signals to the user). Calls that an application cannot make here (SEND or CLOSE on a listener's
//! embryo, active OPEN of a listener) have no rows. Where the text contradicts itself, the row
//! follows its sense: no ACK for a bare ACK in TIME-WAIT, a RST for any wrong ACK in SYN-RECEIVED,
//! RCV.NXT past one FIN only.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod conformance;
#[expect(dead_code, reason = "each test binary uses its part")]
#[path = "../requirements/tags.rs"]
mod tags;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Bench, Symbols, agrees, field, spell};
use tcpx_proto::config::{KeepAlive, Profile, TimeWaitRst};
use tcpx_proto::error::CallError;
use tcpx_proto::event::{Timer, TimerAction, What};
use tcpx_proto::id::{ConnId, FourTuple};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Signal;
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tcpx_proto::wire::{Flags, Timestamps};

const TABLE: &str = include_str!("../data/rfc9293.tsv");

/// The last timestamp of the peer, where it has them.
const STAMP: u32 = 1000;

struct Row<'a> {
    section: &'a str,
    state: &'a str,
    given: &'a str,
    event: &'a str,
    reply: &'a str,
    next: &'a str,
    user: &'a str,
}

/// What an event did: the segments that it sent, and the answer of a call.
type Did = (Vec<common::Sent>, Option<String>);

fn prepare(profile: Profile, row: &Row<'_>) -> Bench {
    let has = |what| row.given.split("; ").any(|given| given == what);
    let mut config = Bench::plain(profile);
    if has("timestamps") {
        config.conn.timestamps = true;
    }
    if has("keepalive") {
        config.conn.keepalive = Some(KeepAlive::default());
    }
    if has("user timeout") {
        config.conn.user_timeout = Some(Duration::from_secs(10));
    }
    if has("RST ignored") {
        config.conn.time_wait_rst = TimeWaitRst::Ignore;
    }
    if has("send buffer full") {
        config.conn.send_buffer = 0;
    }
    if has("window closed") {
        config.conn.receive_buffer = 1000;
    }
    let mut bench = Bench::new(config);
    if has("timestamps") {
        bench.stamp = Some(STAMP);
    }
    bench.unread = vec![
        b'u';
        if has("window closed") {
            1000
        } else {
            10 * usize::from(has("text unread"))
        }
    ];
    bench.enter(&if has("released") {
        format!("{}(orphan)", row.state)
    } else {
        row.state.to_owned()
    });
    if has("peer window closed") {
        bench.window = 0;
        bench.acknowledge();
    }
    if has("text queued") || has("text in flight") {
        bench.send(b"0123456789");
    }
    if has("no listener") {
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
    }
    if has("idle 25 days") {
        bench.run(Duration::from_secs(25 * 24 * 3600));
    }
    bench
}

/// A connection that once was, for calls in CLOSED.
fn bygone(bench: &mut Bench) -> ConnId {
    let config = bench.stack.config().conn.clone();
    let local = SocketAddr::new(bench.local.ip(), 7001);
    let id = bench
        .stack
        .connect(
            bench.now,
            FourTuple {
                local,
                remote: bench.remote,
            },
            &config,
        )
        .unwrap();
    bench.stack.abort(bench.now, id).unwrap();
    bench.drain();
    id
}

fn call(bench: &mut Bench, row: &Row<'_>) -> Did {
    let id = bench.id.unwrap_or_else(|| bygone(bench));
    let now = bench.now;
    let result = match (row.event, row.state) {
        ("OPEN passive", _) => {
            let config = bench.stack.config().conn.clone();
            bench
                .stack
                .listen(now, bench.local, 16, &config)
                .map(|listener| {
                    bench.listener = Some(listener);
                    String::from("ok")
                })
        }
        ("CLOSE", "LISTEN") => {
            bench.stack.close_listener(now, bench.listener.unwrap());
            Ok(String::from("ok"))
        }
        ("SEND", _) => bench
            .stack
            .send(now, id, b"0123456789")
            .map(|_| String::from("taken")),
        ("RECEIVE", _) => bench
            .stack
            .receive(now, id, &mut [0; 100])
            .map(|n| String::from(if n == 0 { "end" } else { "text" })),
        ("CLOSE", _) => bench.stack.close(now, id).map(|()| String::from("ok")),
        ("SHUTDOWN", _) => bench.stack.shutdown(now, id).map(|()| String::from("ok")),
        ("ABORT", _) => bench.stack.abort(now, id).map(|()| String::from("ok")),
        ("STATUS", _) => bench
            .stack
            .status(id)
            .map(|status| told(&status, row))
            .ok_or(CallError::NoConnection),
        (open, _) => active_open(bench, open),
    };
    let answer = result.unwrap_or_else(|error| String::from(name(error)));
    (bench.drain(), Some(answer))
}

/// STATUS names the state.
fn told(status: &Status, row: &Row<'_>) -> String {
    assert!(
        row.state.starts_with(status.state.name()),
        "{} is not {}",
        status.state,
        row.state
    );
    String::from("ok")
}

fn active_open(bench: &mut Bench, open: &str) -> Result<String, CallError> {
    let config = bench.stack.config().conn.clone();
    let (local, remote): (SocketAddr, SocketAddr) = match open {
        "OPEN active" => (bench.local, bench.remote),
        "OPEN unspecified" => (bench.local, ([0, 0, 0, 0], 9000).into()),
        "OPEN multicast" => (bench.local, ([224, 0, 0, 1], 9000).into()),
        "OPEN foreign" => (([10, 0, 0, 1], 9999).into(), bench.remote),
        other => panic!("unknown call {other}"),
    };
    bench
        .stack
        .connect(bench.now, FourTuple { local, remote }, &config)
        .map(|_| String::from("ok"))
}

fn name(error: CallError) -> &'static str {
    match error {
        CallError::NoConnection => "no-connection",
        CallError::NotReserved => "not-reserved",
        CallError::InUse(_) => "in-use",
        CallError::PortsExhausted => "ports-exhausted",
        CallError::BadRemote => "bad-remote",
        CallError::Limit => "limit",
        CallError::WouldBlock => "would-block",
        CallError::Closing => "closing",
        CallError::Ended(reason) => reason.name(),
    }
}

/// The segment of a row arrives.
fn segment(bench: &mut Bench, symbols: &mut Symbols, event: &str) -> Did {
    let flags = match field(event, "CTL").unwrap() {
        "none" => Flags::empty(),
        letters => Flags::from_letters(letters).unwrap(),
    };
    symbols.seg_seq = symbols.value(field(event, "SEQ").unwrap());
    symbols.seg_ack = field(event, "ACK").map_or(Seq(0), |ack| symbols.value(ack));
    let len = field(event, "LEN").map_or(0, |len| len.parse().unwrap());
    let mut header = bench.header(symbols.seg_seq, symbols.seg_ack, flags);
    match field(event, "TSVAL") {
        Some("none") => header.options.timestamps = None,
        Some(stamp) => {
            let offset: i64 = stamp.strip_prefix("TS.RECENT").unwrap().parse().unwrap();
            header.options.timestamps = Some(Timestamps {
                value: (i64::from(STAMP) + offset) as u32,
                echo: 0,
            });
        }
        None => {}
    }
    for (key, end) in [
        ("SRC", &mut header.source),
        ("DST", &mut header.destination),
    ] {
        if let Some(address) = field(event, key) {
            end.set_ip(address.parse().unwrap());
        }
    }
    bench.now = bench.now + Duration::from_millis(1);
    (bench.say(header, &vec![b'x'; len]), None)
}

/// Lets time pass until this timer fires; what that sends.
fn timer(bench: &mut Bench, name: &str) -> Did {
    for _ in 0..20 {
        let Some(deadline) = bench.stack.deadline() else {
            break;
        };
        bench.now = deadline;
        bench.events.clear();
        bench.stack.timeout(deadline);
        let sent = bench.drain();
        let fired = |what: &What| match what {
            What::Timer { timer, action } => *action == TimerAction::Fired && timer.name() == name,
            _ => false,
        };
        // A keepalive that heard something since looks again later.
        let again = sent.is_empty() && armed(bench).contains(name);
        if bench.events.iter().any(|event| fired(&event.what)) && !again {
            return (sent, None);
        }
    }
    (Vec::new(), Some(String::from("never fired")))
}

/// The timers that run.
fn armed(bench: &Bench) -> String {
    let runs = |wanted: &Timer| {
        let last = bench
            .events
            .iter()
            .rev()
            .find_map(|event| match event.what {
                What::Timer { timer, action } if timer == *wanted => Some(action),
                _ => None,
            });
        matches!(last, Some(TimerAction::Started { .. }))
    };
    let names: Vec<&str> = Timer::ALL
        .iter()
        .filter(|timer| runs(timer))
        .map(|timer| timer.name())
        .collect();
    if names.is_empty() {
        String::from("none")
    } else {
        names.join(" ")
    }
}

fn act(bench: &mut Bench, symbols: &mut Symbols, row: &Row<'_>) -> Did {
    bench.signals.clear();
    match row.event {
        "TIMERS armed" => (Vec::new(), Some(armed(bench))),
        "R2" => {
            let sent = bench.run(Duration::from_secs(3600));
            (
                sent.into_iter()
                    .filter(|sent| sent.header.flags.contains(Flags::RST))
                    .collect(),
                None,
            )
        }
        event if event.starts_with('<') => segment(bench, symbols, event),
        event if event.starts_with("TIMER ") => timer(bench, &event[6..]),
        _ => call(bench, row),
    }
}

/// The user's signals, in the words of the table.
fn signalled(bench: &Bench) -> String {
    let closed = bench.signals.iter().find_map(|signal| {
        if let Signal::Closed(_, reason) = signal {
            Some(reason.name())
        } else {
            None
        }
    });
    if let Some(reason) = closed {
        return format!("closed:{reason}");
    }
    let words = bench.signals.iter().filter_map(|signal| match signal {
        Signal::Established(_) => Some("established"),
        Signal::Readable(_) => Some("readable"),
        Signal::Urgent(_) => Some("urgent"),
        _ => None,
    });
    let words: Vec<&str> = words.collect();
    if words.is_empty() {
        String::from("-")
    } else {
        words.join(" ")
    }
}

/// The state as the table names it: how SYN-RECEIVED came about, and LISTEN where only the listener
/// is left and was asked for.
fn state(bench: &mut Bench, asked: &str) -> String {
    let config = bench.stack.config().conn.clone();
    match bench.state() {
        State::SynReceived => format!(
            "SYN-RECEIVED({})",
            if bench.status().passive {
                "passive"
            } else {
                "active"
            }
        ),
        State::Closed if asked == "LISTEN" => {
            let taken = bench.stack.listen(bench.now, bench.local, 1, &config)
                == Err(CallError::InUse(State::Listen));
            String::from(if taken { "LISTEN" } else { "CLOSED" })
        }
        state => String::from(state.name()),
    }
}

/// What tcpx made of a row.
struct Outcome {
    symbols: Symbols,
    sent: Vec<common::Sent>,
    next: String,
    told: String,
}

/// Runs a row; the error: its state was not reached.
fn outcome(profile: Profile, row: &Row<'_>) -> Result<Outcome, String> {
    let mut bench = prepare(profile, row);
    let before = state(&mut bench, row.state);
    if before != row.state {
        return Err(format!("the bench is in {before}"));
    }
    let mut symbols = Symbols::of(&bench);
    let (sent, answer) = act(&mut bench, &mut symbols, row);
    let next = state(&mut bench, row.next);
    let told = answer.unwrap_or_else(|| signalled(&bench));
    Ok(Outcome {
        symbols,
        sent,
        next,
        told,
    })
}

/// `None` when tcpx does what the row says.
fn judge(profile: Profile, row: &Row<'_>) -> Option<String> {
    let Outcome {
        symbols,
        sent,
        next,
        told,
    } = match outcome(profile, row) {
        Ok(outcome) => outcome,
        Err(what) => return Some(what),
    };
    let expected = symbols.replies(row.reply);
    if agrees(&expected, &sent) && next == row.next && told == row.user {
        return None;
    }
    let sent: Vec<String> = sent.iter().map(spell).collect();
    Some(format!(
        "expected {expected:?} {} {}, got {sent:?} {next} {told}",
        row.next, row.user
    ))
}

/// The rows of the table, each with the profiles that it is for.
fn rows() -> impl Iterator<Item = (&'static str, Row<'static>)> {
    TABLE.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [section, profiles, state, given, event, reply, next, user] = columns[..] else {
            panic!("bad row {line}")
        };
        let row = Row {
            section,
            state,
            given,
            event,
            reply,
            next,
            user,
        };
        (profiles, row)
    })
}

#[test]
fn every_state_meets_every_event_and_does_what_the_rfc_says() {
    let mut failures = Vec::new();
    for (profiles, row) in rows() {
        for profile in [Profile::Rfc9293, Profile::Rfc793] {
            if profiles != "both" && profiles != profile.name() {
                continue;
            }
            if let Some(what) = judge(profile, &row) {
                failures.push(format!(
                    "{} {} | {} [{}] | {}: {what}",
                    profile.name(),
                    row.section,
                    row.state,
                    row.given,
                    row.event
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn every_state_has_rows_for_calls_segments_and_timers() {
    let states = [
        "CLOSED",
        "LISTEN",
        "SYN-SENT",
        "SYN-RECEIVED(passive)",
        "SYN-RECEIVED(active)",
        "ESTABLISHED",
    ];
    let later = [
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "CLOSE-WAIT",
        "CLOSING",
        "LAST-ACK",
        "TIME-WAIT",
    ];
    for state in states.into_iter().chain(later) {
        let events: Vec<&str> = TABLE
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>())
            .filter(|row| row[2] == state)
            .map(|row| row[4])
            .collect();
        for bits in ["S", "R", "A", "AS", "AF", "F", "none"] {
            assert!(
                events.iter().any(|event| field(event, "CTL") == Some(bits)),
                "{state} has no segment with {bits}"
            );
        }
        assert!(events.contains(&"TIMERS armed"), "{state} has no timers");
        assert!(
            state == "LISTEN" || events.contains(&"STATUS"),
            "{state} has no call"
        );
    }
}
