//! TCP Fast Open (RFC 7413), client and server, and what the network does to it.

use super::*;
use tcpx_proto::config::{BeyondWindow, FastOpenRepeats, ReceiveWindow};
use tcpx_proto::event::Timer;
use tcpx_proto::wire::FastOpenCookie;

const HOUR: Duration = Duration::from_secs(3600);
const PUSH: Flags = Flags(Flags::ACK.0 | Flags::PSH.0);

fn on(profile: Profile) -> Config {
    let mut config = profile.config();
    config.conn.fast_open = true;
    config.conn.timestamps = false;
    config
}

fn cookie(bytes: &[u8]) -> FastOpenCookie {
    FastOpenCookie::new(bytes).unwrap()
}

/// What a client sees: the flags, the option, SEG.ACK, how much text.
type Seen = (Flags, Option<FastOpenCookie>, Seq, usize);

impl Bench {
    /// Everything that is sent now, with its text.
    fn sent(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut sent = Vec::new();
        let mut packet = [0; 1600];
        while let Some(transmit) = self.stack.poll_transmit(self.now, &mut packet) {
            let segment = Segment::parse(&packet[..transmit.len], ChecksumPolicy::Strict).unwrap();
            sent.push((segment.header, segment.payload.to_vec()));
        }
        sent
    }

    fn arrives(&mut self, header: Header, text: &[u8]) {
        let mut packet = [0; 1700];
        let len = header.emit((text, &[]), &mut packet).unwrap();
        self.stack.packet_arrives(self.now, &packet[..len]);
    }

    /// Lets time pass, and gives what is sent meanwhile.
    fn run(&mut self, time: Duration) -> Vec<(Header, Vec<u8>)> {
        let until = self.now + time;
        let mut sent = self.sent();
        while let Some(at) = self.stack.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.timeout(self.now);
            sent.extend(self.sent());
        }
        self.now = until;
        sent
    }

    /// A SYN of the peer's with this option and text, and the answer.
    fn offered(&mut self, port: u16, option: Option<FastOpenCookie>, text: &[u8]) -> Seen {
        let mut syn = from(port, Flags::SYN, 100, 0);
        syn.options.mss = Some(1460);
        syn.options.fast_open = option;
        self.arrives(syn, text);
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (header, text) = &sent[0];
        (
            header.flags,
            header.options.fast_open,
            header.ack,
            text.len(),
        )
    }

    /// The cookie that this host gives the peer.
    fn mint(&mut self) -> FastOpenCookie {
        let (_, cookie, ..) = self.offered(8999, Some(FastOpenCookie::REQUEST), b"");
        self.arrives(from(8999, Flags::RST, 101, 0), b"");
        cookie.unwrap()
    }

    fn open(&mut self, port: u16, data: &[u8]) -> ((Header, Vec<u8>), ConnId, usize) {
        let config = self.stack.config().conn.clone();
        let local = (US, port).into();
        let remote = peer();
        let tuple = FourTuple { local, remote };
        let (id, taken) = self
            .stack
            .connect_with_data(self.now, tuple, &config, data)
            .unwrap();
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        (sent.remove(0), id, taken)
    }

    /// The peer's SYN,ACK to a SYN of ours, with what it acknowledges and this option.
    fn answered(
        &mut self,
        syn: &Header,
        text: u32,
        option: Option<FastOpenCookie>,
    ) -> Vec<(Header, Vec<u8>)> {
        let mut answer = header(peer(), syn.source, SYN_ACK, 700, syn.seq.0 + 1 + text);
        answer.options.mss = Some(1000);
        answer.options.fast_open = option;
        self.arrives(answer, b"");
        self.sent()
    }

    /// A connection that brings a cookie of the peer's, and ends.
    fn learn(&mut self, port: u16, option: FastOpenCookie) {
        let ((syn, _), id, _) = self.open(port, b"");
        self.answered(&syn, 0, Some(option));
        self.stack.abort(self.now, id).unwrap();
        self.sent();
    }
}

