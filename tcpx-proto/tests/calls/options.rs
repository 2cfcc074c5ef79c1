//! Options that change after OPEN: what Linux 6.18 did when the same was asked of it.

use super::common::{ACK, Bench, Sent, with};
use std::time::Duration;
use tcpx_proto::config::{KeepAlive, Profile, SocketOption};
use tcpx_proto::error::CloseReason;
use tcpx_proto::event::What;
use tcpx_proto::label::Cause;
use tcpx_proto::stack::Signal;
use tcpx_proto::state::State;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::Flags;

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn established(profile: Profile) -> Bench {
    let mut bench = Bench::new(with(Bench::plain(profile), |conn| conn.no_delay = false));
    bench.enter("ESTABLISHED");
    bench
}

impl Bench {
    fn set(&mut self, option: SocketOption) -> Vec<Sent> {
        let conn = self.conn();
        assert_eq!(self.stack.set_option(self.now, conn, option), Ok(()));
        self.drain()
    }

    /// When it is closed, and why.
    fn end(&self) -> Option<(Instant, CloseReason)> {
        self.events.iter().find_map(|event| match event.what {
            What::Closed(reason) => Some((event.at, reason)),
            _ => None,
        })
    }
}

fn lens(sent: &[Sent]) -> Vec<usize> {
    sent.iter().map(|sent| sent.text.len()).collect()
}

#[test]
fn established_no_delay_switched_on_sends_what_nagle_holds() {
    for profile in Profile::ALL {
        let mut bench = established(profile);
        assert_eq!(lens(&bench.send(b"a")), [1]);
        assert_eq!(lens(&bench.send(b"b")), [0; 0]);
        let sent = bench.set(SocketOption::NoDelay(true));
        assert_eq!(lens(&sent), [1], "{profile:?}");
        assert_eq!(sent[0].label.cause, Cause::Call);
        assert_eq!(lens(&bench.send(b"c")), [1]);
        bench.set(SocketOption::NoDelay(false));
        assert_eq!(lens(&bench.send(b"d")), [0; 0], "{profile:?}");
        assert_eq!(lens(&bench.acknowledge()), [1], "{profile:?}");
    }
}

#[test]
fn established_keepalive_switched_on_counts_from_what_came_last() {
    let keepalive = |idle| {
        Some(KeepAlive {
            idle,
            interval: millis(1000),
            probes: 3,
        })
    };
    let mut bench = established(Profile::Linux);
    bench.run(millis(1500));
    let start = bench.now;
    assert_eq!(
        bench.set(SocketOption::KeepAlive(keepalive(millis(4000)))),
        []
    );
    let probes = |bench: &mut Bench| -> Vec<u64> {
        let sent = bench.run(millis(3200));
        let probes = sent
            .iter()
            .filter(|sent| sent.label.cause == Cause::KeepAlive);
        probes
            .map(|sent| sent.at.millis() - start.millis())
            .collect()
    };
    assert_eq!(probes(&mut bench), [2500], "Linux: 2485");
    let mut bench = established(Profile::Linux);
    bench.run(millis(1500));
    bench.set(SocketOption::KeepAlive(keepalive(millis(1000))));
    assert_eq!(probes(&mut bench), [0, 1000, 2000], "Linux: 7, 1038, 2062");
    assert_eq!(
        bench.end(),
        Some((start + millis(3000), CloseReason::KeepAliveTimeout))
    );
    let mut bench = established(Profile::Linux);
    bench.set(SocketOption::KeepAlive(keepalive(millis(1000))));
    bench.run(millis(500));
    bench.set(SocketOption::KeepAlive(None));
    assert_eq!(bench.run(millis(60_000)), []);
}

/// When data that is never acknowledged ends the connection, if the user timeout is `before` and
/// `after` some time becomes `then`.
fn gives_up(profile: Profile, before: Option<u64>, after: u64, then: Option<u64>) -> Option<u64> {
    let mut bench = established(profile);
    bench.set(SocketOption::UserTimeout(before.map(millis)));
    let start = bench.now;
    bench.send(b"x");
    bench.run(millis(after));
    bench.set(SocketOption::UserTimeout(then.map(millis)));
    bench.run(millis(20_000));
    let (at, reason) = bench.end()?;
    assert_eq!(reason, CloseReason::UserTimeout);
    Some(at.millis() - start.millis())
}

