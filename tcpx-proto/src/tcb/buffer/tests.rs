//! The buffers, compared with a model that keeps every segment as it arrived.

use super::*;
use crate::tcb::assembler::MAX_PIECES;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

#[test]
fn send_buffer_gives_what_was_pushed_and_not_released() {
    let mut buffer = SendBuffer::new(8);
    assert_eq!(buffer.push(b"abcdef"), 6);
    buffer.release(4);
    assert_eq!(buffer.push(b"ghijklmn"), 6);
    let (a, b) = buffer.slices(1, 4);
    assert_eq!([a, b].concat(), b"fghi");
    assert_eq!(buffer.slices(20, 4), (&[][..], &[][..]));
}

fn insert(buffer: &mut ReceiveBuffer, offset: u32, text: &[u8]) -> Inserted {
    buffer.insert(offset, text, false, Overlap::SequenceOrder)
}

#[test]
fn receive_buffer_reports_recent_blocks_first() {
    let mut buffer = ReceiveBuffer::new(100);
    insert(&mut buffer, 10, b"aa");
    insert(&mut buffer, 30, b"bb");
    insert(&mut buffer, 20, b"cc");
    let blocks = buffer.sack_blocks(Seq(1000), None, 2);
    assert_eq!(
        blocks.as_slice(),
        [(Seq(1020), Seq(1022)), (Seq(1030), Seq(1032))]
    );
}

#[test]
fn receive_buffer_refuses_one_hole_too_many() {
    let mut buffer = ReceiveBuffer::new(1 << 16);
    for hole in 0..MAX_PIECES as u32 {
        assert!(!insert(&mut buffer, 2 + 2 * hole, b"x").refused);
    }
    assert_eq!(
        insert(&mut buffer, 60_000, b"x"),
        Inserted {
            refused: true,
            ..Inserted::default()
        }
    );
    assert_eq!(insert(&mut buffer, 0, b"ab").advanced, 3);
}

/// Text that came in the opposite order is one block, however many segments it was.
#[test]
fn receive_buffer_holds_any_number_of_segments_without_a_hole_between_them() {
    let mut buffer = ReceiveBuffer::new(1 << 16);
    for at in (1..1000).rev() {
        assert!(!insert(&mut buffer, 3 * at, b"abc").refused, "{at}");
    }
    assert_eq!(insert(&mut buffer, 0, b"abc").advanced, 3000);
}

/// Text in the place of a FIN that is held first is there once that FIN is forgotten.
#[test]
fn receive_buffer_keeps_the_text_in_the_place_of_a_fin() {
    let mut buffer = ReceiveBuffer::new(1 << 16);
    buffer.insert(5, b"fghij", true, Overlap::Linux);
    buffer.insert(6, b"ghijk", true, Overlap::Linux);
    for hole in 0..MAX_PIECES as u32 {
        buffer.insert(100 + 2 * hole, b"x", false, Overlap::Linux);
    }
    let inserted = buffer.insert(0, b"abcde", false, Overlap::Linux);
    assert_eq!((inserted.advanced, inserted.fin), (11, false));
    let mut text = [0; 20];
    assert_eq!(buffer.read(&mut text), 11);
    assert_eq!(&text[..11], b"abcdefghijk");
}

/// What RFC 9293 demands, and what Linux does, without any shortcut: the segments that are held,
/// each as it came.
#[derive(Default)]
struct Model {
    held: Vec<(u32, Vec<u8>, bool)>,
    read: Vec<u8>,
    closed: bool,
}

/// One past its last sequence number.
fn past((start, text, fin): &(u32, Vec<u8>, bool)) -> u32 {
    start + text.len() as u32 + u32::from(*fin)
}

impl Model {
    fn next(&self) -> u32 {
        self.read.len() as u32
    }

