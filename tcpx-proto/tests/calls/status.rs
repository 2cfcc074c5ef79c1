//! STATUS says what `TCP_INFO` says.

use super::common::{ACK, Bench, PEER_ISS, with};
use std::time::Duration;
use tcpx_proto::config::Profile;
use tcpx_proto::seq::Seq;
use tcpx_proto::tcb::RecoveryState;
use tcpx_proto::wire::{Flags, Options, Timestamps};

const MSS: usize = 1460;

#[test]
fn status_counts_segments_and_bytes_and_says_what_was_negotiated() {
    let mut bench = Bench::new(with(Bench::plain(Profile::Linux), |conn| {
        conn.sack = true;
        conn.window_scaling = true;
    }));
    bench.syn_options = Options {
        sack_permitted: true,
        window_scale: Some(7),
        ..bench.syn_options
    };
    bench.window = 6000;
    bench.enter("ESTABLISHED");
    let fresh = bench.status();
    assert_eq!(
        (fresh.sack, fresh.timestamps, fresh.ecn),
        (true, false, false)
    );
    assert_eq!(fresh.window_scale.map(|(theirs, _)| theirs), Some(7));
    assert_eq!(
        (fresh.offered_mss, fresh.path_mtu, fresh.ssthresh),
        (1460, 1500, None)
    );
    assert_eq!(
        (fresh.segments_in, fresh.segments_out),
        (1, 0),
        "the third ACK, as in Linux"
    );
    bench.text(b"hello");
    let start = bench.now;
    bench.send(&[0; 4 * MSS]);
    bench
        .stack
        .set_option(
            bench.now,
            bench.conn(),
            tcpx_proto::config::SocketOption::NoDelay(false),
        )
        .unwrap();
    bench.send(b"held");
    bench.send(b"back");
    let mut sack = bench.header(bench.rcv_nxt, bench.snd_una, ACK);
    sack.options.sack.push(
        bench.snd_una + 2 * MSS as u32,
        bench.snd_una + 3 * MSS as u32,
    );
    bench.now = bench.now + Duration::from_millis(30);
    bench.say(sack, b"");
    let status = bench.status();
    assert_eq!(status.recovery, RecoveryState::Disorder);
    assert_eq!((status.sacked, status.in_flight), (1460, 4 * 1460 + 4));
    assert_eq!((status.unsent, status.unacknowledged), (4, 4 * 1460 + 8));
    assert_eq!(status.text_heard_at, Some(start));
    assert_eq!((status.bytes_received, status.delivered()), (5, 1460));
    bench.run(Duration::from_millis(250));
    let status = bench.status();
    assert!(
        status.lost > 0 && status.retransmitted > 0 && status.ssthresh.is_some(),
        "{status}"
    );
    assert!(
        status.segments_retransmitted > 0 && status.bytes_retransmitted > 0,
        "{status}"
    );
    let mut all = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
    all.options
        .sack
        .push(bench.snd_una, bench.snd_una + MSS as u32);
    bench.say(all, b"");
    let status = bench.status();
    assert_eq!(
        (status.in_flight, status.sacked, status.lost),
        (4, 0, 0),
        "what was held"
    );
    assert_eq!(status.duplicates_reported, 1);
    assert_eq!(
        status.bytes_acked,
        status.bytes_sent - status.bytes_retransmitted - 4
    );
    assert!(status.to_string().contains(" sack wscale:7,"), "{status}");
}

#[test]
fn status_is_in_loss_after_a_timeout_and_counts_unanswered_probes() {
    let mut bench = Bench::new(Bench::plain(Profile::Rfc9293));
    bench.enter("ESTABLISHED");
    bench.send(b"x");
    bench.run(Duration::from_millis(1500));
    let status = bench.status();
    assert_eq!(
        (status.recovery, status.segments_retransmitted),
        (RecoveryState::Loss, 1)
    );
    assert_eq!((status.bytes_sent, status.bytes_retransmitted), (2, 1));
    bench.window = 0;
    bench.acknowledge();
    bench.send(b"y");
    bench.run(Duration::from_millis(8000));
    assert!(bench.status().probes >= 2, "{:?}", bench.status().probes);
    assert_eq!(bench.status().irs, PEER_ISS);
    bench.arrive(bench.rcv_nxt, bench.snd_una, ACK | Flags::FIN, b"end");
    assert_eq!(bench.status().bytes_received, 3);
}

/// A timestamp knows only whole milliseconds.
#[test]
fn status_takes_the_first_round_trip_time_from_the_syn_itself() {
    let config = with(Bench::plain(Profile::Linux), |conn| conn.timestamps = true);
    let mut bench = Bench::new(config).with_timestamps(1000);
    bench.listen();
    let sent = bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"");
    let start = bench.now;
    bench.now = bench.now + Duration::from_micros(50);
    let mut ack = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
    let stamp = sent[0].header.options.timestamps.unwrap();
    ack.options.timestamps = Some(Timestamps {
        value: stamp.echo,
        echo: stamp.value,
    });
    bench.say(ack, b"");
    let status = bench.status();
    assert!(status.timestamps);
    assert_eq!(status.srtt, Some(bench.now.since(start)));
}