/// A client of this profile that has a cookie of eight bytes and the MSS 1000.
fn client(profile: Profile) -> (Bench, FastOpenCookie) {
    let mut config = on(profile);
    config.conn.isn = Isn::Fixed(Seq(100));
    let mut bench = Bench::new(config);
    let known = cookie(&[1, 2, 3, 4, 5, 6, 7, 8]);
    bench.learn(40_000, known);
    (bench, known)
}

/// A server with a backlog of 16, and the cookie that it gives the peer.
fn server(profile: Profile) -> (Bench, ListenerId, FastOpenCookie) {
    let mut bench = Bench::new(on(profile));
    let listener = bench.listen(16);
    let known = bench.mint();
    (bench, listener, known)
}

/// Proves 7413-1.
#[test]
fn rfc7413_1_off_by_default_neither_asks_nor_gives() {
    for profile in Profile::ALL {
        let mut config = on(profile);
        config.conn.fast_open = false;
        let mut bench = Bench::new(config);
        let ((syn, text), _, taken) = bench.open(40_000, b"hello");
        assert_eq!((syn.options.fast_open, text.len(), taken), (None, 0, 5));
        // What was not asked for is ignored, and the data waits for the handshake as ever.
        let sent = bench.answered(&syn, 0, Some(cookie(&[1; 8])));
        assert!(sent.iter().any(|(_, text)| text == b"hello"), "{sent:?}");
        let ((again, _), ..) = bench.open(40_001, b"hello");
        assert_eq!(again.options.fast_open, None);
        bench.listen(16);
        for option in [None, Some(FastOpenCookie::REQUEST), Some(cookie(&[1; 8]))] {
            bench.now = bench.now + HOUR;
            let seen = bench.offered(9100, option, b"GET");
            assert_eq!(seen, (SYN_ACK, None, Seq(101), 0), "{profile:?}");
            bench.arrives(from(9100, Flags::RST, 101, 0), b"");
        }
    }
}

/// Proves 7413-3.
#[test]
fn rfc7413_3_cookie_depends_on_the_client_alone_and_another_is_refused_with_a_fresh_one() {
    for profile in Profile::ALL {
        let (mut bench, listener, known) = server(profile);
        assert_eq!(known.as_slice().len(), 8);
        let forged = [
            Some(cookie(&[9; 8])),
            Some(cookie(&known.as_slice()[..4])),
            Some(cookie(&[known.as_slice(), known.as_slice()].concat())),
            Some(FastOpenCookie::REQUEST),
        ];
        for (port, option) in (9100..).zip(forged) {
            let seen = bench.offered(port, option, b"GET");
            assert_eq!(seen, (SYN_ACK, Some(known), Seq(101), 0), "{profile:?}");
        }
        // Without the option it is a SYN as ever.
        let plain = bench.offered(9200, None, b"GET");
        assert_eq!(plain, (SYN_ACK, None, Seq(101), 0));
        // From another port of the same address.
        let served = bench.offered(9300, Some(known), b"GET");
        assert_eq!(served, (SYN_ACK, None, Seq(104), 0));
        assert_eq!(bench.stack.counters().fast_opens, 1);
        assert!(bench.stack.accept(bench.now, listener).is_ok());
        assert!(bench.stack.accept(bench.now, listener).is_err());
        let other = header((US, 5).into(), local(), Flags::SYN, 100, 0);
        let mut other = Header {
            source: "10.0.0.3:9300".parse().unwrap(),
            ..other
        };
        other.options.fast_open = Some(known);
        bench.arrives(other, b"GET");
        let sent = bench.sent();
        assert_eq!(sent[0].0.ack, Seq(101));
        assert!(sent[0].0.options.fast_open.is_some_and(|it| it != known));
    }
}

