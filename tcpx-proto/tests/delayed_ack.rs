//! When text in order is acknowledged: as Linux was measured to, and by RFC 9293 section 3.8.6.3.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod common;

use std::time::Duration;

use common::{ACK, Bench, FIN_ACK, PEER_ISS, SYN_ACK, Sent, with};
use tcpx_proto::config::{AckPace, Config, Profile};
use tcpx_proto::seq::Seq;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::Flags;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Linux without timestamps and SACK, as its peer in the measurement was.
fn linux() -> Config {
    let config = Bench::exact(Profile::Linux);
    with(config, |conn| {
        conn.timestamps = false;
        conn.window_scaling = false;
        conn.sack = false;
        // The kernel's: how many segments let the window grow depends on it.
        conn.receive_buffer = 1 << 16;
    })
}

fn open(config: Config, rtt: u64) -> Bench {
    let mut bench = Bench::new(config);
    bench.connect();
    bench.now = bench.now + millis(rtt - 1);
    bench.arrive(PEER_ISS, bench.snd_nxt, SYN_ACK, b"");
    bench.now = bench.now + millis(100);
    bench
}

/// The application at our end.
enum App {
    /// Never reads.
    Idle,
    /// Reads at once.
    Read,
    /// Reads at once, and answers every message with one of the given size, that much later, so
    /// often.
    Reply {
        message: usize,
        bytes: usize,
        after: Duration,
        times: usize,
    },
}

/// What an application does, and what it leaves for later.
struct Peer {
    bench: Bench,
    app: App,
    read: usize,
    due: Option<Instant>,
    /// When which byte of the peer's was acknowledged, and whether text came with it.
    acked: Vec<(Seq, Instant, bool)>,
}

impl Peer {
    fn see(&mut self, sent: Vec<Sent>) {
        let text = sent.iter().any(|sent| !sent.text.is_empty());
        self.acked.extend(
            sent.iter()
                .map(|sent| (sent.header.ack, sent.at, !sent.text.is_empty())),
        );
        if text {
            let header = self
                .bench
                .header(self.bench.rcv_nxt, self.bench.snd_nxt, ACK);
            let more = self.bench.say(header, b"");
            self.see(more);
        }
    }

    /// Something arrived, or time has passed.
    fn act(&mut self) {
        if !matches!(self.app, App::Idle) {
            if let Ok(text) = self.bench.receive(65_536) {
                self.read += text.len();
            }
            let sent = self.bench.drain();
            self.see(sent);
        }
        let App::Reply {
            message,
            bytes,
            after,
            ref mut times,
        } = self.app
        else {
            return;
        };
        if self.read >= message && *times > 0 {
            self.read -= message;
            *times -= 1;
            self.due = Some(self.bench.now + after);
        }
        if self.due.is_some_and(|due| due <= self.bench.now) {
            self.due = None;
            let sent = self.bench.send(&vec![b'x'; bytes]);
            self.see(sent);
        }
    }

    fn pass(&mut self, until: Instant) {
        while let Some(due) = self.due.filter(|due| *due <= until) {
            let sent = self.bench.run(due.since(self.bench.now));
            self.see(sent);
            self.act();
        }
        let sent = self.bench.run(until.since(self.bench.now));
        self.see(sent);
    }
}

/// How long each segment waits for its ACK; `+`: one with text.
fn delays(rtt: u64, app: App, segments: &[(u64, usize, bool)]) -> Vec<(u64, bool)> {
    let mut peer = Peer {
        bench: open(linux(), rtt),
        app,
        read: 0,
        due: None,
        acked: Vec::new(),
    };
    let mut sent = Vec::new();
    let mut at = peer.bench.now;
    for &(after, len, push) in segments {
        at = at + millis(after);
        peer.pass(at);
        let flags = if push { ACK | Flags::PSH } else { ACK };
        let header = peer
            .bench
            .header(peer.bench.rcv_nxt, peer.bench.snd_nxt, flags);
        sent.push((header.seq + len as u32, peer.bench.now));
        let answer = peer.bench.say(header, &vec![b'z'; len]);
        peer.see(answer);
        peer.act();
    }
    peer.pass(at + millis(500));
    let delay = |(end, at): (Seq, Instant)| {
        let (_, when, text) = peer.acked.iter().find(|(ack, ..)| ack.ge(end)).unwrap();
        (when.since(at).as_millis() as u64, *text)
    };
    sent.into_iter().map(delay).collect()
}

