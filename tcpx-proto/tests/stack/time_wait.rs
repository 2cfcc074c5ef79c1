//! TIME-WAIT, and the SYN that reopens it.

use super::*;

/// 60 s, and as late as a slot of Linux's timer wheel lets it be.
const TIME_WAIT: Duration = Duration::from_millis(62_048);

/// An active connection that closed first and is in TIME-WAIT.
fn time_wait(bench: &mut Bench) -> ConnId {
    let id = bench.connect(40_000, peer()).unwrap();
    let syn = bench.drain()[0];
    let reply = |flags, seq, ack: Seq| header(peer(), syn.source, flags, seq, ack.0);
    bench.say(reply(SYN_ACK, 200, syn.seq + 1), &[]);
    bench.stack.shutdown(bench.now, id).unwrap();
    bench.drain();
    bench.say(reply(FIN_ACK, 201, syn.seq + 2), &[]);
    assert_eq!(bench.state(id), Some(State::TimeWait));
    id
}

#[test]
fn time_wait_keeps_its_four_tuple_until_2_msl_are_over() {
    let mut bench = Bench::new(Config::default());
    let id = time_wait(&mut bench);
    assert_eq!(
        bench.connect(40_000, peer()),
        Err(CallError::InUse(State::TimeWait))
    );
    bench.wait(TIME_WAIT);
    // CLOSED, and known until the application lets go; its four-tuple is free.
    assert_eq!(bench.state(id), Some(State::Closed));
    assert_eq!(
        bench.stack.lookup(FourTuple {
            local: (US, 40_000).into(),
            remote: peer()
        }),
        None
    );
    let next = bench.connect(40_000, peer()).unwrap();
    bench.stack.close(bench.now, id).unwrap();
    assert_eq!(bench.state(id), None);
    assert_eq!(bench.state(next), Some(State::SynSent));
}

#[test]
fn time_wait_of_a_released_connection_is_forgotten_after_2_msl() {
    let mut bench = Bench::new(Config::default());
    let id = time_wait(&mut bench);
    bench.stack.close(bench.now, id).unwrap();
    bench.signals();
    assert_eq!(bench.state(id), Some(State::TimeWait));
    bench.wait(TIME_WAIT);
    assert_eq!(bench.state(id), None);
    assert!(
        bench
            .signals()
            .contains(&Signal::Closed(id, CloseReason::Clean))
    );
}

/// A listener with a connection in TIME-WAIT towards port 9000 of the peer.
fn passive_time_wait(bench: &mut Bench, listener: ListenerId) -> ConnId {
    let id = bench.enter(9000);
    assert_eq!(bench.stack.accept(bench.now, listener), Ok(id));
    let nxt = bench.stack.status(id).unwrap().snd_nxt;
    bench.stack.close(bench.now, id).unwrap();
    bench.drain();
    bench.say(from(9000, FIN_ACK, 101, nxt.0 + 1), &[]);
    assert_eq!(bench.state(id), Some(State::TimeWait));
    id
}

#[test]
fn time_wait_new_syn_opens_the_next_incarnation_beyond_the_old_one_even_past_the_backlog() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(1);
    let old = passive_time_wait(&mut bench, listener);
    let last = bench.stack.status(old).unwrap().snd_nxt;
    bench.syn(9001);
    let answer = bench.say(from(9000, Flags::SYN, 500_000, 0), &[]);
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].flags, SYN_ACK);
    assert!(answer[0].seq.gt(last));
    let new = bench
        .stack
        .lookup(FourTuple {
            local: local(),
            remote: peer(),
        })
        .unwrap();
    assert_eq!(bench.state(old), None);
    assert_eq!(bench.state(new), Some(State::SynReceived));
    assert_eq!(bench.stack.status(new).unwrap().iss, answer[0].seq);
}

#[test]
fn time_wait_new_syn_does_not_end_it_when_nobody_could_take_the_connection() {
    let mut bench = Bench::new(Config::default());
    let listener = bench.listen(1);
    let old = passive_time_wait(&mut bench, listener);
    bench.enter(9001);
    bench.say(from(9000, Flags::SYN, 500_000, 0), &[]);
    assert_eq!(bench.state(old), Some(State::TimeWait));
}