#[test]
fn cookie_of_the_last_key_is_valid_and_replaced_and_an_older_one_is_not() {
    let (mut bench, _, known) = server(Profile::Linux);
    bench.now = bench.now + HOUR * 24;
    let (_, fresh, ack, _) = bench.offered(9100, Some(known), b"GET");
    assert!(fresh.is_some_and(|fresh| fresh != known) && ack == Seq(104));
    bench.now = bench.now + HOUR * 24;
    let (_, newer, ack, _) = bench.offered(9101, Some(known), b"GET");
    assert!(newer != fresh && newer.is_some() && ack == Seq(101));
}

/// Proves 7413-7.
#[test]
fn valid_cookie_text_is_delivered_and_answered_before_the_third_ack() {
    for profile in Profile::ALL {
        let (mut bench, listener, known) = server(profile);
        let seen = bench.offered(9100, Some(known), b"GET");
        assert_eq!(seen, (SYN_ACK, None, Seq(104), 0), "{profile:?}");
        assert!(bench.signals().contains(&Signal::Acceptable(listener)));
        let id = bench.stack.accept(bench.now, listener).unwrap();
        assert_eq!(bench.state(id), Some(State::SynReceived));
        let mut into = [0; 9];
        assert_eq!(bench.stack.receive(bench.now, id, &mut into), Ok(3));
        assert_eq!(&into[..3], b"GET");
        assert_eq!(bench.stack.send(bench.now, id, b"answer"), Ok(6));
        let sent = bench.sent();
        let iss = bench.stack.status(id).unwrap().iss;
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (sent[0].0.flags, sent[0].0.seq, sent[0].0.ack, &*sent[0].1),
            (PUSH, iss + 1, Seq(104), &b"answer"[..])
        );
        // A duplicate of the SYN is not delivered twice.
        let mut syn = from(9100, Flags::SYN, 100, 0);
        syn.options.fast_open = Some(known);
        bench.arrives(syn, b"GET");
        bench.sent();
        assert!(bench.stack.receive(bench.now, id, &mut into).is_err());
        // The third ACK acknowledges the answer, too.
        bench.arrives(from(9100, Flags::ACK, 104, (iss + 7).0), b"");
        assert_eq!(bench.sent(), []);
        let status = bench.stack.status(id).unwrap();
        assert_eq!(
            (status.state, status.snd_una, status.unacknowledged),
            (State::Established, iss + 7, 0)
        );
        assert!(bench.signals().contains(&Signal::Established(id)));
    }
}

#[test]
fn served_early_lost_syn_ack_and_answer_come_again() {
    for profile in Profile::ALL {
        let (mut bench, listener, known) = server(profile);
        bench.offered(9100, Some(known), b"GET");
        let id = bench.stack.accept(bench.now, listener).unwrap();
        bench.stack.send(bench.now, id, b"answer").unwrap();
        bench.sent();
        let again = bench.run(Duration::from_millis(1100));
        let flags: Vec<Flags> = again.iter().map(|(header, _)| header.flags).collect();
        assert_eq!(flags, [SYN_ACK], "{profile:?}");
        assert_eq!(again[0].0.ack, Seq(104));
        // It acknowledges the SYN,ACK alone: the answer was lost.
        let iss = bench.stack.status(id).unwrap().iss;
        bench.arrives(from(9100, Flags::ACK, 104, (iss + 1).0), b"");
        let again = bench.run(Duration::from_secs(4));
        assert!(
            !again.is_empty() && again[0].1 == b"answer",
            "{profile:?}: {again:?}"
        );
    }
}

