//! One step of a run.

use super::end::{address, tuple};
use super::world::{Call, PATHS, Packet, World};
use crate::bytes::Bytes;
use std::time::Duration;
use tcpx_proto::config::{KeepAlive, SocketOption};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Stack;
use tcpx_proto::wire::{
    Field, Flags, Header, Options, SackBlocks, Timestamps, fix_checksums, flip_bit, icmp_error,
    patch,
};

/// Calls on one connection.
const CALLS: [Call; 5] = [
    Stack::shutdown,
    Stack::close,
    Stack::abort,
    Stack::release,
    |stack, now, id| stack.receive_urgent(now, id).map(drop),
];

/// Reads one step and does it.
pub(super) fn step(world: &mut World, bytes: &mut Bytes<'_>) {
    let kind = bytes.byte();
    let side = usize::from(kind & 1);
    match (kind >> 1) % 32 {
        0..4 => world.run(world.now + Duration::from_millis(u64::from(bytes.byte() % 8))),
        4..7 => {
            world.advance_to_next();
        }
        7 => world.run(world.now + Duration::from_millis(u64::from(bytes.short()))),
        8 => world.run(world.now + Duration::from_secs(u64::from(bytes.short()))),
        9 | 10 => world.connect(side, bytes.below(PATHS)),
        11 | 12 => {
            let nth = connection(world, side, bytes);
            let len = 1 + usize::from(bytes.short() % 5000);
            world.send(side, nth, len);
        }
        13 => {
            let nth = connection(world, side, bytes);
            world.send(side, nth, 1 + bytes.below(32));
        }
        14 | 15 => {
            let nth = connection(world, side, bytes);
            world.read(side, nth, usize::from(bytes.short()));
        }
        16 | 17 => call(world, side, bytes),
        18 if bytes.byte() & 1 == 0 => set_option(world, side, bytes),
        18 => listen(world, side),
        19 => restart(world, side),
        20 | 21 => lose(world, bytes),
        22 => copy(world, bytes),
        23 => overtake(world, bytes),
        24 => alter(world, bytes),
        25..30 => forge(world, side, bytes),
        30 => raw(world, side, bytes),
        _ => icmp(world, side, bytes),
    }
    world.drain();
}

fn connection(world: &World, side: usize, bytes: &mut Bytes<'_>) -> usize {
    let count = world.ends[side].conns.len();
    // The newest is the most interesting.
    count.saturating_sub(1 + bytes.below(4))
}

fn call(world: &mut World, side: usize, bytes: &mut Bytes<'_>) {
    let nth = connection(world, side, bytes);
    let which = CALLS[bytes.below(CALLS.len())];
    let now = world.now;
    let end = &mut world.ends[side];
    if let Some(conn) = end.conns.get(nth).copied() {
        let _refused = end.call(|stack| which(stack, now, conn.id));
    }
}

/// How often a connection is probed at most.
const MOST_OFTEN: Duration = Duration::from_millis(500);

/// An option that changes after OPEN.
fn set_option(world: &mut World, side: usize, bytes: &mut Bytes<'_>) {
    let nth = connection(world, side, bytes);
    let value = bytes.byte();
    let time = Duration::from_millis(u64::from(bytes.short()));
    let option = match bytes.below(7) {
        0 => SocketOption::NoDelay(value & 1 == 1),
        // More often, the probes alone would fill a run.
        1 => SocketOption::KeepAlive((value & 1 == 1).then(|| KeepAlive {
            idle: time.max(MOST_OFTEN),
            interval: time.max(MOST_OFTEN),
            probes: u32::from(value >> 1),
        })),
        2 => SocketOption::UserTimeout((value & 1 == 1).then_some(time)),
        3 => SocketOption::Linger2(time),
        4 => SocketOption::Tos(value),
        5 => SocketOption::Linger((value & 1 == 1).then_some(Duration::ZERO)),
        _ => SocketOption::Ttl(value),
    };
    let now = world.now;
    let end = &mut world.ends[side];
    if let Some(conn) = end.conns.get(nth).copied() {
        let _refused = end.call(|stack| stack.set_option(now, conn.id, option));
    }
}

/// The listener ends, or there is one again.
fn listen(world: &mut World, side: usize) {
    let now = world.now;
    let end = &mut world.ends[side];
    let config = end.stack.config().conn.clone();
    end.listener = match end.listener.take() {
        Some(listener) => {
            end.call(|stack| stack.close_listener(now, listener));
            None
        }
        None => end
            .call(|stack| stack.listen(now, address(side, 0), 2, &config))
            .ok(),
    };
}

fn restart(world: &mut World, side: usize) {
    let now = world.now;
    world.honest = false;
    world.ends[side].call(|stack| stack.restart(now));
    world.ends[side].listener = None;
}

/// Which of the packets on their way.
fn any(world: &World, bytes: &mut Bytes<'_>) -> Option<usize> {
    let count = world.flying.len();
    (count > 0).then(|| usize::from(bytes.byte()) % count)
}

fn lose(world: &mut World, bytes: &mut Bytes<'_>) {
    if let Some(at) = any(world, bytes) {
        world.flying.remove(at);
    }
}

/// It arrives once more, up to a minute later.
fn copy(world: &mut World, bytes: &mut Bytes<'_>) {
    if let Some(at) = any(world, bytes) {
        let (when, packet) = world.flying[at].clone();
        let later = Duration::from_millis(u64::from(bytes.short()));
        world.flying.push_back((when + later, packet));
    }
}

