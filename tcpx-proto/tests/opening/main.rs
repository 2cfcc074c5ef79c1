//! What else a SYN carries: an MSS of 0, text and a FIN, the echo of a timestamp, and the
//! TIME-WAIT that it seemed to end. What is said of Linux was measured with 6.18.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
#[path = "../common/mod.rs"]
mod common;
mod echo;
mod listener_end;
mod options;
mod text;
mod time_wait;

use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, plain, spell, with};
use tcpx_proto::config::{Config, Overflow, Profile};
use tcpx_proto::error::CloseReason;
use tcpx_proto::event::{Discard, What};
use tcpx_proto::seq::Seq;
use tcpx_proto::stack::Signal;
use tcpx_proto::state::State;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps};

const FIN: Flags = Flags::FIN;
const SYN: Flags = Flags::SYN;
const RST: Flags = Flags::RST;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Flags, and the bytes of the peer's that are acknowledged.
fn acks(sent: &[Sent]) -> Vec<(Flags, u32)> {
    sent.iter()
        .map(|sent| (sent.header.flags, sent.header.ack.since(PEER_ISS + 1)))
        .collect()
}

fn accept(bench: &mut Bench) {
    bench.id = Some(
        bench
            .stack
            .accept(bench.now, bench.listener.unwrap())
            .unwrap(),
    );
}

/// SYNs from other ports.
fn strangers(bench: &mut Bench, count: u16, text: &[u8]) {
    for port in 100..100 + count {
        let header = Header {
            source: ([10, 0, 0, 2], port).into(),
            ..bench.header(PEER_ISS, Seq(0), SYN)
        };
        bench.say(header, text);
    }
}

#[test]
fn mss_of_the_peer_is_ignored_if_0_and_48_at_least() {
    let config = |timestamps| {
        with(Bench::plain(Profile::Linux), |conn| {
            conn.timestamps = timestamps
        })
    };
    for (offered, plain, stamped) in [
        (None, 536, 524),
        (Some(0), 536, 524),
        (Some(1), 48, 36),
        (Some(48), 48, 36),
        (Some(49), 49, 37),
        (Some(88), 88, 76),
        (Some(1460), 1460, 1448),
    ] {
        for (timestamps, full) in [(false, plain), (true, stamped)] {
            let mut bench = Bench::new(config(timestamps));
            bench.syn_options = Options {
                mss: offered,
                ..Options::default()
            };
            bench.stamp = timestamps.then_some(1000);
            bench.enter("ESTABLISHED");
            assert_eq!(
                bench.send(&[0; 3000])[0].text.len(),
                full,
                "{offered:?} {timestamps}"
            );
        }
    }
}

#[test]
fn mss_of_0_in_a_syn_ack_and_in_a_syn_that_gets_a_cookie_is_ignored() {
    let mut bench = Bench::new(plain());
    bench.syn_options.mss = Some(0);
    bench.connect();
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.send(&[0; 3000])[0].text.len(), 536);

    let mut bench = Bench::new(plain());
    bench.listen();
    strangers(&mut bench, 16, b"");
    bench.syn_options.mss = Some(0);
    let cookie = bench.arrive(PEER_ISS, Seq(0), SYN, b"")[0].header.seq;
    assert_eq!(bench.stack.counters().cookies_sent, 1);
    bench.arrive(PEER_ISS + 1, cookie + 1, ACK, b"");
    accept(&mut bench);
    assert_eq!(bench.send(&[0; 3000])[0].text.len(), 536);
}