    fn arrives(&mut self, seq: u32, text: &[u8], fin: bool, overlap: Overlap) {
        if seq <= self.next() {
            let end = seq + text.len() as u32;
            self.drop_fins(|place| {
                overlap == Overlap::SequenceOrder && (seq..end).contains(&place)
            });
            self.take(seq, text, fin);
            while let Some(at) = self
                .held
                .iter()
                .position(|(start, ..)| *start <= self.next() && !self.closed)
            {
                let (seq, text, fin) = self.held.remove(at);
                let reach = self
                    .held
                    .iter()
                    .filter(|(_, text, _)| !text.is_empty())
                    .map(|(start, text, _)| start + text.len() as u32);
                let last = reach.max().unwrap_or(0) <= seq + text.len() as u32;
                let fin = fin && (last || overlap == Overlap::Linux);
                self.take(seq, &text, fin);
            }
            return;
        }
        let end = seq + text.len() as u32;
        self.drop_fins(|place| overlap == Overlap::SequenceOrder && (seq..end).contains(&place));
        let covered = self
            .held
            .iter()
            .any(|(start, text, _)| (*start..start + text.len() as u32).contains(&end));
        let places = self
            .held
            .iter()
            .filter(|(.., fin)| *fin)
            .map(|(start, text, _)| start + text.len() as u32);
        let room = places.filter(|place| *place != end).count() < 4;
        let fin = fin && room && (overlap == Overlap::Linux || !covered);
        if text.is_empty() && !fin {
            return;
        }
        let new = (seq, text.to_vec(), fin);
        if self
            .held
            .iter()
            .any(|other| other.0 <= seq && past(other) >= past(&new))
        {
            return;
        }
        let before = self.held.iter_mut().rev().find(|other| other.0 <= seq);
        if let Some(before) = before.filter(|other| past(other) == seq && !other.2) {
            before.1.extend(text);
            before.2 = fin;
            let whole = before.clone();
            self.held
                .retain(|other| other.0 <= whole.0 || past(other) > past(&whole));
            return;
        }
        let mut new = new;
        if let Some(at) = self.held.iter().position(|other| other.0 == seq) {
            let mut first = self.held.remove(at);
            if overlap == Overlap::SequenceOrder {
                first.1.extend(&text[first.1.len()..]);
                new = (seq, first.1, fin);
            }
        }
        self.held
            .retain(|other| other.0 < seq || past(other) > past(&new));
        self.held.push(new);
        self.held.sort();
    }

    fn drop_fins(&mut self, which: impl Fn(u32) -> bool) {
        for (start, text, fin) in &mut self.held {
            *fin &= !which(*start + text.len() as u32);
        }
        let mut reached = 0;
        self.held.retain(|held| {
            let stays = past(held) > reached.max(held.0);
            reached = reached.max(past(held));
            stays
        });
    }

    fn take(&mut self, seq: u32, text: &[u8], fin: bool) {
        let old = (self.next() - seq) as usize;
        self.read.extend(text.get(old..).unwrap_or_default());
        if fin && seq + text.len() as u32 == self.next() {
            self.closed = true;
            self.held.clear();
        }
    }
}

fn any_segment() -> impl Strategy<Value = (u32, usize, bool)> {
    let offset = prop_oneof![1 => Just(0u32), 5 => 1u32..40];
    (
        offset,
        prop_oneof![1 => Just(0usize), 6 => 1usize..14],
        prop::bool::weighted(0.15),
    )
}

proptest! {
    #[test]
    fn receive_buffer_takes_in_order_what_is_held_as_it_came(
        segments in prop::collection::vec(any_segment(), 1..40),
        overlap in prop::sample::select(vec![Overlap::SequenceOrder, Overlap::Linux]),
        read in prop::collection::vec(any::<bool>(), 40),
    ) {
        let mut buffer = ReceiveBuffer::new(1000);
        let mut model = Model::default();
        let mut taken = Vec::<u8>::new();
        for (round, (offset, len, fin)) in segments.into_iter().enumerate() {
            let fin = fin || len == 0;
            let text: Vec<u8> = (0..len).map(|at| (round * 16 + at) as u8).collect();
            let next = model.next();
            let inserted = buffer.insert(offset, &text, fin, overlap);
            model.arrives(next + offset, &text, fin, overlap);
            prop_assert_eq!(inserted.advanced, model.next() - next);
            prop_assert_eq!(inserted.fin, model.closed);
            prop_assert_eq!(buffer.has_holes(), !model.held.is_empty());
            if model.closed {
                break;
            }
            if read[round] {
                let mut some = [0; 7];
                let got = buffer.read(&mut some);
                taken.extend(&some[..got]);
            }
        }
        let mut rest = vec![0; 2000];
        let got = buffer.read(&mut rest);
        taken.extend(&rest[..got]);
        prop_assert_eq!(taken, model.read);
    }
}