#[test]
fn must_21_user_timeout_that_changes_counts_from_the_oldest_byte() {
    let rfc = |before, after, then| gives_up(Profile::Rfc9293, before, after, then);
    assert_eq!(rfc(None, 50, Some(1000)), Some(1000));
    assert_eq!(rfc(None, 1000, Some(500)), Some(1000), "over already");
    assert_eq!(rfc(Some(5000), 700, Some(1000)), Some(1000));
    assert_eq!(rfc(Some(1000), 500, Some(3000)), Some(3000));
    assert_eq!(rfc(Some(1000), 500, None), None);
}

/// The first retransmission comes after 201 ms here, which Linux did after 227 ms and more.
#[test]
fn must_21_linux_user_timeout_counts_from_the_first_retransmission() {
    let linux = |before, after, then| gives_up(Profile::Linux, before, after, then);
    assert_eq!(linux(None, 50, Some(1000)), Some(1201), "Linux: 1262");
    assert_eq!(linux(None, 50, Some(100)), Some(301), "Linux: 340");
    assert_eq!(
        linux(None, 1000, Some(500)),
        Some(1407),
        "Linux: 1619, its next retransmission"
    );
    assert_eq!(
        linux(Some(5000), 700, Some(1000)),
        Some(1407),
        "Linux: 1624, the same"
    );
    assert_eq!(
        linux(Some(1000), 500, Some(3000)),
        Some(3201),
        "Linux: 3254"
    );
}

/// Proves SHLD-21.
#[test]
fn established_tos_and_ttl_change_the_next_segment_and_retransmissions() {
    let mut bench = established(Profile::Linux);
    bench.send(b"x");
    assert_eq!(bench.set(SocketOption::Tos(0x2b)), [], "nothing to send");
    bench.set(SocketOption::Ttl(33));
    let again = bench.run(millis(300));
    let seen: Vec<_> = again
        .iter()
        .map(|sent| (sent.header.tos, sent.header.ttl))
        .collect();
    assert_eq!(seen, [(0x28, 33)], "without the bits of ECN");
    assert_eq!(
        bench.stack.config_of(bench.conn()).map(|config| config.tos),
        Some(0x28)
    );
}

#[test]
fn listener_options_count_for_what_it_accepts_and_for_syn_received() {
    let mut bench = Bench::new(Bench::plain(Profile::Linux));
    bench.enter("ESTABLISHED");
    let waiting = bench.conn();
    bench.remote.set_port(9001);
    bench.id = None;
    let listener = bench.listener.unwrap();
    let syn = |bench: &mut Bench| {
        let flags = Flags::SYN;
        bench.arrive(super::common::PEER_ISS, tcpx_proto::seq::Seq(0), flags, b"")
    };
    syn(&mut bench);
    let embryonic = bench.conn();
    assert_eq!(bench.state(), State::SynReceived);
    let options = [
        SocketOption::Tos(0x10),
        SocketOption::UserTimeout(Some(millis(1234))),
    ];
    for option in options {
        assert_eq!(
            bench.stack.set_listener_option(bench.now, listener, option),
            Ok(())
        );
    }
    let again = bench.run(millis(1100));
    assert_eq!(
        again[0].header.tos, 0x10,
        "Linux asks the listener for each SYN,ACK"
    );
    bench.remote.set_port(9002);
    bench.id = None;
    let answer = syn(&mut bench);
    assert_eq!(answer[0].header.tos, 0x10);
    let has = |id| {
        let config = bench.stack.config_of(id).unwrap();
        (config.tos, config.user_timeout)
    };
    let new = (0x10, Some(millis(1234)));
    assert_eq!(
        [waiting, embryonic, bench.conn()].map(has),
        [(0, None), new, new]
    );
    assert_eq!(
        bench
            .stack
            .config_of_listener(listener)
            .map(|config| config.tos),
        Some(0x10)
    );
}

