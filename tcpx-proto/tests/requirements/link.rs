//! Two applications over a link that loses, duplicates and reorders.

use super::*;

/// A link of 10 ms that does to its first packets what it was told to, and two applications: each
/// sends, reads slowly and closes.
struct Link {
    pair: Pair,
    fates: std::vec::IntoIter<u8>,
    flying: Vec<(Instant, bool, Vec<u8>)>,
    unsent: [Vec<u8>; 2],
    got: [Vec<u8>; 2],
    ended: [bool; 2],
    ids: [Option<ConnId>; 2],
    most: usize,
}

impl Link {
    fn carry(&mut self) {
        for to_b in [true, false] {
            let from = if to_b {
                &mut self.pair.a
            } else {
                &mut self.pair.b
            };
            for packet in Pair::sent(from, self.pair.now) {
                let fate = self.fates.next().unwrap_or(9);
                let delay = if fate == 3 { 75 } else { 10 };
                for _ in 0..[1, 0, 2].get(usize::from(fate)).copied().unwrap_or(1) {
                    self.flying
                        .push((self.pair.now + millis(delay), to_b, packet.clone()));
                }
            }
        }
    }

    fn applications(&mut self) {
        let a = Pair::A.into();
        let b = Pair::B.into();
        self.ids = [
            self.ids[0].or(self.pair.a.lookup(FourTuple {
                local: a,
                remote: b,
            })),
            self.ids[1].or(self.pair.b.lookup(FourTuple {
                local: b,
                remote: a,
            })),
        ];
        for (at, id) in self.ids.into_iter().enumerate() {
            let Some(id) = id else { continue };
            let stack = if at == 0 {
                &mut self.pair.a
            } else {
                &mut self.pair.b
            };
            let mut into = vec![0; self.most];
            match stack.receive(self.pair.now, id, &mut into) {
                Ok(0) => self.ended[at] = true,
                Ok(taken) => self.got[at].extend(&into[..taken]),
                Err(_) => {}
            }
            if let Ok(taken) = stack.send(self.pair.now, id, &self.unsent[at]) {
                self.unsent[at].drain(..taken);
                // Linux gives up a connection that it is told to shut down in SYN-SENT.
                let opening = stack.status(id).unwrap().state == State::SynSent;
                if self.unsent[at].is_empty() && !opening {
                    stack.shutdown(self.pair.now, id).unwrap();
                }
            }
        }
    }

    /// Goes on for 20 ms, the pace at which the applications read.
    fn step(&mut self) {
        let until = self.pair.now + millis(20);
        loop {
            self.carry();
            let arrival = self.flying.iter().map(|(at, ..)| *at).min();
            let next = [arrival, self.pair.a.deadline(), self.pair.b.deadline()]
                .into_iter()
                .flatten()
                .min()
                .filter(|next| *next <= until);
            let Some(next) = next else { break };
            self.pair.now = self.pair.now.max(next);
            self.pair.a.timeout(self.pair.now);
            self.pair.b.timeout(self.pair.now);
            let (due, later) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|(at, ..)| *at <= next);
            self.flying = later;
            for (_, to_b, packet) in due {
                let to = if to_b {
                    &mut self.pair.b
                } else {
                    &mut self.pair.a
                };
                to.packet_arrives(self.pair.now, &packet);
            }
        }
        self.pair.now = until;
        self.applications();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_loss_doubling_and_reordering_delivers_everything_in_order_and_ends(
        profile in prop_oneof![Just(Profile::Rfc9293), Just(Profile::Rfc793), Just(Profile::Linux)],
        fates in prop::collection::vec(0u8..8, 0..120),
        sizes in (1usize..40_000, 1usize..40_000),
        buffer in 500usize..100_000,
        most in 200usize..5000,
        mtu in 300u16..1500,
    ) {
        let config = with(profile.config(), |conn| {
            conn.receive_buffer = buffer;
            conn.mtu = mtu;
            // The applications do not wait for ESTABLISHED.
            conn.syn_sent_shutdown = SynSentShutdown::Queue;
        });
        let mut pair = Pair::new(&config);
        pair.b
            .listen(pair.now, Pair::B.into(), 1, &config.conn)
            .unwrap();
        pair.a
            .connect(
                pair.now,
                FourTuple {
                    local: Pair::A.into(),
                    remote: Pair::B.into(),
                },
                &config.conn,
            )
            .unwrap();
        let texts = [text(sizes.0), text(sizes.1)];
        let mut link = Link {
            pair,
            fates: fates.into_iter(),
            flying: Vec::new(),
            unsent: texts.clone(),
            got: [Vec::new(), Vec::new()],
            ended: [false, false],
            ids: [None, None],
            most,
        };
        for _ in 0..100_000 {
            link.step();
            if link.ended == [true, true] {
                break;
            }
        }
        prop_assert_eq!(link.ended, [true, true], "{:?}", link.pair.states());
        prop_assert!(link.got[0] == texts[1] && link.got[1] == texts[0]);
    }
}