/// `tcp_schedule_loss_probe`: an answer sent before the third ACK is not probed for.
#[test]
fn served_early_no_tail_loss_probe_before_the_third_ack() {
    let mut config = on(Profile::Linux);
    // Later than a probe would be.
    config.conn.rto.initial = Duration::from_secs(3);
    let mut bench = Bench::new(config);
    let listener = bench.listen(16);
    let known = bench.mint();
    let mut syn = from(9100, Flags::SYN, 100, 0);
    syn.options.fast_open = Some(known);
    syn.options.sack_permitted = true;
    bench.arrives(syn, b"GET");
    bench.sent();
    let id = bench.stack.accept(bench.now, listener).unwrap();
    bench.stack.send(bench.now, id, b"answer").unwrap();
    bench.sent();
    let status = bench.stack.status(id).unwrap();
    assert_eq!(status.timer, Some(Timer::Retransmission));
}

#[test]
fn served_early_nothing_comes_back_it_ends_with_its_retries() {
    let (mut bench, listener, known) = server(Profile::Linux);
    bench.offered(9100, Some(known), b"GET");
    let id = bench.stack.accept(bench.now, listener).unwrap();
    let sent = bench.run(HOUR);
    assert_eq!(sent.len(), 5);
    let closed = Signal::Closed(id, CloseReason::RetransmissionTimeout);
    assert!(bench.signals().contains(&closed));
}

#[test]
fn served_early_shutdown_sends_answer_then_fin_after_the_third_ack() {
    let (mut bench, listener, known) = server(Profile::Rfc9293);
    bench.offered(9100, Some(known), b"GET");
    let id = bench.stack.accept(bench.now, listener).unwrap();
    bench.stack.send(bench.now, id, b"answer").unwrap();
    bench.stack.shutdown(bench.now, id).unwrap();
    let flags = |sent: &[(Header, Vec<u8>)]| sent.iter().map(|(h, _)| h.flags).collect::<Vec<_>>();
    assert_eq!(flags(&bench.sent()), [PUSH]);
    let iss = bench.stack.status(id).unwrap().iss;
    bench.arrives(from(9100, Flags::ACK, 104, (iss + 7).0), b"");
    assert_eq!(flags(&bench.sent()), [FIN_ACK]);
    assert_eq!(bench.state(id), Some(State::FinWait1));
}

/// Proves 7413-5.
#[test]
fn rfc7413_4_pending_requests_are_capped_and_a_reset_counts_for_a_minute() {
    for profile in Profile::ALL {
        let mut config = on(profile);
        config.conn.fast_open_pending = 2;
        let mut bench = Bench::new(config);
        bench.listen(16);
        let known = bench.mint();
        let is_served = |bench: &mut Bench, port| {
            let (_, option, ack, _) = bench.offered(port, Some(known), b"GET");
            assert_eq!(option, None);
            ack == Seq(104)
        };
        assert!(is_served(&mut bench, 9100) && is_served(&mut bench, 9101));
        assert!(!is_served(&mut bench, 9102), "{profile:?}");
        // A third ACK makes room, a RST does not.
        let tuple = FourTuple {
            local: local(),
            remote: (PEER, 9100).into(),
        };
        let id = bench.stack.lookup(tuple).unwrap();
        let iss = bench.stack.status(id).unwrap().iss;
        bench.arrives(from(9100, Flags::ACK, 104, (iss + 1).0), b"");
        assert!(is_served(&mut bench, 9103));
        bench.arrives(from(9101, Flags::RST, 104, 0), b"");
        bench.arrives(from(9103, Flags::RST, 104, 0), b"");
        assert!(!is_served(&mut bench, 9104), "{profile:?}");
        bench.now = bench.now + Duration::from_secs(61);
        assert!(is_served(&mut bench, 9105) && is_served(&mut bench, 9106));
        assert!(!is_served(&mut bench, 9107));
        // What is not served is a connection as ever.
        assert_eq!(bench.stack.counters().fast_opens, 5);
    }
}