fn overtake(world: &mut World, bytes: &mut Bytes<'_>) {
    if let Some(at) = any(world, bytes) {
        let with = any(world, bytes).unwrap_or(at);
        world.flying.swap(at, with);
    }
}

/// A field has another value and the checksum is right, or a bit is flipped and it is not.
fn alter(world: &mut World, bytes: &mut Bytes<'_>) {
    if let Some(at) = any(world, bytes) {
        world.honest = false;
        let (_, packet) = &mut world.flying[at];
        match Field::ALL.get(bytes.below(Field::ALL.len() + 1)) {
            Some(field) => {
                let by = bytes.word();
                patch(&mut packet.bytes, *field, |old| {
                    old.wrapping_add(by) & field.max()
                });
                fix_checksums(&mut packet.bytes);
            }
            None => flip_bit(&mut packet.bytes, bytes.word().into()),
        }
    }
}

/// A number near to this one, or any.
fn near(base: Seq, bytes: &mut Bytes<'_>) -> Seq {
    match bytes.byte() {
        by @ 0..=15 => base + u32::from(by),
        by @ 16..=31 => base.back(u32::from(by) - 15),
        32..=200 => base,
        201..=220 => base + u32::from(bytes.short()),
        221..=240 => base.back(bytes.short().into()),
        _ => Seq(bytes.word()),
    }
}

/// A segment as if from the other end.
fn forge(world: &mut World, to: usize, bytes: &mut Bytes<'_>) {
    world.honest = false;
    let path = bytes.below(PATHS);
    let ends = tuple(to, path);
    let status = world.ends[to]
        .stack
        .lookup(ends)
        .and_then(|id| world.ends[to].stack.status(id));
    let (rcv_nxt, snd_nxt) = status.map_or((Seq(1000), Seq(0)), |status| {
        (status.rcv_nxt, status.snd_nxt)
    });
    let last = world.ends[1 - to].last.map(|header| header.options);
    let seq = near(rcv_nxt, bytes);
    let ack = near(snd_nxt, bytes);
    let flags = match bytes.byte() {
        0..=99 => Flags::ACK,
        100..=129 => Flags::ACK | Flags::FIN,
        130..=159 => Flags::SYN,
        160..=179 => Flags::SYN | Flags::ACK,
        180..=199 => Flags::RST,
        _ => Flags(bytes.byte()),
    };
    let header = Header {
        source: ends.remote,
        destination: ends.local,
        seq,
        ack,
        flags,
        window: bytes.short(),
        urgent: u16::from(bytes.byte()),
        options: options(last.unwrap_or_default(), snd_nxt, bytes),
        ttl: 64,
        tos: bytes.byte() & 3,
        id: 1,
    };
    let len = match bytes.byte() {
        0..=127 => 0,
        len @ 128..=200 => usize::from(len) - 127,
        _ => usize::from(bytes.short() % 3000),
    };
    let mut packet = vec![0; len + 100];
    if let Ok(len) = header.emit((&vec![b'f'; len], &[]), &mut packet) {
        packet.truncate(len);
        world.arrive(&Packet { to, bytes: packet });
    }
}

/// Like those that the end in whose name it is forged sends, or not.
fn options(last: Options, snd_nxt: Seq, bytes: &mut Bytes<'_>) -> Options {
    let kinds = bytes.byte();
    let mut options = Options {
        sack: SackBlocks::default(),
        ..last
    };
    if kinds & 1 != 0 {
        let by = bytes.word();
        options.timestamps = last.timestamps.map(|stamps| Timestamps {
            value: stamps.value.wrapping_add(by),
            ..stamps
        });
    }
    if kinds & 2 != 0 {
        options.timestamps = None;
    }
    if kinds & 4 != 0 {
        options.mss = Some(bytes.short());
    }
    if kinds & 8 != 0 {
        options.window_scale = Some(bytes.byte());
    }
    for _ in 0..kinds >> 6 {
        let left = near(snd_nxt, bytes).back(bytes.short().into());
        options.sack.push(left, left + u32::from(bytes.short()));
    }
    options
}

/// Bytes as they come, behind a header that makes them a packet for us.
fn raw(world: &mut World, to: usize, bytes: &mut Bytes<'_>) {
    world.honest = false;
    let len = bytes.byte();
    let packet = Packet {
        to,
        bytes: bytes.slice(len.into()).to_vec(),
    };
    world.arrive(&packet);
    let now = world.now;
    world.ends[to].call(|stack| stack.icmp_arrives(now, &packet.bytes));
}

/// An ICMP error about the last segment that this end sent, or one near it.
fn icmp(world: &mut World, to: usize, bytes: &mut Bytes<'_>) {
    let Some(mut header) = world.ends[to].last else {
        return;
    };
    header.seq = near(header.seq, bytes);
    let kind = bytes.byte() % 13;
    let code = bytes.byte() % 6;
    let mtu = bytes.short();
    let mut quoted = [0; 100];
    let len = header.emit((&[], &[]), &mut quoted).unwrap_or_default();
    let ends = (header.source.ip(), header.destination.ip());
    if let (std::net::IpAddr::V4(us), std::net::IpAddr::V4(them)) = ends {
        let packet = icmp_error(them, us, [kind, code], mtu, &quoted[..len]);
        let now = world.now;
        world.ends[to].call(|stack| stack.icmp_arrives(now, &packet));
    }
}
