//! What became of the octets from SND.UNA to SND.NXT, as far as SACK tells (RFC 6675 section 4): a
//! list of runs, bounded in length.

use super::buffer::is_slack;
use crate::seq::Seq;
use crate::time::Instant;
use alloc::collections::VecDeque;

/// The most runs that SACK blocks may cut what is in flight into; a block that would make another
/// one is not believed (the octets go again, no more), so that nobody can make an ACK expensive
/// (CVE-2019-11477, CVE-2019-11478).
const MAX_RUNS: usize = 1024;

/// What became of a run of octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Mark {
    /// Sent once.
    Sent,
    /// The peer says that it holds them. It may still throw them away (RFC 2018 section 8).
    Held,
    /// Deemed lost, and not sent again since.
    Lost,
    /// Lost, and sent again.
    Resent,
    /// Sent again without being lost: both copies may be on their way.
    Twice,
}

/// Octets with the same fate, or part of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Run {
    pub(crate) start: Seq,
    /// One past the last.
    pub(crate) end: Seq,
    /// When they were sent last.
    pub(crate) at: Instant,
    pub(crate) mark: Mark,
    /// They were sent more than once, so that an acknowledgment does not tell which time it is for
    /// (Karn).
    pub(crate) again: bool,
    /// They were sent at several times, of which only the latest is known.
    blurred: bool,
}

impl Run {
    fn len(&self) -> u32 {
        self.end.since(self.start)
    }

    /// Whether `at` tells a round-trip time once they are acknowledged (Karn).
    pub(crate) fn is_sample(&self) -> bool {
        !self.again && !self.blurred
    }

    /// RACK's order of sending (RFC 8985 section 6.1): by time, then by sequence number.
    pub(crate) fn sent_before(&self, at: Instant, end: Seq) -> bool {
        self.at < at || (self.at == at && self.end.lt(end))
    }
}

/// The runs, in order and without gaps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Scoreboard {
    runs: VecDeque<Run>,
    /// Octets by [`Mark`].
    octets: [u32; 5],
}

impl Scoreboard {
    pub(crate) fn octets(&self, mark: Mark) -> u32 {
        self.octets[mark as usize]
    }

