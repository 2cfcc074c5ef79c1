//! A connection alone, without a stack.

use super::*;
use crate::config::Config;
use crate::event::Record;
use crate::id::ConnId;
use crate::seq::Seq;
use crate::wire::{ChecksumKind, Flags, Header, Options, Segment};
use alloc::collections::VecDeque;

struct Bench {
    tcb: Tcb,
    record: Record,
    replies: VecDeque<Reply>,
}

impl Bench {
    fn run<R>(&mut self, act: impl FnOnce(&mut Tcb, &mut Context<'_>) -> R) -> R {
        let record = &mut self.record;
        let replies = &mut self.replies;
        let id = ConnId {
            slot: 0,
            generation: 0,
        };
        let now = Instant::ZERO;
        act(
            &mut self.tcb,
            &mut Context {
                now,
                id,
                record,
                replies,
                fast: true,
                sum: crate::wire::portable_sum,
                listener: false,
                accept_full: false,
                left: Usage::default().left(&Config::default(), None),
            },
        )
    }

    fn arrive(&mut self, flags: Flags, seq: Seq, ack: Seq) {
        let source = self.tcb.tuple.remote;
        let destination = self.tcb.tuple.local;
        let window = 60_000;
        let urgent = 0;
        let options = Options::default();
        let header = Header {
            source,
            destination,
            seq,
            ack,
            flags,
            window,
            urgent,
            options,
            ttl: 64,
            tos: 0,
            id: 1,
        };
        let segment = Segment {
            header,
            payload: &[],
            checksum: ChecksumKind::Full,
            options_malformed: false,
        };
        self.run(|tcb, cx| tcb.segment_arrives(cx, &segment));
    }

    fn transmit(&mut self) -> Option<(Header, alloc::vec::Vec<u8>)> {
        let mut packet = [0; 2000];
        let Sent { len, .. } = self.run(|tcb, cx| {
            let plan = tcb.next_segment(cx.now)?;
            tcb.transmit(cx, plan, &mut packet, &mut Ids::after(0), |_| {
                Most::Packets(1)
            })
        })?;
        let segment = Segment::parse(&packet[..len], crate::wire::ChecksumPolicy::Strict).unwrap();
        Some((segment.header, segment.payload.to_vec()))
    }

    /// ESTABLISHED, as if this many bytes had been sent and acknowledged since the SYN.
    fn after(bytes: u64) -> Bench {
        let mut record = Record::default();
        let mut replies = VecDeque::new();
        let config = Arc::new(ConnConfig {
            timestamps: false,
            ..ConnConfig::default()
        });
        let tuple = FourTuple {
            local: ([10, 0, 0, 1], 1).into(),
            remote: ([10, 0, 0, 2], 2).into(),
        };
        let id = ConnId {
            slot: 0,
            generation: 0,
        };
        let mut cx = Context {
            now: Instant::ZERO,
            id,
            record: &mut record,
            replies: &mut replies,
            fast: true,
            sum: crate::wire::portable_sum,
            listener: false,
            accept_full: false,
            left: Usage::default().left(&Config::default(), None),
        };
        let tcb = Tcb::active(&mut cx, config, tuple, Seq(100), 0, None);
        let mut bench = Bench {
            tcb,
            record,
            replies,
        };
        bench.transmit().unwrap();
        bench.arrive(Flags::SYN | Flags::ACK, Seq(500), Seq(101));
        bench.transmit().unwrap();
        bench.tcb.snd.iss = Seq(100).back(bytes as u32);
        bench.tcb.snd.acked = 60_000;
        bench
    }
}

#[test]
fn established_any_number_of_bytes_after_the_syn_sends_and_takes_acks() {
    const GIB: u64 = 1 << 30;
    for bytes in [
        0,
        1,
        2 * GIB - 1,
        2 * GIB,
        2 * GIB + 1,
        3 * GIB,
        4 * GIB - 2,
        4 * GIB - 1,
        4 * GIB,
        4 * GIB + 1,
    ] {
        let mut bench = Bench::after(bytes);
        let nxt = bench.tcb.snd.nxt;
        bench.run(|tcb, cx| tcb.send(cx, b"text")).unwrap();
        let (header, text) = bench.transmit().unwrap();
        assert_eq!(header.seq, nxt, "{bytes}");
        assert_eq!(header.flags.difference(Flags::PSH), Flags::ACK, "{bytes}");
        assert_eq!(text.as_slice(), &b"text"[..], "{bytes}");
        let discarded = bench.record.discarded;
        bench.arrive(Flags::ACK, Seq(501), nxt.back(10));
        bench.arrive(Flags::ACK, Seq(501), nxt + 4);
        assert_eq!(bench.tcb.snd.una, nxt + 4, "{bytes}");
        assert_eq!(bench.tcb.unacknowledged(), 0, "{bytes}");
        assert_eq!(bench.record.discarded - discarded, 0, "{bytes}");
        assert_eq!(bench.transmit(), None, "{bytes}");
    }
}
