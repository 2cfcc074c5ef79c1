//! What Linux 6.18 sent on each ACK, and what tcpx sends on the same ACKs: `tests/data/recovery`
//! has a file for each pattern of losses, recorded from a socket on a TUN device with CUBIC.
//!
//! A line is `write MS BYTES`, `> MS SEQ LEN` for a segment that Linux sent, or `< MS ACK echo N
//! LEFT-RIGHT.. [ece]` for an ACK that arrived, which echoes the timestamp of the Nth segment.

use super::*;
use common::PEER_ISS;
use tcpx_proto::wire::{Flags, Timestamps};

/// How far apart a segment of Linux and one of tcpx may leave: a jiffy is 4 ms, and the recording
/// machine was busy.
const TOLERANCE: f64 = 14.0;
/// How much later, in parts of the wait, either's timer may fire (the timer wheel).
const WHEEL: f64 = 0.125;

#[derive(Clone, Copy, PartialEq, Debug)]
struct Segment {
    at: f64,
    seq: u32,
    len: u32,
}

/// tcpx in the place of the Linux that was recorded.
struct Replay {
    bench: Bench,
    start: tcpx_proto::time::Instant,
    first: Seq,
    stamps: bool,
    /// TSval of each segment.
    values: Vec<u32>,
    sent: Vec<Segment>,
}

impl Replay {
    fn new(head: &str) -> Replay {
        let option = |name: &str| {
            let mut words = head.split(' ').skip_while(|word| *word != name).skip(1);
            words.next().unwrap().parse::<u16>().unwrap()
        };
        let stamps = option("ts") == 1;
        let mut config = Profile::Linux.config();
        config.conn.send_buffer = 4 << 20;
        let mut bench = Bench::new(config);
        bench.syn_options = Options {
            mss: Some(option("mss") + 12 * option("ts")),
            sack_permitted: option("sack") == 1,
            window_scale: Some(8),
            ..Options::default()
        };
        bench.window = u16::MAX;
        bench.stamp = stamps.then_some(1);
        bench.listen();
        let ask = if option("ecn") == 1 {
            Flags::ECE | Flags::CWR
        } else {
            Flags::empty()
        };
        let syn = bench.header(PEER_ISS, Seq(0), Flags::SYN | ask);
        let answer = bench.say(syn, b"");
        bench.now = bench.now + millis(100);
        let mut ack = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK);
        ack.options.timestamps = stamps.then(|| Timestamps {
            value: 101,
            echo: answer[0].header.options.timestamps.unwrap().value,
        });
        bench.say(ack, b"");
        let listener = bench.listener.unwrap();
        bench.stack.accept(bench.now, listener).unwrap();
        Replay {
            start: bench.now,
            first: bench.snd_nxt,
            bench,
            stamps,
            values: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn note(&mut self, sent: Vec<Sent>) {
        for sent in sent {
            let stamp = sent.header.options.timestamps;
            self.values.push(stamp.map_or(0, |stamp| stamp.value));
            self.sent.push(Segment {
                at: sent.at.since(self.start).as_secs_f64() * 1e3,
                seq: sent.header.seq.since(self.first),
                len: sent.text.len() as u32,
            });
        }
    }

    fn run_to(&mut self, at: f64) {
        let until = self.start + Duration::from_secs_f64(at / 1e3);
        let sent = self.bench.run(until.since(self.bench.now));
        self.note(sent);
    }

    fn ack(&mut self, at: f64, words: &[&str]) {
        let seq = |word: &str| self.first + word.parse().unwrap();
        let mut header = self.bench.header(self.bench.rcv_nxt, seq(words[0]), ACK);
        let echoed = words[2].parse::<usize>().ok();
        let echo = echoed.and_then(|index| self.values.get(index)).copied();
        header.options.timestamps = self.stamps.then(|| Timestamps {
            value: 101 + at as u32,
            echo: echo.unwrap_or(0),
        });
        for word in &words[3..] {
            match word.split_once('-') {
                Some((left, right)) => {
                    assert!(header.options.sack.push(seq(left), seq(right)));
                }
                None => header.flags |= Flags::ECE,
            }
        }
        let sent = self.bench.say(header, b"");
        self.note(sent);
    }
}

/// Plays a recording; what Linux sent, and how long after the last input, and what tcpx does.
fn play(text: &str) -> (Vec<(Segment, f64)>, Replay) {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut replay = Replay::new(lines.next().unwrap());
    let mut linux = Vec::new();
    let mut last: f64 = 0.0;
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let at = words[1].parse().unwrap();
        match words[0] {
            ">" => {
                let seq = words[2].parse().unwrap();
                let len = words[3].parse().unwrap();
                linux.push((Segment { at, seq, len }, at - last));
                continue;
            }
            "<" => {
                replay.run_to(at);
                replay.ack(at, &words[2..]);
            }
            "write" => {
                replay.run_to(at);
                let sent = replay.bench.send(&vec![7; words[2].parse().unwrap()]);
                replay.note(sent);
            }
            other => panic!("{other}"),
        }
        last = at;
    }
    replay.run_to(last + TOLERANCE);
    (linux, replay)
}

/// The first segment in which they differ.
fn difference(linux: &[(Segment, f64)], tcpx: &[Segment]) -> Option<String> {
    (0..linux.len().max(tcpx.len())).find_map(|n| {
        let pair = (linux.get(n), tcpx.get(n));
        let same = match pair {
            (Some((theirs, wait)), Some(ours)) => {
                let late = TOLERANCE + WHEEL * wait;
                (theirs.seq, theirs.len) == (ours.seq, ours.len)
                    && (theirs.at - ours.at).abs() < late
            }
            _ => false,
        };
        (!same).then(|| format!("segment {n} of {}: {:?} {:?}", linux.len(), pair.0, pair.1))
    })
}

fn recordings() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/recovery");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// Proves 3522-1, 5682-1, 5682-2, 4015-1.
#[test]
fn linux_sends_the_same_segments_on_each_ack() {
    let mut differences = Vec::new();
    for (name, text) in recordings() {
        let (linux, replay) = play(&text);
        if let Ok(folder) = std::env::var("REPLAYED") {
            let lines: String = replay
                .sent
                .iter()
                .map(|sent| format!("> {:.1} {} {}\n", sent.at, sent.seq, sent.len))
                .collect();
            std::fs::write(format!("{folder}/{name}"), lines).unwrap();
        }
        if let Some(difference) = difference(&linux, &replay.sent) {
            differences.push(format!("{name}: {difference}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
