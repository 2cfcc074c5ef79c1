//! The TIME-WAIT that a SYN reopens.

use super::*;

/// A server in TIME-WAIT, and where a SYN begins that may end it.
fn time_wait(config: Config) -> (Bench, Seq) {
    let mut bench = Bench::new(config);
    bench.enter("TIME-WAIT");
    bench.stack.close(bench.now, bench.conn()).unwrap();
    let later = bench.rcv_nxt + 100_000;
    (bench, later)
}

/// The peer's FIN of the old connection again.
fn fin_again(bench: &mut Bench, rcv_nxt: Seq, snd_nxt: Seq) -> Vec<String> {
    bench
        .arrive(rcv_nxt.back(1), snd_nxt, FIN_ACK, b"")
        .iter()
        .map(spell)
        .collect()
}

type Ending = (&'static str, fn(&mut Bench, Seq));

/// How the SYN-RECEIVED of an old duplicate may end.
const ENDINGS: &[Ending] = &[
    ("RST", |bench, syn| {
        drop(bench.arrive(syn + 1, Seq(0), RST, b""))
    }),
    ("RST,ACK", |bench, syn| {
        drop(bench.arrive(syn + 1, bench.snd_nxt, RST | ACK, b""))
    }),
    ("SYN in the window", |bench, syn| {
        drop(bench.arrive(syn + 10, Seq(0), SYN, b""))
    }),
    ("ICMP", |bench, _| drop(bench.icmp(3, 3, 0, bench.snd_una))),
    ("timeout", |bench, _| drop(bench.run(secs(15)))),
    ("the listener's end", |bench, _| {
        bench
            .stack
            .close_listener(bench.now, bench.listener.unwrap());
        bench.drain();
    }),
];

#[test]
fn may_2_time_wait_comes_back_after_an_old_duplicate_syn_however_that_ends() {
    for (ending, end) in ENDINGS {
        let config = with(plain(), |conn| conn.synack_retries = 2);
        let (mut bench, syn) = time_wait(config);
        let old = bench.conn();
        let rcv_nxt = bench.rcv_nxt;
        let snd_nxt = bench.snd_nxt;
        let until = bench.status().deadline;
        let answer = bench.arrive(syn, Seq(0), SYN, b"").remove(0);
        assert_eq!(answer.header.flags, SYN_ACK);
        assert_eq!(answer.header.seq, snd_nxt + 65_537);
        assert_eq!(bench.state(), State::SynReceived);
        assert_eq!(
            bench.signals.last(),
            Some(&Signal::Closed(old, CloseReason::Clean))
        );
        bench.signals.clear();
        end(&mut bench, syn);
        assert_eq!(bench.stack.connections().count(), 1, "{ending}");
        assert_eq!(
            bench.state(),
            State::TimeWait,
            "{ending}: what is left of 2 MSL"
        );
        assert_eq!(
            bench.status().deadline,
            until,
            "{ending}: what is left of 2 MSL"
        );
        assert_eq!(
            fin_again(&mut bench, rcv_nxt, snd_nxt),
            [format!("{snd_nxt} {rcv_nxt} A")],
            "{ending}"
        );
        bench.run(secs(239));
        assert_eq!(
            bench.state(),
            State::TimeWait,
            "{ending}: the FIN began 2 MSL again"
        );
        assert_eq!(bench.run(secs(2)), []);
        assert_eq!(
            bench.stack.connections().count(),
            0,
            "{ending}: the connection is unknown"
        );
        assert_eq!(
            &bench.signals[..],
            &[][..],
            "{ending}: the connection is unknown"
        );
    }
}

#[test]
fn may_2_linux_forgets_time_wait_whatever_the_syn_was() {
    let (mut bench, syn) = time_wait(Bench::plain(Profile::Linux));
    let rcv_nxt = bench.rcv_nxt;
    let snd_nxt = bench.snd_nxt;
    bench.arrive(syn, Seq(0), SYN, b"");
    bench.arrive(syn + 1, Seq(0), RST, b"");
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.stack.connections().count(), 0);
    assert_eq!(
        fin_again(&mut bench, rcv_nxt, snd_nxt),
        [format!("{snd_nxt} - R")]
    );
}

#[test]
fn may_2_only_an_exact_rst_proves_a_syn_old() {
    let (mut bench, syn) = time_wait(plain());
    bench.arrive(syn, Seq(0), SYN, b"");
    for seq in [syn, syn + 2, syn + 100_000] {
        bench.arrive(seq, Seq(0), RST, b"");
        assert_eq!(bench.state(), State::SynReceived);
    }
    let new = bench.snd_nxt;
    bench.arrive(syn + 1, new, ACK, b"");
    assert_eq!(bench.state(), State::Established);
    accept(&mut bench);
    bench.arrive(syn + 1, Seq(0), RST, b"");
    assert_eq!(
        bench.state(),
        State::Closed,
        "a connection that was has no way back"
    );
}

