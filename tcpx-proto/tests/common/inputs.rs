//! Anything that can happen to a connection, and what must hold whatever happens.

use std::time::Duration;

use super::{ACK, Bench, Sent, with};
use proptest::prelude::*;
use tcpx_proto::config::Config;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::tcb::Status;
use tcpx_proto::wire::{Flags, Timestamps};

/// Where it may begin.
pub(crate) const STATES: [&str; 11] = [
    "LISTEN",
    "SYN-SENT",
    "SYN-RECEIVED(active)",
    "SYN-RECEIVED(passive)",
    "ESTABLISHED",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "CLOSE-WAIT",
    "CLOSING",
    "LAST-ACK",
    "TIME-WAIT",
];

const BUFFER: usize = 20_000;

#[derive(Clone, Debug)]
pub(crate) enum Input {
    Segment {
        seq: i32,
        ack: i32,
        bits: u8,
        window: u16,
        len: usize,
        stamp: i32,
    },
    Icmp {
        kind: u8,
        code: u8,
        mtu: u16,
        seq: i32,
    },
    Send(usize),
    Receive(usize),
    Shutdown,
    Close,
    Abort,
    Wait(u64),
}

/// An offset from where a segment belongs.
fn near() -> impl Strategy<Value = i32> {
    prop_oneof![3 => -2i32..3, 1 => -70_000..70_000, 1 => any::<i32>()]
}

/// Any segment but a RST.
fn any_segment() -> impl Strategy<Value = Input> {
    let len = prop_oneof![Just(0), 0..2000usize];
    (near(), near(), any::<u8>(), any::<u16>(), len, -1i32..5).prop_map(
        |(seq, ack, bits, window, len, stamp)| Input::Segment {
            seq,
            ack,
            bits: bits & !Flags::RST.0,
            window,
            len,
            stamp,
        },
    )
}

/// An ACK, bare or with a full segment of text.
fn any_ack() -> impl Strategy<Value = Input> {
    let len = prop_oneof![Just(0), Just(1460usize)];
    (near(), near(), len, any::<u16>()).prop_map(|(seq, ack, len, window)| Input::Segment {
        seq,
        ack,
        bits: ACK.0,
        window,
        len,
        stamp: 1,
    })
}

fn any_icmp() -> impl Strategy<Value = Input> {
    (0u8..13, 0u8..6, any::<u16>(), near()).prop_map(|(kind, code, mtu, seq)| Input::Icmp {
        kind,
        code,
        mtu,
        seq,
    })
}

pub(crate) fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => any_segment(),
        8 => any_ack(),
        1 => any_icmp(),
        2 => (1..5000usize).prop_map(Input::Send),
        2 => (1..5000usize).prop_map(Input::Receive),
        1 => Just(Input::Shutdown),
        1 => prop_oneof![Just(Input::Close), Just(Input::Abort)],
        3 => (0..100_000u64).prop_map(Input::Wait),
    ]
}

fn put(bench: &mut Bench, input: &Input) -> Vec<Sent> {
    let by = |base: Seq, by: i32| Seq(base.0.wrapping_add_signed(by));
    match *input {
        Input::Segment {
            seq,
            ack,
            bits,
            window,
            len,
            stamp,
        } => {
            let mut header =
                bench.header(by(bench.rcv_nxt, seq), by(bench.snd_nxt, ack), Flags(bits));
            header.window = window;
            header.options.timestamps = (stamp >= 0).then(|| Timestamps {
                value: 1000 + stamp as u32,
                echo: 0,
            });
            return bench.say(header, &vec![1; len]);
        }
        Input::Icmp {
            kind,
            code,
            mtu,
            seq,
        } => return bench.icmp(kind, code, mtu, by(bench.snd_una, seq)),
        Input::Wait(time) => return bench.run(Duration::from_millis(time)),
        _ => {}
    }
    let Some(id) = bench.id else {
        return Vec::new();
    };
    let _ = match *input {
        Input::Send(len) => bench.stack.send(bench.now, id, &vec![2; len]).map(|_| ()),
        Input::Receive(len) => bench
            .stack
            .receive(bench.now, id, &mut vec![0; len])
            .map(|_| ()),
        Input::Shutdown => bench.stack.shutdown(bench.now, id),
        Input::Close => bench.stack.close(bench.now, id),
        _ => bench.stack.abort(bench.now, id),
    };
    bench.drain()
}

