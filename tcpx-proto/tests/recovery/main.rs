//! Loss recovery with SACK, time-based loss detection, tail-loss probes: RFC 6675 and RFC 8985 by
//! section, and peers that lie.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod liars;
mod linux;
mod rack;
mod reneging;
mod rfc_6675;
mod tail_probe;
mod window_use;

use std::time::Duration;

use common::{ACK, Bench, PEER_ISS, SYN_ACK, Sent};
use proptest::prelude::*;
use tcpx_proto::config::{
    Config, Congestion, ConnConfig, CwndReduction, FinRepeats, Profile, Recovery, Rto, SlowStart,
    SpuriousLoss, TimeoutSack,
};
use tcpx_proto::event::Timer;
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Options, SackBlocks};

const MSS: u32 = 1460;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn config(recovery: Recovery) -> Config {
    let mut config = Bench::plain(Profile::Rfc9293);
    config.conn.sack = true;
    config.conn.recovery = recovery;
    config
}

/// Open to a peer that permits SACK, with this many full segments in flight.
fn in_flight(config: Config, segments: u32) -> (Bench, Seq) {
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        sack_permitted: true,
        ..bench.syn_options
    };
    bench.enter("ESTABLISHED");
    let first = bench.snd_nxt;
    let sent = bench.send(&vec![7; (segments * MSS) as usize]);
    assert_eq!(sent.len() as u32, segments);
    (bench, first)
}

/// An ACK of everything before segment `ack` that says that these segments are held.
fn sack(bench: &mut Bench, first: Seq, ack: u32, held: &[(u32, u32)]) -> Vec<Sent> {
    bench.now = bench.now + millis(1);
    let bytes: Vec<_> = held
        .iter()
        .map(|(left, right)| (first + left * MSS, first + right * MSS))
        .collect();
    sack_bytes(bench, first + ack * MSS, &bytes)
}

fn sack_bytes(bench: &mut Bench, ack: Seq, held: &[(Seq, Seq)]) -> Vec<Sent> {
    sack_with(bench, ack, held, b"")
}

fn sack_with(bench: &mut Bench, ack: Seq, held: &[(Seq, Seq)], text: &[u8]) -> Vec<Sent> {
    let mut header = bench.header(bench.rcv_nxt, ack, ACK);
    let mut blocks = SackBlocks::default();
    held.iter()
        .for_each(|(left, right)| assert!(blocks.push(*left, *right)));
    header.options.sack = blocks;
    bench.say(header, text)
}

/// Which segments these are, counted from the first byte.
fn which(first: Seq, sent: &[Sent]) -> Vec<u32> {
    sent.iter()
        .map(|sent| sent.header.seq.since(first) / MSS)
        .collect()
}

fn causes(sent: &[Sent]) -> Vec<Cause> {
    sent.iter().map(|sent| sent.label.cause).collect()
}

/// An open connection whose round-trip time is known to be 100 ms, but for what the handshake's
/// still counts.
fn measured(recovery: Recovery) -> (Bench, Seq) {
    measured_with(config(recovery))
}

fn measured_with(config: Config) -> (Bench, Seq) {
    let (mut bench, mut first) = in_flight(config, 1);
    for _ in 0..40 {
        bench.now = bench.now + millis(99);
        sack(&mut bench, first, 1, &[]);
        first += MSS;
        bench.send(&[7; MSS as usize]);
    }
    bench.now = bench.now + millis(99);
    sack(&mut bench, first, 1, &[]);
    (bench, first + MSS)
}

/// Linux has nothing but RACK since 6.17, and CUBIC unless told otherwise; RFC 9293 names RFC 5681.
#[test]
fn profiles_recover_as_their_originals_do() {
    let of = |profile: Profile| profile.config().conn;
    assert_eq!(of(Profile::Linux).recovery, Recovery::Rack);
    assert_eq!(of(Profile::Linux).congestion, Congestion::Cubic);
    assert_eq!(of(Profile::Rfc9293).recovery, Recovery::Rfc6675);
    assert_eq!(of(Profile::Rfc9293).congestion, Congestion::NewReno);
}