/// One line of the table: what the peer sends to which application, and what Linux made of it.
struct Case<'a> {
    name: &'a str,
    rtt: u64,
    app: &'a str,
    segments: Vec<(u64, usize, bool)>,
    measured: Vec<Option<(u64, bool)>>,
}

fn case(line: &str) -> Case<'_> {
    let [name, rtt, app, segments, measured] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    let segment = |text: &str| {
        let (after, rest) = text.split_once(':').unwrap();
        let len = rest.trim_end_matches('P');
        (after.parse().unwrap(), len.parse().unwrap(), len != rest)
    };
    let delay = |text: &str| {
        (text != ".").then(|| {
            (
                text.trim_end_matches('+').parse().unwrap(),
                text.ends_with('+'),
            )
        })
    };
    let segments = segments.split(' ').map(segment).collect();
    let measured = measured.split(' ').map(delay).collect();
    Case {
        name,
        rtt: rtt.parse().unwrap(),
        app,
        segments,
        measured,
    }
}

fn app(text: &str, segments: &[(u64, usize, bool)]) -> App {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| words[at].parse::<usize>().unwrap();
    let one = segments[0].1;
    let reply = |message, bytes, after, times| App::Reply {
        message,
        bytes,
        after,
        times,
    };
    match words[0] {
        "idle" => App::Idle,
        "read" => App::Read,
        "reply" => reply(one, number(1), Duration::ZERO, usize::MAX),
        "reply1" => reply(one, number(1), Duration::ZERO, 1),
        "reply2" => reply(one + segments[1].1, number(1), Duration::ZERO, usize::MAX),
        "late" => reply(one, number(2), millis(number(1) as u64), usize::MAX),
        other => panic!("{other}"),
    }
}

#[test]
fn linux_acknowledges_as_it_was_measured_to() {
    let mut wrong = Vec::new();
    for line in include_str!("data/linux_6_18_acks.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let case = case(line);
        let ours = delays(case.rtt, app(case.app, &case.segments), &case.segments);
        let show = |delays: &[Option<(u64, bool)>]| {
            let one = |(delay, text)| format!("{delay}{}", if text { "+" } else { "" });
            delays
                .iter()
                .map(|delay| delay.map_or(".".into(), one))
                .collect::<Vec<_>>()
                .join(" ")
        };
        // A jiffy is 4 ms, and its timers come up to one of them late.
        let near = |(ours, theirs): (&(u64, bool), &Option<(u64, bool)>)| {
            theirs.is_none_or(|theirs| ours.0.abs_diff(theirs.0) <= 10)
        };
        if !ours.iter().zip(&case.measured).all(near) {
            wrong.push(format!(
                "{}\n  linux {}\n  tcpx  {}",
                case.name,
                show(&case.measured),
                show(&ours.into_iter().map(Some).collect::<Vec<_>>())
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn profiles_have_the_pace_of_their_source() {
    let paces = Profile::ALL.map(|profile| profile.config().conn.ack_pace);
    assert_eq!(paces, [AckPace::Linux, AckPace::Rfc9293, AckPace::Rfc9293]);
}

#[test]
fn rfc_9293_reading_acknowledges_nothing_by_itself() {
    let mut bench = open(Profile::Rfc9293.config(), 2);
    for _ in 0..20 {
        let header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::PSH);
        assert_eq!(bench.say(header, b"x"), [], "less than two full segments");
        bench.receive(10).unwrap();
        assert_eq!(bench.drain(), []);
        assert_eq!(bench.run(millis(200)).len(), 1);
    }
}

/// A one-way stream that has used up the quick ACKs, and whose window grows no more.
fn settled() -> Bench {
    let mut bench = open(linux(), 2);
    for _ in 0..20 {
        bench.text(&[0; 1460]);
        bench.receive(2000).unwrap();
        bench.drain();
    }
    for _ in 0..40 {
        bench.text(b"x");
        bench.run(millis(100));
    }
    bench.receive(100).unwrap();
    bench.drain();
    bench
}

fn push(bench: &mut Bench, text: &[u8]) -> Vec<Sent> {
    bench.say(
        bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::PSH),
        text,
    )
}

#[test]
fn linux_text_that_is_read_in_part_waits() {
    let mut bench = settled();
    assert_eq!(push(&mut bench, b"abcdef"), []);
    bench.receive(3).unwrap();
    assert_eq!(bench.drain(), []);
    bench.receive(3).unwrap();
    assert_eq!(bench.drain().len(), 1);
    assert_eq!(bench.run(millis(500)), [], "once");
}

#[test]
fn linux_text_that_is_read_beyond_a_hole_is_acknowledged_by_each_arrival() {
    let mut bench = settled();
    assert_eq!(push(&mut bench, b"ab"), []);
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt + 1, bench.snd_nxt, ACK, b"d")
            .len(),
        1
    );
    bench.receive(10).unwrap();
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.text(b"c").len(), 1, "fills the hole");
}