/// Puts these inputs in, one after the other, and checks the connection after each.
pub(crate) fn keep_the_invariants(
    config: Config,
    state: &str,
    inputs: &[Input],
) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(with(config, |conn| {
        conn.receive_buffer = BUFFER;
        conn.send_buffer = BUFFER;
    }));
    bench.stamp = Some(1000);
    bench.enter(state);
    for input in inputs {
        let id = bench.id;
        let before = id.and_then(|id| bench.stack.status(id));
        let sent = put(&mut bench, input);
        prop_assert!(sent.len() <= 200, "{} segments for {input:?}", sent.len());
        let Some(after) = bench.id.and_then(|id| bench.stack.status(id)) else {
            continue;
        };
        check(&after)?;
        let same = before.filter(|before| bench.id == id && before.state != State::SynSent);
        if let Some(before) = same {
            prop_assert!(before.rcv_nxt.le(after.rcv_nxt), "{before:?} {after:?}");
            prop_assert!(before.snd_una.le(after.snd_una), "{before:?} {after:?}");
        }
    }
    Ok(())
}

/// Puts these inputs into a stack whose records are compact whenever they rest, and into one whose
/// records are always whole: they must not differ in anything.
pub(crate) fn answer_alike_compact_and_whole(
    config: Config,
    state: &str,
    inputs: &[Input],
) -> Result<(), TestCaseError> {
    let bench = |whole_records| {
        let config = with(config.clone(), |conn| {
            conn.receive_buffer = BUFFER;
            conn.send_buffer = BUFFER;
        });
        let mut bench = Bench::new(Config {
            whole_records,
            ..config
        });
        bench.stamp = Some(1000);
        bench.enter(state);
        bench
    };
    let [mut compact, mut whole] = [bench(0), bench(usize::MAX)];
    for input in inputs {
        prop_assert_eq!(put(&mut compact, input), put(&mut whole, input));
        let seen = |bench: &Bench| {
            let ids: Vec<_> = bench.stack.connections().collect();
            let statuses: Vec<_> = ids.iter().map(|id| bench.stack.status(*id)).collect();
            (ids, statuses, bench.stack.counters(), bench.id)
        };
        prop_assert_eq!(seen(&compact), seen(&whole), "after {:?}", input);
        prop_assert_eq!(&compact.signals, &whole.signals, "after {:?}", input);
        prop_assert_eq!(&compact.events, &whole.events, "after {:?}", input);
    }
    Ok(())
}

/// In TIME-WAIT, where the application closes only one of two connections: the other one remembers
/// more, which must not matter to the peer.
pub(crate) fn answer_alike_in_time_wait_with_and_without_application(
    config: Config,
    inputs: &[Input],
) -> Result<(), TestCaseError> {
    let bench = || {
        let mut bench = Bench::new(with(config.clone(), |conn| {
            conn.receive_buffer = BUFFER;
            conn.send_buffer = BUFFER;
        }));
        bench.stamp = Some(1000);
        bench.enter("TIME-WAIT");
        bench
    };
    let [mut closed, mut open] = [bench(), bench()];
    closed.stack.close(closed.now, closed.conn()).unwrap();
    for input in inputs {
        if !matches!(
            input,
            Input::Segment { .. } | Input::Icmp { .. } | Input::Wait(_)
        ) {
            continue;
        }
        prop_assert_eq!(put(&mut closed, input), put(&mut open, input));
        prop_assert_eq!(closed.state(), open.state(), "after {:?}", input);
        // The next connection has another name where the application still has this one.
        if closed.state() != State::TimeWait {
            break;
        }
        prop_assert_eq!(&closed.events, &open.events, "after {:?}", input);
    }
    Ok(())
}

fn check(status: &Status) -> Result<(), TestCaseError> {
    prop_assert!(status.snd_una.le(status.snd_nxt), "{status:?}");
    prop_assert!(status.unread <= BUFFER + (1 << 14), "{status:?}");
    prop_assert!(status.unacknowledged <= BUFFER, "{status:?}");
    prop_assert!(status.rcv_wnd <= 65_536, "{status:?}");
    let timeless = matches!(
        status.state,
        State::Closed | State::Listen | State::TimeWait
    );
    let waits = status.snd_una != status.snd_nxt && !timeless;
    prop_assert!(
        !waits || status.deadline.is_some(),
        "something is outstanding and no timer runs: {status:?}"
    );
    Ok(())
}
