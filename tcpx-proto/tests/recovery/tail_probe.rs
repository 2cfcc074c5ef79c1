//! RFC 8985: tail-loss probes.

use super::*;

/// Proves 8985-3.
#[test]
fn rfc_8985_7_2_lost_tail_is_probed_after_two_round_trips_and_told_by_the_answer() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 4 * MSS as usize]);
    let start = bench.now;
    let srtt = bench.status().srtt.unwrap();
    let sent = bench.run(millis(300));
    assert_eq!(which(first, &sent), vec![3]);
    assert_eq!(causes(&sent), vec![Cause::TailLossProbe]);
    assert_eq!(sent[0].at.since(start), srtt * 2);
    bench.now = bench.now + millis(50);
    let sent = sack(&mut bench, first, 0, &[(3, 4)]);
    let more = bench.run(millis(50));
    assert_eq!(which(first, &[sent, more].concat()), [0, 1]);
    assert_eq!(which(first, &sack(&mut bench, first, 1, &[(3, 4)])), [2]);
    assert_eq!(bench.acknowledge(), []);
    assert_eq!(bench.run(Duration::from_secs(100)), []);
}

/// Proves 8985-3.
#[test]
fn rfc_8985_7_2_probe_of_a_single_segment_waits_for_a_delayed_ack() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 100]);
    let start = bench.now;
    let srtt = bench.status().srtt.unwrap();
    let sent = bench.run(millis(900));
    assert_eq!(which(first, &sent), vec![0]);
    assert_eq!(causes(&sent), vec![Cause::TailLossProbe]);
    assert_eq!(sent[0].at.since(start), srtt * 2 + millis(200));
    // The one probe there is; then the retransmission timer, from the probe on.
    let sent = bench.run(Duration::from_secs(1));
    assert_eq!(causes(&sent), [Cause::Retransmission(1)]);
    assert_eq!(sent[0].at.since(start), srtt * 2 + millis(1200));
}

#[test]
fn rfc_8985_7_2_two_small_segments_are_no_single_one_and_the_later_is_the_probe() {
    let mut config = config(Recovery::Rack);
    config.conn.no_delay = true;
    let (mut bench, first) = measured_with(config);
    bench.send(&[7; 10]);
    bench.send(&[8; 10]);
    let start = bench.now;
    let srtt = bench.status().srtt.unwrap();
    let sent = bench.run(millis(300));
    let [ref probe] = sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(probe.header.seq.since(first), 10);
    assert_eq!(probe.text.len(), 10);
    assert_eq!(probe.at.since(start), srtt * 2);
}

/// Proves 8985-4.
#[test]
fn rfc_8985_7_3_new_text_is_the_better_probe() {
    let (mut bench, first) = in_flight(config(Recovery::Rack), 1);
    bench.now = bench.now + millis(99);
    sack(&mut bench, first, 1, &[]);
    // More than the congestion window lets out, less than the peer's.
    bench.send(&vec![7; 30 * MSS as usize]);
    let nxt = bench.snd_nxt.since(first) / MSS;
    assert!(nxt < 20);
    let sent = bench.run(millis(250));
    assert_eq!(which(first, &sent), vec![nxt]);
    assert_eq!(causes(&sent), vec![Cause::TailLossProbe]);
}

/// Linux `tcp_send_loss_probe` asks for room for a whole segment, too.
#[test]
fn rfc_8985_7_3_new_text_for_which_the_window_is_too_small_is_no_probe() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 60 * MSS as usize]);
    let nxt = bench.snd_nxt.since(first) / MSS;
    assert!((bench.status().snd_wnd - nxt * MSS) < MSS);
    let sent = bench.run(millis(250));
    assert_eq!(which(first, &sent), vec![nxt - 1]);
    assert_eq!(causes(&sent), vec![Cause::TailLossProbe]);
}