#[test]
fn may_2_time_wait_that_is_over_does_not_come_back() {
    let (mut bench, syn) = time_wait(plain());
    bench.run(secs(239));
    bench.arrive(syn, Seq(0), SYN, b"");
    bench.run(secs(2));
    assert_eq!(bench.state(), State::SynReceived);
    bench.arrive(syn + 1, Seq(0), RST, b"");
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.stack.connections().count(), 0);
}

#[test]
fn may_2_several_old_duplicates_in_a_row_leave_backlog_and_records_as_they_were() {
    let mut config = plain();
    config.max_connections = 1;
    let (mut bench, syn) = time_wait(config);
    let rcv_nxt = bench.rcv_nxt;
    let snd_nxt = bench.snd_nxt;
    let until = bench.status().deadline;
    for round in 0..50 {
        let seq = syn + 1000 * round;
        assert_eq!(
            acks(&bench.arrive(seq, Seq(0), SYN, b"")).len(),
            1,
            "{round}"
        );
        assert_eq!(bench.state(), State::SynReceived, "{round}");
        assert_eq!(bench.stack.connections().count(), 1, "{round}");
        bench.arrive(seq + 1, Seq(0), RST, b"");
        assert_eq!(bench.state(), State::TimeWait, "{round}");
        assert_eq!(bench.status().deadline, until, "{round}");
    }
    assert_eq!(
        fin_again(&mut bench, rcv_nxt, snd_nxt),
        [format!("{snd_nxt} {rcv_nxt} A")]
    );
    let established = bench
        .signals
        .iter()
        .filter(|signal| matches!(signal, Signal::Acceptable(_) | Signal::Established(_)))
        .count();
    assert!(established <= 2, "those of the first connection");
    assert_eq!(bench.run(secs(300)), []);
    assert_eq!(bench.stack.connections().count(), 0);
    strangers(&mut bench, 1, b"");
    assert_eq!(bench.stack.connections().count(), 1);
}

#[test]
fn may_2_restart_of_the_host_brings_no_time_wait_back() {
    let (mut bench, syn) = time_wait(plain());
    bench.arrive(syn, Seq(0), SYN, b"");
    bench.stack.restart(bench.now);
    assert_eq!(bench.stack.connections().count(), 0);
}

#[test]
fn may_2_backlog_is_as_empty_after_old_duplicates_as_before() {
    let (mut bench, syn) = time_wait(plain());
    for round in 0..50 {
        bench.arrive(syn + round, Seq(0), SYN, b"");
        bench.arrive(syn + round + 1, Seq(0), RST, b"");
    }
    strangers(&mut bench, 20, b"");
    assert_eq!(bench.stack.connections().count(), 17);
    assert_eq!(bench.stack.counters().cookies_sent, 4);
}

#[test]
fn may_2_time_wait_that_the_application_still_has_ends_for_it_and_comes_back_without_it() {
    let mut bench = Bench::new(plain());
    bench.enter("TIME-WAIT");
    let old = bench.conn();
    let syn = bench.rcv_nxt + 100_000;
    for (flags, state) in [(RST, State::TimeWait), (ACK, State::Established)] {
        bench.arrive(syn, Seq(0), SYN, b"");
        bench.arrive(syn + 1, bench.snd_nxt, flags, b"");
        assert_eq!(bench.stack.status(old).unwrap().state, State::Closed);
        assert_eq!(bench.state(), state);
    }
    bench.stack.close(bench.now, old).unwrap();
    assert_eq!(bench.state(), State::Established);
    assert_eq!(bench.stack.connections().count(), 1);
}

#[test]
fn time_wait_stays_where_a_limit_leaves_no_room_for_the_next_incarnation() {
    for profile in Profile::ALL {
        let mut config = Bench::plain(profile);
        config.max_connections = 1;
        let mut bench = Bench::new(config);
        bench.enter("TIME-WAIT");
        let rcv_nxt = bench.rcv_nxt;
        let snd_nxt = bench.snd_nxt;
        bench.arrive(rcv_nxt + 100_000, Seq(0), SYN, b"");
        assert_eq!(
            bench.state(),
            State::TimeWait,
            "{}: the application still has the record",
            profile.name()
        );
        assert_eq!(fin_again(&mut bench, rcv_nxt, snd_nxt).len(), 1);
        bench.stack.close(bench.now, bench.conn()).unwrap();
        bench.arrive(rcv_nxt + 100_000, Seq(0), SYN, b"");
        assert_eq!(
            bench.state(),
            State::SynReceived,
            "{}: and now the next one can have it",
            profile.name()
        );
    }
}
