//! For tests of a [`Sink`]: a handshake whose third ACK is dropped, told to it as a host tells it.

use crate::record::{BackgroundWriter, Failures};
use std::io::{self, Read};
use std::net::SocketAddr;
use tcpx_proto::config::Config;
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::event::{Discard, Event, SegmentRecord, Timer, TimerAction, What};
use tcpx_proto::fault::{Judgement, Verdict};
use tcpx_proto::id::{ConnId, FourTuple};
use tcpx_proto::label::{Carries, Cause, Label};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Stack;
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::time::{Duration, Instant};
use tcpx_proto::trace::{Observed, ObservedSegment, Observer, Recorder, Sink};
use tcpx_proto::wire::{Flags, Header, Options};

/// When the run starts.
pub const START: Instant = Instant(5_000_000_000);
/// When that is, since 1970.
pub const REALTIME: Duration = Duration::from_secs(1_700_000_000);
/// The rule that drops the third ACK.
pub const RULE: &str = "drop out ack-of-syn";

fn local() -> SocketAddr {
    ([10, 0, 0, 1], 40000).into()
}

fn remote() -> SocketAddr {
    ([10, 0, 0, 2], 7000).into()
}

/// Runs the sample through one sink and returns what it wrote.
///
/// # Errors
/// Those of the pipe between them.
pub fn written(sink: impl FnOnce(BackgroundWriter) -> Box<dyn Sink>) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = io::pipe()?;
    let writer = BackgroundWriter::new("sample", writer, Failures::default())?;
    tell(&mut Recorder::new(START, sink(writer))).map_err(io::Error::other)?;
    let mut written = Vec::new();
    reader.read_to_end(&mut written)?;
    Ok(written)
}

/// SYN out; SYN,ACK in; the rule drops the third ACK; a segment from an unknown peer; ABORT.
fn tell(observer: &mut dyn Observer) -> Result<(), CallError> {
    let conn = conn_id()?;
    let mut event = |micros, packet, what| event(observer, micros, Some(conn), packet, what);
    event(
        0,
        None,
        What::Opened {
            local: local(),
            remote: remote(),
            passive: false,
        },
    );
    event(
        0,
        None,
        What::State {
            from: State::Closed,
            to: State::SynSent,
            on: Trigger::ActiveOpen,
        },
    );
    out(
        observer,
        10,
        conn,
        Flags::SYN,
        (100, 0),
        Label {
            cause: Cause::Call,
            carries: Carries::SYN,
        },
        pass(),
    );
    observer.flush();
    incoming(
        observer,
        500,
        Some(conn),
        Flags::SYN | Flags::ACK,
        (300, 101),
    );
    let mut event = |micros, packet, what| self::event(observer, micros, Some(conn), packet, what);
    event(
        500,
        Some(1),
        What::State {
            from: State::SynSent,
            to: State::Established,
            on: Trigger::SynAck,
        },
    );
    let until = START + Duration::from_secs(2);
    event(
        501,
        None,
        What::Timer {
            timer: Timer::KeepAlive,
            action: TimerAction::Started { until },
        },
    );
    let third = Label {
        cause: Cause::Ack,
        carries: Carries::ACK_OF_SYN,
    };
    out(
        observer,
        510,
        conn,
        Flags::ACK,
        (101, 301),
        third,
        dropped(),
    );
    incoming(observer, 600, None, Flags::ACK, (7, 8));
    self::event(
        observer,
        600,
        None,
        Some(2),
        What::Discarded(Discard::NotReserved),
    );
    observer.flush();
    self::event(
        observer,
        900,
        Some(conn),
        None,
        What::Closed(CloseReason::Aborted),
    );
    Ok(())
}

fn event(
    observer: &mut dyn Observer,
    micros: u64,
    conn: Option<ConnId>,
    packet: Option<u64>,
    what: What,
) {
    observer.observe(&Observed::Event(Event {
        at: START + Duration::from_micros(micros),
        conn,
        packet,
        what,
    }));
}

fn out(
    observer: &mut dyn Observer,
    micros: u64,
    conn: ConnId,
    flags: Flags,
    (seq, ack): (u32, u32),
    label: Label,
    judgement: Judgement,
) {
    let record = record(micros, Some(conn), true, Some(label), flags, (seq, ack));
    observer.observe(&Observed::Segment(ObservedSegment {
        record,
        rule: judgement.rule.map(|_| RULE.to_owned()),
        judgement,
        packet: packet(local(), remote(), flags, (seq, ack)).into(),
    }));
}

fn incoming(
    observer: &mut dyn Observer,
    micros: u64,
    conn: Option<ConnId>,
    flags: Flags,
    (seq, ack): (u32, u32),
) {
    let record = record(micros, conn, false, None, flags, (seq, ack));
    observer.observe(&Observed::Segment(ObservedSegment {
        record,
        rule: None,
        judgement: pass(),
        packet: packet(remote(), local(), flags, (seq, ack)).into(),
    }));
}

/// A SYN offers an MSS and a window scale.
fn record(
    micros: u64,
    conn: Option<ConnId>,
    out: bool,
    label: Option<Label>,
    flags: Flags,
    (seq, ack): (u32, u32),
) -> SegmentRecord {
    let at = START + Duration::from_micros(micros);
    let syn = flags.contains(Flags::SYN);
    let options = Options {
        mss: syn.then_some(1460),
        window_scale: syn.then_some(7),
        ..Options::default()
    };
    SegmentRecord {
        at,
        conn,
        out,
        label,
        flags,
        seq: Seq(seq),
        ack: Seq(ack),
        len: 0,
        window: 64240,
        id: 9,
        retransmission: 0,
        options,
    }
}

fn pass() -> Judgement {
    Judgement::PASS
}

fn dropped() -> Judgement {
    Judgement {
        verdict: Verdict::Drop,
        rule: Some(0),
        ..Judgement::PASS
    }
}

fn packet(
    source: SocketAddr,
    destination: SocketAddr,
    flags: Flags,
    (seq, ack): (u32, u32),
) -> Vec<u8> {
    let header = Header {
        source,
        destination,
        seq: Seq(seq),
        ack: Seq(ack),
        flags,
        window: 64240,
        urgent: 0,
        options: Options::default(),
        ttl: 64,
        tos: 0,
        id: 9,
    };
    let mut into = vec![0; 100];
    let len = header.emit((&[], &[]), &mut into).unwrap_or_default();
    into.truncate(len);
    into
}

/// Only a stack gives out names of connections.
fn conn_id() -> Result<ConnId, CallError> {
    let config = Config::default();
    let conn = config.conn.clone();
    let mut stack = Stack::new(config, 1);
    stack.reserve(local().ip(), 40000..=40000);
    stack.connect(
        Instant::ZERO,
        FourTuple {
            local: local(),
            remote: remote(),
        },
        &conn,
    )
}