#[test]
fn rfc_8985_7_4_probe_that_made_a_loss_good_costs_half_the_window_and_a_needless_one_nothing() {
    for (needless, expected) in [(true, 11), (false, 5)] {
        let (mut bench, first) = measured(Recovery::Rack);
        bench.send(&vec![7; 11 * MSS as usize]);
        let before = bench.status().cwnd;
        sack(&mut bench, first, 10, &[]);
        assert_eq!(which(first, &bench.run(millis(450))), [10]);
        if needless {
            // Both arrive: the ACK of the first, then a duplicate for the probe.
            sack(&mut bench, first, 11, &[]);
            sack(&mut bench, first, 11, &[]);
        }
        bench.send(&[7; 10]);
        bench.acknowledge();
        let after = bench.status().cwnd;
        assert!(
            if needless {
                after >= before
            } else {
                after <= before.max(expected * MSS)
            },
            "{needless}: {before} {after}"
        );
    }
}

/// The ACK of the first one and text that comes with the same number are no duplicates, so that the
/// probe made a loss good.
#[test]
fn rfc_8985_7_4_neither_the_first_ack_nor_text_of_the_peer_shows_a_probe_to_be_needless() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 11 * MSS as usize]);
    sack(&mut bench, first, 10, &[]);
    assert_eq!(which(first, &bench.run(millis(450))), [10]);
    sack(&mut bench, first, 11, &[]);
    bench.arrive(bench.rcv_nxt, bench.snd_una, ACK, b"text");
    let before = bench.status().ssthresh;
    bench.send(&[7; 10]);
    bench.acknowledge();
    assert!(bench.status().ssthresh.is_some() && bench.status().ssthresh != before);
}

#[test]
fn rfc_8985_7_nobody_probes_by_rfc_6675_or_without_sack() {
    let (mut bench, _) = measured(Recovery::Rfc6675);
    bench.send(&vec![7; 4 * MSS as usize]);
    assert_eq!(bench.run(millis(990)), []);
    let mut bench = Bench::new(config(Recovery::Rack));
    bench.enter("ESTABLISHED");
    bench.send(&vec![7; 4 * MSS as usize]);
    assert_eq!(bench.run(millis(990)), []);
}

/// Neither what the peer sends nor an ACK that acknowledges nothing puts the probe off.
#[test]
fn rfc_8985_7_2_text_of_the_peer_does_not_put_the_probe_off() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 4 * MSS as usize]);
    let start = bench.now;
    let srtt = bench.status().srtt.unwrap();
    let mut sent = Vec::new();
    for _ in 0..6 {
        sent.extend(bench.run(millis(50)));
        sent.extend(bench.arrive(bench.rcv_nxt, first, ACK, b"text"));
    }
    let probe = sent
        .iter()
        .find(|sent| sent.label.cause == Cause::TailLossProbe)
        .unwrap();
    assert_eq!(probe.at.since(start), srtt * 2);
}

/// SHLD-15: the window shrank so far that the last segment lies beyond it.
#[test]
fn rfc_8985_7_3_probe_that_has_no_room_does_not_stand_in_the_way_of_the_timeout() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 10 * MSS as usize]);
    bench.window = 3000;
    assert_eq!(sack(&mut bench, first, 0, &[]), []);
    let sent = bench.run(Duration::from_secs(2));
    assert_eq!(which(first, &sent), vec![0]);
    assert_eq!(causes(&sent), vec![Cause::Retransmission(1)]);
}

#[test]
fn rfc_8985_7_3_fin_that_is_sent_once_does_not_stand_in_the_way_of_the_text_before_it() {
    let mut config = config(Recovery::Rack);
    config.conn.fin_repeats = FinRepeats::Never;
    let (mut bench, first) = measured_with(config);
    bench.send(&[7; 100]);
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    assert_eq!(bench.drain().len(), 1, "the FIN");
    let sent = bench.run(Duration::from_secs(2));
    assert_eq!(which(first, &sent), vec![0]);
    assert_eq!(causes(&sent), vec![Cause::Retransmission(1)]);
}

