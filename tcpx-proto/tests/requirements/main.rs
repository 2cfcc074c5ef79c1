//! The numbered requirements of RFC 9293, and those of its companions, that the engine alone can
//! keep: one test each, named by its number. What is a matter of one segment in one state is in
//! `transitions.rs`, those of the wire format in `wire`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod attacks;
mod closing;
#[expect(dead_code, reason = "each test binary uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod congestion;
mod coverage;
mod extensions;
mod keepalive;
mod link;
mod opening;
mod pair;
mod retransmission;
mod segments;
#[expect(dead_code, reason = "`make rfc` uses the rest")]
mod tags;
mod time_wait;
mod urgent;
mod windows;

use pair::Pair;

use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, plain, with};
use proptest::prelude::*;
use tcpx_proto::config::{
    Config, KeepAlive, Profile, Rto, Samples, ShrunkWindow, SynSentShutdown, Variance, WindowUpdate,
};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::event::{Discard, What};
use tcpx_proto::id::{ConnId, FourTuple};
use tcpx_proto::label::Cause;
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::{Signal, Stack};
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{Flags, Options, Timestamps};

const MSS: usize = 1460;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn rfc() -> Config {
    Profile::Rfc9293.config()
}

fn open(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.enter("ESTABLISHED");
    bench
}

/// Opened by a SYN with these options.
fn open_to(config: Config, syn_options: Options) -> Bench {
    let mut bench = Bench::new(config);
    bench.stamp = syn_options.timestamps.map(|stamps| stamps.value);
    bench.syn_options = syn_options;
    bench.enter("ESTABLISHED");
    bench
}

/// When they were sent, in whole milliseconds since then.
fn times(since: Instant, sent: &[Sent]) -> Vec<u128> {
    sent.iter()
        .map(|sent| sent.at.since(since).as_millis())
        .collect()
}

fn seqs(sent: &[Sent]) -> Vec<(Seq, usize)> {
    sent.iter()
        .map(|sent| (sent.header.seq, sent.text.len()))
        .collect()
}

fn ended(bench: &Bench) -> Option<CloseReason> {
    bench.signals.iter().find_map(|signal| {
        if let Signal::Closed(_, reason) = signal {
            Some(*reason)
        } else {
            None
        }
    })
}

fn text(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// The peer has closed its window, and there is text to send.
fn stuck(config: Config) -> Bench {
    let mut bench = open(config);
    bench.window = 0;
    bench.acknowledge();
    bench.send(&text(100));
    bench
}

/// Proves MUST-40, MUST-38, SHLD-10.
#[test]
fn config_of_the_rfc_keeps_its_numbers() {
    let conn = rfc().conn;
    assert_eq!(
        conn.rto,
        Rto {
            initial: secs(1),
            min: secs(1),
            max: conn.rto.max,
            backoff: 2,
            variance: Variance::Rfc6298,
            samples: Samples::Unambiguous
        }
    );
    assert!(conn.rto.max >= secs(60), "RFC 6298 (2.5)");
    assert_eq!(conn.msl, secs(120));
    assert!(conn.delayed_ack.unwrap() < millis(500), "MUST-40");
    assert!(
        conn.sws_override
            .is_some_and(|time| (millis(100)..=secs(1)).contains(&time)),
        "MUST-38"
    );
    assert!(conn.r1 >= 3, "SHLD-10");
    assert_eq!(conn.keepalive, None, "MUST-25");
}
