//! Requests and answers over one connection: whatever their sizes and the MTU, no rule of one end
//! waits for a timer of the other.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;
use tcpx_proto::config::{Config, Profile, ReceiveWindow};
use tcpx_proto::error::CallError;
use tcpx_proto::id::{ConnId, FourTuple, ListenerId};
use tcpx_proto::stack::{Signal, Stack};
use tcpx_proto::time::Instant;

/// One way.
const WAY: Duration = Duration::from_micros(50);
const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);

/// Two stacks, a cable, a client that asks and a server that answers as soon as it has the whole
/// question.
struct Dialogue {
    now: Instant,
    stacks: [Stack; 2],
    cable: VecDeque<(Instant, usize, Vec<u8>)>,
    listener: ListenerId,
    /// At the client, at the server.
    conns: [Option<ConnId>; 2],
    /// What each has read, and has still to write.
    read: [usize; 2],
    unsent: [usize; 2],
}

impl Dialogue {
    fn new(configs: [Config; 2]) -> Dialogue {
        let mut stacks =
            [(CLIENT, &configs[0], 1), (SERVER, &configs[1], 2)].map(|(at, config, seed)| {
                let mut stack = Stack::new(config.clone(), seed);
                stack.reserve(at.0.into(), at.1..=at.1);
                stack
            });
        let now = Instant::ZERO + Duration::from_secs(1);
        let listener = stacks[1]
            .listen(now, SERVER.into(), 8, &configs[1].conn)
            .unwrap();
        let ours = stacks[0]
            .connect(
                now,
                FourTuple {
                    local: CLIENT.into(),
                    remote: SERVER.into(),
                },
                &configs[0].conn,
            )
            .unwrap();
        let conns = [Some(ours), None];
        let cable = VecDeque::new();
        Dialogue {
            now,
            stacks,
            cable,
            listener,
            conns,
            read: [0; 2],
            unsent: [0; 2],
        }
    }

    /// What the stacks have to say goes onto the cable, and the applications read and write what
    /// they can.
    fn settle(&mut self) {
        let mut packet = vec![0; 66_000];
        for end in [0, 1] {
            while let Some(transmit) = self.stacks[end].poll_transmit(self.now, &mut packet) {
                self.cable
                    .push_back((self.now + WAY, 1 - end, packet[..transmit.len].to_vec()));
            }
            while let Some(signal) = self.stacks[end].poll_signal() {
                if matches!(signal, Signal::Acceptable(_)) {
                    self.conns[1] = self.stacks[1].accept(self.now, self.listener).ok();
                }
            }
        }
    }

    fn applications(&mut self) {
        let mut into = vec![0; 8192];
        for end in [0, 1] {
            let Some(id) = self.conns[end] else { continue };
            loop {
                match self.stacks[end].receive(self.now, id, &mut into) {
                    Ok(taken) => self.read[end] += taken,
                    Err(CallError::WouldBlock) => break,
                    Err(error) => panic!("{error}"),
                }
                self.settle();
            }
            while self.unsent[end] > 0 {
                let text = vec![7; self.unsent[end]];
                match self.stacks[end].send(self.now, id, &text) {
                    Ok(taken) => self.unsent[end] -= taken,
                    Err(CallError::WouldBlock) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.settle();
        }
    }

    /// One question and its answer, and how long that took.
    fn exchange(&mut self, question: usize, answer: usize) -> Duration {
        let start = self.now;
        self.unsent[0] = question;
        self.read = [0; 2];
        let mut answered = false;
        loop {
            self.settle();
            self.applications();
            self.settle();
            if self.read[0] >= answer {
                return self.now.since(start);
            }
            if self.read[1] == question && !answered {
                answered = true;
                self.unsent[1] = answer;
                continue;
            }
            let arrival = self.cable.front().map(|(at, ..)| *at);
            let timer = self.stacks.iter().filter_map(Stack::deadline).min();
            let next = arrival.into_iter().chain(timer).min().unwrap();
            self.now = self.now.max(next);
            while let Some((_, end, packet)) = self.cable.pop_front_if(|(at, ..)| *at <= self.now) {
                self.stacks[end].packet_arrives(self.now, &packet);
            }
            self.stacks
                .iter_mut()
                .for_each(|stack| stack.timeout(self.now));
        }
    }
}

fn linux(mtu: u16, receive_buffer: usize) -> Config {
    let mut config = Profile::Linux.config();
    config.conn.mtu = mtu;
    config.conn.receive_buffer = receive_buffer;
    // Linux's own window may be smaller than half a segment, and does wait for its timers then.
    config.conn.receive_window = ReceiveWindow::Buffer;
    config.conn.receive_limit = None;
    config
}

/// As many round trips as slow start may take, and then some: well below 40 ms, the least delay of
/// an ACK.
const SOON: Duration = Duration::from_millis(10);

#[test]
fn linux_answer_of_any_size_waits_for_no_timer() {
    for mtu in [552, 1500, 9000, 65_535] {
        for size in [
            1, 100, 536, 1448, 1449, 2000, 2896, 2897, 8192, 20_000, 65_483, 65_484, 100_000,
            300_000,
        ] {
            let mut dialogue = Dialogue::new([linux(mtu, 1 << 18), linux(mtu, 1 << 18)]);
            let times: Vec<_> = (0..40).map(|_| dialogue.exchange(100, size)).collect();
            assert!(
                times.iter().all(|time| *time < SOON),
                "{size} bytes, MTU {mtu}: {times:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn linux_questions_and_answers_of_any_size_wait_for_no_timer(
        mtu in prop_oneof![Just(552u16), Just(1500), Just(9000), Just(65_535), 300u16..65_535],
        buffers in prop::array::uniform2(4096usize..300_000),
        sizes in prop::collection::vec(
            (1usize..5000, prop_oneof![1usize..5000, 1usize..200_000]),
            1..30,
        ),
    ) {
        let mut dialogue = Dialogue::new(buffers.map(|buffer| linux(mtu, buffer)));
        for (question, answer) in sizes {
            let time = dialogue.exchange(question, answer);
            // A small window takes its round trips.
            let trips = 20 + 4 * (answer + question) / buffers[0].min(buffers[1]);
            prop_assert!(
                time < SOON.max(WAY * 2 * trips as u32),
                "{question}, {answer}: {time:?}"
            );
        }
    }
}