#[test]
fn rfc_8985_7_2_ack_of_the_fin_alone_leaves_nothing_to_probe() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 100]);
    bench.stack.shutdown(bench.now, bench.conn()).unwrap();
    let [fin] = &bench.drain()[..] else {
        panic!("the FIN")
    };
    sack_bytes(&mut bench, first + 100, &[]);
    assert_eq!(bench.status().timer, Some(Timer::TailLoss));
    sack_bytes(&mut bench, fin.header.seq + 1, &[]);
    assert_eq!(bench.state(), State::FinWait2);
    assert_eq!(bench.status().timer, None);
}

/// Proves 8985-5.
#[test]
fn rfc_8985_8_window_that_closes_leaves_no_timer_but_that_of_its_probe() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&[7; 3 * MSS as usize]);
    assert_eq!(bench.status().timer, Some(Timer::TailLoss));
    bench.window = 0;
    sack(&mut bench, first, 0, &[]);
    assert_eq!(bench.status().timer, Some(Timer::Persist));
    let sent = bench.run(Duration::from_secs(5));
    assert!(!sent.is_empty());
    assert!(causes(&sent).iter().all(|cause| *cause == Cause::Probe));
}

/// Proves 8985-3.
#[test]
fn rfc_8985_7_2_without_a_round_trip_time_the_probe_comes_after_a_second() {
    let mut bench = Bench::new(config(Recovery::Rack));
    bench.syn_options.sack_permitted = true;
    bench.connect();
    bench.run(Duration::from_secs(2));
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    assert_eq!(bench.status().srtt, None, "the SYN went twice");
    bench.send(&[7; 1000]);
    let start = bench.now;
    let sent = bench.run(Duration::from_secs(2));
    assert_eq!(causes(&sent), [Cause::TailLossProbe]);
    assert_eq!(sent[0].at.since(start), Duration::from_secs(1));
}

/// What keeps the timer from running keeps the probe from going: something held, a probe that is
/// out, a recovery, nothing in flight.
#[test]
fn rfc_8985_7_2_timer_runs_only_where_a_probe_could_help() {
    let timer = |bench: &Bench| bench.status().timer;
    let (mut bench, first) = measured(Recovery::Rack);
    assert_eq!(timer(&bench), None);
    bench.send(&vec![7; 10 * MSS as usize]);
    assert_eq!(timer(&bench), Some(Timer::TailLoss));
    sack(&mut bench, first, 1, &[]);
    assert_eq!(timer(&bench), Some(Timer::TailLoss));
    sack(&mut bench, first, 2, &[(3, 4)]);
    assert_ne!(timer(&bench), Some(Timer::TailLoss), "something is held");
    assert_eq!(which(first, &sack(&mut bench, first, 2, &[(3, 6)])), [2]);
    assert_eq!(timer(&bench), Some(Timer::Retransmission), "a recovery");
    sack(&mut bench, first, 6, &[]);
    assert_eq!(timer(&bench), Some(Timer::Retransmission), "it goes on");
    sack(&mut bench, first, 10, &[]);
    assert_eq!(timer(&bench), None);
}

/// A smaller path throws away what is in flight after the timer was started: nothing is left to
/// probe.
#[test]
fn rfc_8985_7_3_probe_that_cannot_help_any_more_does_not_go() {
    let (mut bench, first) = measured(Recovery::Rack);
    bench.send(&vec![7; 3 * MSS as usize]);
    let sent = bench.icmp(3, 4, 1000, first);
    assert!(
        causes(&sent)
            .iter()
            .all(|cause| *cause != Cause::TailLossProbe)
    );
    let sent = bench.run(millis(900));
    assert!(
        causes(&sent)
            .iter()
            .all(|cause| *cause != Cause::TailLossProbe)
    );
}