#[test]
fn linux_full_segment_without_push_waits_for_the_next_though_it_is_read() {
    let mut bench = settled();
    let full = vec![0; 1460];
    for round in 0..10 {
        assert_eq!(bench.text(&full).len(), round % 2, "{round}");
        bench.receive(2000).unwrap();
        assert_eq!(bench.drain(), []);
    }
    assert_eq!(push(&mut bench, &full), []);
    bench.receive(2000).unwrap();
    assert_eq!(bench.drain().len(), 1, "pushed: the peer may wait for it");
}

#[test]
fn linux_repeated_text_is_acknowledged_at_once_and_so_are_the_next_ones() {
    let mut bench = settled();
    assert_eq!(bench.text(b"x"), []);
    assert_eq!(
        bench
            .arrive(bench.rcv_nxt.back(1), bench.snd_nxt, ACK, b"x")
            .len(),
        1
    );
    for _ in 0..10 {
        assert_eq!(bench.text(b"x").len(), 1);
    }
}

#[test]
fn linux_answer_takes_the_ack_along_and_a_missed_one_ends_the_dialogue() {
    let mut bench = settled();
    for _ in 0..10 {
        assert_eq!(push(&mut bench, b"question"), []);
        bench.receive(100).unwrap();
        bench.drain();
        assert_eq!(bench.send(b"answer").len(), 1);
        bench.acknowledge();
    }
    push(&mut bench, b"question");
    bench.receive(100).unwrap();
    assert_eq!(bench.drain(), [], "the answer is expected");
    let since = bench.now;
    assert_eq!(bench.run(millis(50))[0].at.since(since), millis(40));
    assert_eq!(push(&mut bench, b"question"), []);
    bench.receive(100).unwrap();
    assert_eq!(bench.drain().len(), 1, "it is no dialogue any more");
}

#[test]
fn linux_ack_of_a_fin_waits_no_longer_than_a_tick_before_any_text() {
    let ack = |text: &[u8]| {
        let mut bench = open(linux(), 2);
        if !text.is_empty() {
            bench.text(text);
        }
        assert_eq!(
            bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b""),
            [],
            "the application may close now"
        );
        let since = bench.now;
        bench.run(millis(500))[0].at.since(since)
    };
    assert!(ack(b"") <= millis(4));
    assert_eq!(ack(b"text"), millis(40));
}

#[test]
fn linux_delay_asked_for_is_the_least_one() {
    let mut bench = open(
        with(linux(), |conn| {
            conn.delayed_ack = Some(millis(450));
            conn.quick_acks = 0;
        }),
        2,
    );
    assert_eq!(bench.text(b"x"), []);
    let since = bench.now;
    assert_eq!(bench.run(millis(1000))[0].at.since(since), millis(450));
}