#[test]
fn full_backlog_no_fast_open() {
    let (mut bench, listener, known) = server(Profile::Linux);
    for port in 9100..9116 {
        bench.offered(port, None, b"");
    }
    // A SYN cookie: nothing is kept, nothing taken (RFC 4987 section 3.6).
    let seen = bench.offered(9200, Some(known), b"GET");
    assert_eq!(seen, (SYN_ACK, None, Seq(101), 0));
    assert_eq!(bench.stack.counters().fast_opens, 0);
    assert!(bench.stack.accept(bench.now, listener).is_err());
    // Nor where none are left to accept.
    let (mut bench, listener, known) = server(Profile::Linux);
    for port in 9100..9116 {
        bench.offered(port, Some(known), b"GET");
    }
    let mut syn = from(9200, Flags::SYN, 100, 0);
    syn.options.fast_open = Some(known);
    bench.arrives(syn, b"GET");
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.stack.counters().backlog_drops, 1);
    assert!(bench.stack.accept(bench.now, listener).is_ok());
}

#[test]
fn text_larger_than_the_window_is_taken_as_far_as_it_fits() {
    let mut config = on(Profile::Linux);
    config.conn.beyond_window = BeyondWindow::Cut;
    config.conn.receive_window = ReceiveWindow::Buffer;
    config.conn.receive_buffer = 100;
    let mut bench = Bench::new(config);
    bench.listen(16);
    let known = bench.mint();
    let mut syn = from(9100, Flags::SYN, 100, 0);
    syn.options.fast_open = Some(known);
    bench.arrives(syn, &[7; 1500]);
    let (syn_ack, _) = bench.sent().remove(0);
    let taken = syn_ack.ack.since(Seq(101));
    assert!((100..200).contains(&taken), "{taken}");
    assert_eq!(u32::from(syn_ack.window) + taken, 100.max(taken));
}

#[test]
fn fin_on_a_syn_with_a_cookie_must_come_again() {
    let (mut bench, listener, known) = server(Profile::Rfc9293);
    let mut syn = from(9100, Flags(Flags::SYN.0 | Flags::FIN.0), 100, 0);
    syn.options.fast_open = Some(known);
    bench.arrives(syn, b"GET");
    assert_eq!(bench.sent()[0].0.ack, Seq(104));
    let id = bench.stack.accept(bench.now, listener).unwrap();
    assert_eq!(bench.state(id), Some(State::SynReceived));
}

#[test]
fn client_asks_keeps_the_cookie_and_uses_it_with_as_much_text_as_fits() {
    for profile in Profile::ALL {
        let mut config = on(profile);
        config.conn.isn = Isn::Fixed(Seq(100));
        let mut bench = Bench::new(config);
        let ((syn, text), _, taken) = bench.open(40_000, b"hello");
        assert_eq!(syn.options.fast_open, Some(FastOpenCookie::REQUEST));
        assert_eq!((text.len(), taken), (0, 5));
        let given = cookie(&[5; 16]);
        let sent = bench.answered(&syn, 0, Some(given));
        assert_eq!(sent.last().unwrap().1, b"hello");
        // The MSS of that SYN,ACK, 1000, less 40 for options (RFC 7413 section 4.1.3).
        for (port, len, on_syn) in [(40_001, 5, 5), (40_002, 4960, 960)] {
            let data = vec![1; len];
            let ((syn, text), id, taken) = bench.open(port, &data);
            assert_eq!((syn.flags, syn.seq), (Flags::SYN, Seq(100)));
            assert_eq!(syn.options.fast_open, Some(given), "{profile:?}");
            assert_eq!((text.len(), taken), (on_syn, len));
            let sent = bench.answered(&syn, on_syn as u32, None);
            let rest: usize = sent.iter().map(|(_, text)| text.len()).sum();
            assert_eq!(rest, len - on_syn, "{profile:?}: {sent:?}");
            assert!(sent.iter().all(|(header, _)| header.ack == Seq(701)));
            let status = bench.stack.status(id).unwrap();
            assert_eq!(status.snd_una, Seq(101) + on_syn as u32);
            assert!(status.fast_open && status.to_string().contains(" fastopen "));
            assert_eq!(status.state, State::Established);
        }
    }
}

