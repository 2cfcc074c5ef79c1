//! Two stacks that are wired to each other.

use super::*;

/// Two stacks; each takes what the other sent.
pub(crate) struct Pair {
    pub(crate) a: Stack,
    pub(crate) b: Stack,
    pub(crate) now: Instant,
}

impl Pair {
    pub(crate) const A: ([u8; 4], u16) = ([10, 0, 0, 1], 7000);
    pub(crate) const B: ([u8; 4], u16) = ([10, 0, 0, 2], 9000);

    pub(crate) fn new(config: &Config) -> Pair {
        let host = |at: ([u8; 4], u16), seed| {
            let mut stack = Stack::new(config.clone(), seed);
            stack.reserve(at.0.into(), at.1..=at.1);
            stack
        };
        Pair {
            a: host(Pair::A, 1),
            b: host(Pair::B, 2),
            now: Instant::ZERO,
        }
    }

    /// The connection as A sees it.
    pub(crate) fn tuple_of_a() -> FourTuple {
        FourTuple {
            local: Pair::A.into(),
            remote: Pair::B.into(),
        }
    }

    /// The connection as B sees it.
    pub(crate) fn tuple_of_b() -> FourTuple {
        FourTuple {
            local: Pair::B.into(),
            remote: Pair::A.into(),
        }
    }

    pub(crate) fn sent(stack: &mut Stack, now: Instant) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2000];
        let mut out = Vec::new();
        while let Some(transmit) = stack.poll_transmit(now, &mut buffer) {
            out.push(buffer[..transmit.len].to_vec());
        }
        out
    }

    /// Both send, then both receive: everything crosses on the way. How many packets it took.
    pub(crate) fn exchange(&mut self) -> usize {
        let mut packets = 0;
        loop {
            let from_a = Pair::sent(&mut self.a, self.now);
            let from_b = Pair::sent(&mut self.b, self.now);
            if from_a.is_empty() && from_b.is_empty() {
                return packets;
            }
            packets += from_a.len() + from_b.len();
            assert!(packets < 1000, "they answer each other forever");
            self.now = self.now + millis(1);
            from_a
                .iter()
                .for_each(|packet| self.b.packet_arrives(self.now, packet));
            from_b
                .iter()
                .for_each(|packet| self.a.packet_arrives(self.now, packet));
        }
    }

    pub(crate) fn states(&self) -> (Option<State>, Option<State>) {
        let state = |stack: &Stack, tuple| Some(stack.status(stack.lookup(tuple)?)?.state);
        (
            state(&self.a, Pair::tuple_of_a()),
            state(&self.b, Pair::tuple_of_b()),
        )
    }

    pub(crate) fn open_at_once(config: &Config) -> Pair {
        let mut pair = Pair::new(config);
        pair.a
            .connect(pair.now, Pair::tuple_of_a(), &config.conn)
            .unwrap();
        pair.b
            .connect(pair.now, Pair::tuple_of_b(), &config.conn)
            .unwrap();
        pair
    }
}