/// What CLOSE of a connection in this state sends, with this linger, and what it leaves.
fn closed_after(state: &str, linger: Option<Duration>, unread: bool) -> (Vec<Flags>, State) {
    let mut bench = Bench::new(Bench::plain(Profile::Linux));
    bench.enter(state);
    if unread {
        bench.text(b"unread");
    }
    if bench.state() != State::TimeWait {
        bench.set(SocketOption::Linger(linger));
    }
    let conn = bench.conn();
    bench.stack.close(bench.now, conn).unwrap();
    let flags = bench.drain().iter().map(|sent| sent.header.flags).collect();
    (flags, bench.state())
}

/// As `make differential` finds it in Linux 6.18 (`__tcp_close`, `tcp_disconnect`).
#[test]
fn close_with_linger_of_zero_resets_and_with_any_other_sends_a_fin() {
    let reset = Flags::RST | Flags::ACK;
    let zero = Some(Duration::ZERO);
    for state in ["ESTABLISHED", "CLOSE-WAIT", "FIN-WAIT-1", "FIN-WAIT-2"] {
        let closed = closed_after(state, zero, false);
        assert_eq!(closed, (vec![reset], State::Closed), "{state}");
    }
    for state in ["SYN-SENT", "CLOSING", "LAST-ACK"] {
        assert_eq!(closed_after(state, zero, false), (vec![], State::Closed));
    }
    assert_eq!(
        closed_after("TIME-WAIT", zero, false),
        (vec![], State::TimeWait)
    );
    for linger in [None, Some(millis(5000))] {
        let fin = (vec![Flags::FIN | Flags::ACK], State::FinWait1);
        assert_eq!(closed_after("ESTABLISHED", linger, false), fin);
        let unread = closed_after("ESTABLISHED", linger, true);
        assert_eq!(unread, (vec![reset], State::Closed));
    }
}

/// Measured with Linux 6.18: the peer's window is full.
#[test]
fn abort_in_last_ack_resets_in_profile_linux_if_the_fin_was_not_sent() {
    for (profile, expected) in [
        (Profile::Linux, vec![Flags::RST | Flags::ACK]),
        (Profile::Rfc9293, vec![]),
    ] {
        let mut bench = Bench::new(Bench::plain(profile));
        bench.window = 100;
        bench.enter("CLOSE-WAIT");
        bench.send(&[7; 3000]);
        let conn = bench.conn();
        bench.stack.shutdown(bench.now, conn).unwrap();
        bench.drain();
        assert_eq!(bench.state(), State::LastAck);
        bench.stack.abort(bench.now, conn).unwrap();
        let flags: Vec<Flags> = bench.drain().iter().map(|sent| sent.header.flags).collect();
        assert_eq!(flags, expected, "{}", profile.name());
    }
}

#[test]
fn fin_wait_2_linger2_limits_it_or_leaves_none() {
    let close = |limit| {
        let mut bench = established(Profile::Linux);
        bench.set(SocketOption::Linger2(limit));
        let start = bench.now;
        let conn = bench.conn();
        bench.stack.close(bench.now, conn).unwrap();
        bench.drain();
        assert_eq!(bench.acknowledge(), []);
        bench.run(millis(70_000));
        bench
            .end()
            .map(|(at, reason)| (at.millis() - start.millis(), reason))
    };
    let over = |after| Some((after, CloseReason::FinWait2Timeout));
    assert_eq!(close(millis(2000)), over(2001));
    assert_eq!(close(millis(0)), over(1), "Linux forgets it silently");
    let mut bench = established(Profile::Linux);
    bench.set(SocketOption::Linger2(Duration::ZERO));
    let conn = bench.conn();
    bench.stack.shutdown(bench.now, conn).unwrap();
    bench.drain();
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK, b"");
    assert_eq!(bench.state(), State::FinWait2);
    bench.stack.close(bench.now, conn).unwrap();
    let sent = bench.drain();
    assert_eq!(sent[0].header.flags, Flags::RST | Flags::ACK, "as Linux");
    let closed = Signal::Closed(conn, CloseReason::Aborted);
    assert!(bench.signals.contains(&closed), "{:?}", bench.signals);
}