#[test]
fn answer_acknowledges_the_syn_alone_the_text_comes_again_at_once() {
    for (profile, part) in [
        (Profile::Linux, 0),
        (Profile::Rfc9293, 0),
        (Profile::Rfc793, 0),
        (Profile::Linux, 2),
        (Profile::Rfc9293, 2),
    ] {
        let (mut bench, known) = client(profile);
        let ((syn, text), id, _) = bench.open(40_001, b"hello");
        assert_eq!(
            (syn.options.fast_open, &*text),
            (Some(known), &b"hello"[..])
        );
        let sent = bench.answered(&syn, part, None);
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (sent[0].0.seq, &*sent[0].1),
            (Seq(101) + part, &b"hello"[part as usize..]),
            "{profile:?}"
        );
        let status = bench.stack.status(id).unwrap();
        assert_eq!((status.snd_nxt, status.fast_open), (Seq(106), part > 0));
    }
}

/// Proves 7413-6.
#[test]
fn syn_that_is_not_answered_comes_again_without_option_and_text() {
    for profile in Profile::ALL {
        let (mut bench, _) = client(profile);
        let ((syn, _), ..) = bench.open(40_001, b"hello");
        let sent = bench.run(Duration::from_millis(1032));
        assert_eq!(sent.len(), 1, "{profile:?}");
        let (again, text) = &sent[0];
        assert_eq!((again.flags, again.seq), (Flags::SYN, syn.seq));
        assert_eq!((again.options.fast_open, text.len()), (None, 0));
        // The answer to the first one is acceptable still.
        let sent = bench.answered(&syn, 5, None);
        assert_eq!(sent.len(), 1);
        assert_eq!((sent[0].0.seq, sent[0].1.len()), (Seq(106), 0));
    }
}

#[test]
fn without_the_fallback_every_syn_has_option_and_text() {
    let mut config = on(Profile::Linux);
    config.conn.fast_open_repeats = FastOpenRepeats::EverySyn;
    let mut bench = Bench::new(config);
    bench.learn(40_000, cookie(&[1; 4]));
    bench.open(40_001, b"hello");
    for (syn, text) in bench.run(Duration::from_secs(10)) {
        assert_eq!(syn.flags, Flags::SYN);
        assert!(syn.options.fast_open.is_some() && text == b"hello");
    }
}

/// Proves 7413-4.
#[test]
fn rfc7413_4_peer_that_takes_no_part_is_not_asked_for_an_hour_and_by_linux_the_next_time() {
    for (profile, remembers) in [
        (Profile::Linux, false),
        (Profile::Rfc9293, true),
        (Profile::Rfc793, true),
    ] {
        // No cookie in the answer; the SYN with the cookie lost; its text not acknowledged.
        type Refusal = fn(&mut Bench);
        let refusals: [Refusal; 4] = [
            |bench| {
                let ((syn, _), ..) = bench.open(40_001, b"");
                bench.answered(&syn, 0, None);
            },
            |bench| {
                bench.learn(40_000, cookie(&[1; 4]));
                let ((syn, _), ..) = bench.open(40_001, b"hello");
                bench.run(Duration::from_millis(1001));
                bench.answered(&syn, 0, None);
            },
            |bench| {
                bench.learn(40_000, cookie(&[1; 4]));
                let ((syn, _), ..) = bench.open(40_001, b"hello");
                bench.answered(&syn, 0, None);
            },
            |bench| {
                bench.learn(40_000, cookie(&[1; 4]));
                bench.open(40_001, b"hello");
                bench.run(HOUR);
            },
        ];
        for (index, refuse) in refusals.into_iter().enumerate() {
            let mut config = on(profile);
            config.conn.isn = Isn::Fixed(Seq(100));
            let mut bench = Bench::new(config);
            refuse(&mut bench);
            let ((syn, _), ..) = bench.open(40_002, b"hello");
            let tries = syn.options.fast_open.is_some();
            assert_eq!(tries, !remembers, "{profile:?}, {index}");
            bench.now = bench.now + HOUR;
            let ((syn, _), ..) = bench.open(40_003, b"hello");
            assert!(syn.options.fast_open.is_some(), "{profile:?}, {index}");
        }
    }
}