    /// Octets of memory taken.
    pub(crate) fn memory(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    pub(crate) fn has_slack(&self) -> bool {
        is_slack(self.memory(), self.runs.len() * size_of::<Run>())
    }

    pub(crate) fn give_back(&mut self) {
        self.runs.shrink_to_fit();
    }

    /// Whether something was acknowledged out of turn or went again: otherwise all that is left was
    /// sent after all that arrived.
    pub(crate) fn is_disturbed(&self) -> bool {
        [Mark::Held, Mark::Resent, Mark::Twice]
            .into_iter()
            .any(|mark| self.octets(mark) > 0)
    }

    /// Of `flight` octets in flight, those that are taken to be in the network, copies included
    /// (RFC 6675 section 4, SetPipe).
    pub(crate) fn pipe(&self, flight: u32) -> u32 {
        (flight + self.octets(Mark::Twice))
            .saturating_sub(self.octets(Mark::Held) + self.octets(Mark::Lost))
    }

    /// The octets from `seq` to `end` are sent now, some of them perhaps again.
    pub(crate) fn sent(&mut self, seq: Seq, end: Seq, now: Instant) {
        let top = self.runs.back().map_or(seq, |run| run.end);
        if seq.lt(top) {
            self.resent(seq, end.min(top), now);
        }
        let start = seq.max(top);
        if start.lt(end) {
            self.push(start, end, now);
        }
    }

    fn push(&mut self, start: Seq, end: Seq, now: Instant) {
        self.make_room();
        self.octets[Mark::Sent as usize] += end.since(start);
        match self.runs.back_mut() {
            Some(last) if last.mark == Mark::Sent && last.is_sample() && last.at == now => {
                last.end = end
            }
            _ => self.runs.push_back(Run {
                start,
                end,
                at: now,
                mark: Mark::Sent,
                again: false,
                blurred: false,
            }),
        }
    }

    fn resent(&mut self, seq: Seq, end: Seq, now: Instant) {
        self.make_room();
        let (first, last) = (self.cut(seq), self.cut(end));
        for index in first..last {
            let Some(run) = self
                .runs
                .get_mut(index)
                .filter(|run| run.mark != Mark::Held)
            else {
                continue;
            };
            (run.at, run.again, run.blurred) = (now, true, false);
            let copies = if matches!(run.mark, Mark::Sent | Mark::Twice) {
                Mark::Twice
            } else {
                Mark::Resent
            };
            self.remark(index, copies);
        }
        self.join(first, last);
    }

    /// SND.UNA is `una` now; `deliver` gets what was not known to be there.
    pub(crate) fn acknowledged(&mut self, una: Seq, mut deliver: impl FnMut(&Run)) {
        while let Some(run) = self.runs.front_mut().filter(|run| run.start.lt(una)) {
            let part = Run {
                end: run.end.min(una),
                ..*run
            };
            run.start = part.end;
            self.octets[part.mark as usize] -= part.len();
            if part.mark != Mark::Held {
                deliver(&part);
            }
            if self.runs.front().is_some_and(|run| run.start == run.end) {
                self.runs.pop_front();
            }
        }
    }

    /// A SACK block whose octets are in flight; `deliver` gets what was not known to be there. Says
    /// whether there was any.
    pub(crate) fn held(&mut self, left: Seq, right: Seq, mut deliver: impl FnMut(&Run)) -> bool {
        let known = self
            .runs
            .get(self.index(left))
            .is_some_and(|run| run.mark == Mark::Held && run.end.ge(right));
        if known || (self.runs.len() >= MAX_RUNS && !self.compress()) {
            return false;
        }
        let (first, last) = (self.cut(left), self.cut(right));
        let mut news = false;
        for index in first..last {
            if let Some(run) = self.runs.get(index).filter(|run| run.mark != Mark::Held) {
                deliver(run);
                news = true;
                self.remark(index, Mark::Held);
            }
        }
        self.join(first, last);
        news
    }

    /// IsLost (RFC 6675 section 4): what lies below `threshold` discontiguous held runs, or below
    /// more than `threshold - 1` segments of held octets. Says whether something is lost that was
    /// not.
    pub(crate) fn lose_below_held(&mut self, threshold: u32, mss: u32) -> bool {
        if self.octets(Mark::Held) == 0 {
            return false;
        }
        let (mut blocks, mut octets, mut index) = (0, 0, self.runs.len());
        while blocks < threshold && octets <= threshold.saturating_sub(1).saturating_mul(mss) {
            let Some(run) = index.checked_sub(1).and_then(|below| self.runs.get(below)) else {
                return false;
            };
            index -= 1;
            if run.mark == Mark::Held {
                (blocks, octets) = (blocks + 1, octets + run.len());
            }
        }
        self.lose(index, |run| run.mark == Mark::Sent)
    }

    /// The first octets, one segment of them at the most, are lost if they are not known to be
    /// there.
    pub(crate) fn lose_first(&mut self, mss: u32) -> bool {
        let Some(first) = self.runs.front().copied() else {
            return false;
        };
        let count = self.cut(first.start + mss.min(first.len()));
        self.lose(count, |_| true)
    }

    /// Everything is lost that is not known to be there.
    pub(crate) fn lose_all(&mut self) {
        self.lose(self.runs.len(), |_| true);
    }

    /// Everything is lost that is not known to be there and left in a segment of more than `len`
    /// octets, as far as can be told.
    pub(crate) fn lose_longer(&mut self, len: u32) {
        self.lose(self.runs.len(), |run| run.len() > len);
    }

    /// Everything is lost for which `late` says so.
    pub(crate) fn lose_late(&mut self, mut late: impl FnMut(&Run) -> bool) -> bool {
        self.lose(self.runs.len(), |run| late(run))
    }

    /// Of the first `count` runs those are lost that are in flight and for which `which` says so.
    fn lose(&mut self, count: usize, mut which: impl FnMut(&Run) -> bool) -> bool {
        let mut news = false;
        for index in 0..count {
            let in_flight =
                |run: &&Run| matches!(run.mark, Mark::Sent | Mark::Resent | Mark::Twice);
            if self
                .runs
                .get(index)
                .filter(in_flight)
                .is_some_and(&mut which)
            {
                self.remark(index, Mark::Lost);
                news = true;
            }
        }
        if news {
            self.join(0, count);
        }
        news
    }

    /// The peer is found out to have thrown away what it held (RFC 2018 section 8): SND.UNA has
    /// stopped at the left edge of it.
    pub(crate) fn is_reneged(&self) -> bool {
        self.runs.front().is_some_and(|run| run.mark == Mark::Held)
    }

    /// Nothing that the peer said to hold counts any more; it is lost.
    pub(crate) fn forget_held(&mut self) {
        for index in 0..self.runs.len() {
            if self
                .runs
                .get(index)
                .is_some_and(|run| run.mark == Mark::Held)
            {
                self.remark(index, Mark::Lost);
            }
        }
        self.join(0, self.runs.len());
    }

    /// The first lost stretch.
    pub(crate) fn next_lost(&self) -> Option<(Seq, Seq)> {
        if self.octets(Mark::Lost) == 0 {
            return None;
        }
        self.runs
            .iter()
            .find(|run| run.mark == Mark::Lost)
            .map(|run| (run.start, run.end))
    }

    /// The first stretch below what is held that was sent once and is not lost (RFC 6675 section 4,
    /// NextSeg rule 3).
    pub(crate) fn next_doubtful(&self) -> Option<(Seq, Seq)> {
        let highest = self.runs.iter().rposition(|run| run.mark == Mark::Held)?;
        self.runs
            .iter()
            .take(highest)
            .find(|run| run.mark == Mark::Sent)
            .map(|run| (run.start, run.end))
    }

    /// The last octets that are not known to be there, one segment at the most (NextSeg rule 4; RFC
    /// 8985 section 7.3).
    pub(crate) fn last(&self, mss: u32) -> Option<(Seq, Seq)> {
        let run = self.runs.iter().rev().find(|run| run.mark != Mark::Held)?;
        Some((run.end.back(mss.min(run.len())), run.end))
    }

    /// The first run that ends after `seq`.
    fn index(&self, seq: Seq) -> usize {
        self.runs.partition_point(|run| run.end.le(seq))
    }

    /// Makes a run begin at `seq`, and says which one that is.
    fn cut(&mut self, seq: Seq) -> usize {
        let index = self.index(seq);
        let Some(run) = self.runs.get_mut(index).filter(|run| run.start.lt(seq)) else {
            return index;
        };
        let tail = Run { start: seq, ..*run };
        run.end = seq;
        self.runs.insert(index + 1, tail);
        index + 1
    }

    fn remark(&mut self, index: usize, mark: Mark) {
        if let Some(run) = self.runs.get_mut(index) {
            self.octets[run.mark as usize] -= run.len();
            self.octets[mark as usize] += run.len();
            run.mark = mark;
        }
    }

    /// Joins the runs from `first` to `last`, and those on either side, where nothing tells them
    /// apart any more.
    fn join(&mut self, first: usize, last: usize) {
        self.join_where(first, last, |before, run| {
            before.at == run.at || matches!(run.mark, Mark::Held | Mark::Lost)
        });
    }

    /// The same where `alike` says so of runs with one fate. Of several times the latest counts.
    fn join_where(&mut self, first: usize, last: usize, alike: impl Fn(&Run, &Run) -> bool) {
        let last = (last + 1).min(self.runs.len());
        let mut kept = first.saturating_sub(1);
        for index in kept + 1..last {
            let (Some(&before), Some(&run)) = (self.runs.get(kept), self.runs.get(index)) else {
                break;
            };
            if before.mark == run.mark && alike(&before, &run) {
                let again = before.again || run.again;
                let blurred = before.blurred || run.blurred || before.at != run.at;
                let joined = Run {
                    end: run.end,
                    at: before.at.max(run.at),
                    again,
                    blurred,
                    ..before
                };
                self.put(kept, joined);
            } else {
                kept += 1;
                self.put(kept, run);
            }
        }
        if kept + 1 < last {
            self.runs.drain(kept + 1..last);
        }
    }

    fn put(&mut self, index: usize, run: Run) {
        if let Some(place) = self.runs.get_mut(index) {
            *place = run;
        }
    }

    /// Joins neighbours of one fate though they were sent at different times. Says whether there is
    /// room then.
    fn compress(&mut self) -> bool {
        self.join_where(0, self.runs.len(), |_, _| true);
        self.runs.len() < MAX_RUNS
    }

    /// Room for what has to be noted. Where joining does not make any, the peer has made a sieve of
    /// what is in flight: nothing of it counts.
    fn make_room(&mut self) {
        if self.runs.len() < 2 * MAX_RUNS || self.compress() {
            return;
        }
        if let (Some(first), Some(last)) = (self.runs.front().copied(), self.runs.back().copied()) {
            let whole = Run {
                end: last.end,
                at: last.at,
                mark: Mark::Sent,
                again: true,
                ..first
            };
            self.runs.clear();
            self.runs.push_back(whole);
            self.octets = [whole.len(), 0, 0, 0, 0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const START: Seq = Seq(u32::MAX - 20);

    fn at(time: u64) -> Instant {
        Instant(time)
    }

    /// One hundred octets, ten a segment, each sent at a time of its own.
    fn board() -> Scoreboard {
        let mut board = Scoreboard::default();
        (0..10).for_each(|n| board.sent(START + 10 * n, START + 10 * n + 10, at(u64::from(n))));
        board
    }

    fn hold(board: &mut Scoreboard, left: u32, right: u32) -> bool {
        board.held(START + left, START + right, |_| {})
    }

    /// The runs as offsets, and the first letters of their marks.
    fn spelt(board: &Scoreboard) -> Vec<(u32, u32, Mark)> {
        board
            .runs
            .iter()
            .map(|run| (run.start.since(START), run.end.since(START), run.mark))
            .collect()
    }

    #[test]
    fn rfc_6675_4_is_lost_below_three_blocks_or_more_than_two_segments() {
        let mut three = board();
        assert!(hold(&mut three, 41, 42) && hold(&mut three, 51, 52) && hold(&mut three, 61, 62));
        assert!(three.lose_below_held(3, 10));
        assert_eq!(three.octets(Mark::Lost), 41);
        let mut two = board();
        hold(&mut two, 40, 60);
        assert!(
            !two.lose_below_held(3, 10),
            "two segments are not more than two"
        );
        hold(&mut two, 60, 61);
        assert!(
            two.lose_below_held(3, 10) && !two.lose_below_held(3, 10),
            "once"
        );
        assert_eq!(
            spelt(&two)[..2],
            [(0, 40, Mark::Lost), (40, 61, Mark::Held)]
        );
        assert_eq!(two.next_lost(), Some((START, START + 40)));
    }

    #[test]
    fn resent_octets_are_not_lost_by_what_was_held_before() {
        let mut board = board();
        hold(&mut board, 40, 100);
        board.lose_below_held(3, 10);
        board.sent(START, START + 10, at(50));
        assert_eq!(board.next_lost(), Some((START + 10, START + 40)));
        assert!(!board.lose_below_held(3, 10));
        assert_eq!(
            (
                board.octets(Mark::Resent),
                board.octets(Mark::Lost),
                board.octets(Mark::Held)
            ),
            (10, 30, 60)
        );
    }

    #[test]
    fn rfc_6675_4_next_seg_finds_the_doubtful_below_what_is_held_and_the_last() {
        let mut board = board();
        assert_eq!(board.next_doubtful(), None);
        hold(&mut board, 10, 20);
        assert_eq!(board.next_doubtful(), Some((START, START + 10)));
        board.sent(START, START + 10, at(50));
        assert_eq!(board.next_doubtful(), None);
        assert_eq!(
            board.last(25),
            Some((START + 90, START + 100)),
            "not beyond what was sent together"
        );
    }

    #[test]
    fn sieve_of_held_octets_stays_within_its_bound_and_counts_no_more() {
        let mut board = Scoreboard::default();
        board.sent(START, START + 100_000, at(0));
        let believed = (0..20_000)
            .filter(|n| hold(&mut board, 1 + 4 * n, 2 + 4 * n))
            .count();
        assert!((500..=520).contains(&believed), "{believed}");
        assert!(board.runs.len() <= MAX_RUNS + 2);
        board.lose_all();
        for n in 0..5000 {
            board.sent(START + 4 * n, START + 4 * n + 1, at(n.into()));
            assert!(board.runs.len() <= 2 * MAX_RUNS + 2);
        }
        board.acknowledged(START + 100_000, |_| {});
        assert_eq!((board.runs.len(), board.octets), (0, [0; 5]));
    }

    /// Karn: of octets with one time for several transmissions none can be told.
    #[test]
    fn rfc_6298_3_octets_whose_times_were_thrown_together_give_no_sample() {
        let mut board = Scoreboard::default();
        (0..1500).for_each(|n| board.sent(START + n, START + n + 1, at(n.into())));
        assert!(hold(&mut board, 100, 101));
        assert!(board.runs.len() < 10, "{}", board.runs.len());
        let mut told = 0;
        board.acknowledged(START + 1500, |run| told += u32::from(run.is_sample()));
        assert_eq!(told, 0);
    }

    #[derive(Clone, Copy, Debug)]
    enum Input {
        Send(u32),
        Again(u32, u32),
        Hold(u32, u32),
        Acknowledge(u32),
        Lose,
        LoseAll,
        Forget,
    }

    fn any_input() -> impl Strategy<Value = Input> {
        let stretch = (0u32..120, 1u32..30);
        prop_oneof![
            3 => (1u32..30).prop_map(Input::Send),
            3 => stretch.clone().prop_map(|(from, len)| Input::Again(from, len)),
            6 => stretch.prop_map(|(from, len)| Input::Hold(from, len)),
            2 => (0u32..40).prop_map(Input::Acknowledge),
            2 => Just(Input::Lose),
            1 => Just(Input::LoseAll),
            1 => Just(Input::Forget),
        ]
    }

    proptest! {
        /// Every octet has the fate that a list of single octets would give it.
        #[test]
        fn board_is_a_list_of_octets(inputs in prop::collection::vec(any_input(), 1..80)) {
            let (mut board, mut model, mut una) = (Scoreboard::default(), Vec::<Mark>::new(), 0usize);
            for (time, input) in inputs.into_iter().enumerate() {
                let now = at(time as u64 / 3);
                let nxt = una + model.len();
                let inside = |from: u32, len: u32| (una + from as usize).min(nxt)..(una + (from + len) as usize).min(nxt);
                let seq = |at: usize| START + at as u32;
                match input {
                    Input::Send(len) => {
                        board.sent(seq(nxt), seq(nxt) + len, now);
                        model.resize(model.len() + len as usize, Mark::Sent);
                    }
                    Input::Again(from, len) => {
                        let range = inside(from, len);
                        if !range.is_empty() {
                            board.sent(seq(range.start), seq(range.end), now);
                            for mark in &mut model[range.start - una..range.end - una] {
                                *mark = match *mark {
                                    Mark::Held => Mark::Held,
                                    Mark::Lost | Mark::Resent => Mark::Resent,
                                    Mark::Sent | Mark::Twice => Mark::Twice,
                                };
                            }
                        }
                    }
                    Input::Hold(from, len) => {
                        let range = inside(from, len);
                        if !range.is_empty() {
                            let octets = &mut model[range.start - una..range.end - una];
                            let (mut delivered, expected) = (0, octets.iter().filter(|mark| **mark != Mark::Held).count());
                            let news = board.held(seq(range.start), seq(range.end), |run| delivered += run.len());
                            prop_assert_eq!((news, delivered as usize), (expected > 0, expected));
                            octets.fill(Mark::Held);
                        }
                    }
                    Input::Acknowledge(len) => {
                        let gone = model.drain(..model.len().min(len as usize)).filter(|mark| *mark != Mark::Held).count();
                        una = nxt - model.len();
                        let mut delivered = 0;
                        board.acknowledged(seq(una), |run| delivered += run.len());
                        prop_assert_eq!(delivered as usize, gone);
                    }
                    Input::Lose => {
                        let above = |from: usize| {
                            let held = |mark: &Mark| *mark == Mark::Held;
                            let blocks = (from + 1..model.len()).filter(|at| held(&model[*at]) && !held(&model[at - 1])).count();
                            blocks >= 3 || model[from..].iter().filter(|mark| held(mark)).count() > 20
                        };
                        let lost: Vec<usize> = (0..model.len()).filter(|at| model[*at] == Mark::Sent && above(*at)).collect();
                        prop_assert_eq!(board.lose_below_held(3, 10), !lost.is_empty());
                        lost.into_iter().for_each(|at| model[at] = Mark::Lost);
                    }
                    Input::LoseAll => {
                        board.lose_all();
                        model.iter_mut().filter(|mark| **mark != Mark::Held).for_each(|mark| *mark = Mark::Lost);
                    }
                    Input::Forget => {
                        board.forget_held();
                        model.iter_mut().filter(|mark| **mark == Mark::Held).for_each(|mark| *mark = Mark::Lost);
                    }
                }
                let spread: Vec<Mark> = board.runs.iter().flat_map(|run| core::iter::repeat_n(run.mark, run.len() as usize)).collect();
                prop_assert_eq!(&spread, &model);
                for mark in [Mark::Sent, Mark::Held, Mark::Lost, Mark::Resent, Mark::Twice] {
                    prop_assert_eq!(board.octets(mark) as usize, model.iter().filter(|octet| **octet == mark).count());
                }
                prop_assert!(board.runs.iter().zip(board.runs.iter().skip(1)).all(|(a, b)| a.end == b.start));
            }
        }
    }
}