#[test]
fn rst_that_acknowledges_the_text_of_our_syn_refuses_it() {
    for profile in Profile::ALL {
        let (mut bench, _) = client(profile);
        let ((syn, _), id, _) = bench.open(40_001, b"hello");
        let reset = |ack: u32| header(peer(), syn.source, RST_ACK, 0, ack);
        // Not of what was never sent (RFC 5961 section 3.2).
        bench.arrives(reset(107), b"");
        assert_eq!(bench.state(id), Some(State::SynSent));
        bench.arrives(reset(106), b"");
        let closed = Signal::Closed(id, CloseReason::Refused);
        assert!(bench.signals().contains(&closed), "{profile:?}");
    }
}

#[test]
fn simultaneous_open_text_of_our_syn_that_the_peer_queued_is_acknowledged() {
    for profile in [Profile::Rfc9293, Profile::Rfc793] {
        let (mut bench, _) = client(profile);
        let ((syn, _), id, _) = bench.open(40_001, b"hello");
        bench.arrives(header(peer(), syn.source, Flags::SYN, 700, 0), b"");
        let (syn_ack, text) = bench.sent().remove(0);
        assert_eq!((syn_ack.flags, text.len()), (SYN_ACK, 0));
        assert_eq!(syn_ack.options.fast_open, None);
        bench.arrives(header(peer(), syn.source, Flags::ACK, 701, 106), b"");
        assert!(
            bench
                .sent()
                .iter()
                .all(|(header, _)| header.flags != Flags::RST)
        );
        let status = bench.stack.status(id).unwrap();
        assert_eq!(status.state, State::Established);
        assert_eq!((status.snd_una, status.unacknowledged), (Seq(106), 0));
    }
}

/// A stack that forgets nobody would run out of memory.
#[test]
fn cookies_of_peers_are_bounded_and_the_one_used_longest_ago_goes_first() {
    let mut config = on(Profile::Linux);
    config.max_connections = 4;
    let mut bench = Bench::new(config);
    let exchange = |bench: &mut Bench, host: u32, give: bool| {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a01_0000 + host));
        let id = bench.connect(40_000, (address, 9000).into()).unwrap();
        let syn = bench.sent().remove(0).0;
        if give {
            let mut answer = header((address, 9000).into(), syn.source, SYN_ACK, 700, 0);
            answer.ack = syn.seq + 1;
            answer.options.fast_open = Some(cookie(&[3; 8]));
            bench.arrives(answer, b"");
        }
        bench.stack.abort(bench.now, id).unwrap();
        bench.sent();
        syn.options.fast_open == Some(cookie(&[3; 8]))
    };
    for host in 1..=1024 {
        assert!(!exchange(&mut bench, host, true));
    }
    assert!(exchange(&mut bench, 1, false));
    assert!(!exchange(&mut bench, 2000, true));
    assert!(exchange(&mut bench, 1, false), "it was used since");
    assert!(!exchange(&mut bench, 2, false), "it was not");
}

#[test]
fn restart_cookies_are_gone_and_those_given_are_no_longer_valid() {
    let (mut bench, _, known) = server(Profile::Linux);
    bench.learn(40_000, cookie(&[1; 4]));
    bench.stack.restart(bench.now);
    let ((syn, _), ..) = bench.open(40_001, b"hello");
    assert_eq!(syn.options.fast_open, Some(FastOpenCookie::REQUEST));
    bench.listen(16);
    let (_, fresh, ack, _) = bench.offered(9100, Some(known), b"GET");
    assert!(ack == Seq(101) && fresh.is_some_and(|fresh| fresh != known));
}
