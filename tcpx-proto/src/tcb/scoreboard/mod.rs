//! What became of the bytes from SND.UNA to SND.NXT, as far as SACK reports it (RFC 6675 section
//! 4): a list of runs, bounded in length.

use crate::seq::Seq;
use crate::tcb::buffer::is_slack;
use crate::time::Instant;
use alloc::collections::VecDeque;

#[cfg(test)]
mod tests;

/// The most runs that SACK blocks may cut what is in flight into; a block that would make another
/// one is not believed (the bytes are only retransmitted), so that no peer can make an ACK
/// expensive (CVE-2019-11477, CVE-2019-11478).
const MAX_RUNS: usize = 1024;

/// What became of a run of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Mark {
    /// Sent once.
    Sent,
    /// The peer reports that it holds them. It may still drop them (RFC 2018 section 8).
    Held,
    /// Deemed lost, and not sent again since.
    Lost,
    /// Lost, and sent again.
    Resent,
    /// Sent again without being lost: both copies may be on their way.
    Twice,
}

/// Bytes with the same fate, or part of them.
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

    /// Whether `at` gives a round-trip time once they are acknowledged (Karn).
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
    /// Bytes by [`Mark`].
    bytes: [u32; 5],
}

impl Scoreboard {
    /// When the oldest bytes were sent last.
    pub(crate) fn first_sent(&self) -> Option<Instant> {
        self.runs.front().map(|run| run.at)
    }

    pub(crate) fn bytes(&self, mark: Mark) -> u32 {
        self.bytes[mark as usize]
    }

    /// Bytes of memory taken.
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
            .any(|mark| self.bytes(mark) > 0)
    }

    /// Of `flight` bytes in flight, those that are taken to be in the network, copies included
    /// (RFC 6675 section 4, SetPipe).
    pub(crate) fn pipe(&self, flight: u32) -> u32 {
        (flight + self.bytes(Mark::Twice))
            .saturating_sub(self.bytes(Mark::Held) + self.bytes(Mark::Lost))
    }

    /// Bytes of which a second copy is on its way.
    pub(crate) fn copies(&self) -> u32 {
        self.bytes(Mark::Resent) + self.bytes(Mark::Twice)
    }

    /// The bytes from `seq` to `end` are sent now, some of them perhaps again.
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
        self.bytes[Mark::Sent as usize] += end.since(start);
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
        let first = self.cut(seq);
        let last = self.cut(end);
        for index in first..last {
            let Some(run) = self
                .runs
                .get_mut(index)
                .filter(|run| run.mark != Mark::Held)
            else {
                continue;
            };
            //= 8985-1
            run.at = now;
            run.again = true;
            run.blurred = false;
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
            self.bytes[part.mark as usize] -= part.len();
            if part.mark != Mark::Held {
                deliver(&part);
            }
            if self.runs.front().is_some_and(|run| run.start == run.end) {
                self.runs.pop_front();
            }
        }
    }

    /// A SACK block whose bytes are in flight; `deliver` gets what was not known to be there.
    /// Returns whether there was any.
    pub(crate) fn held(&mut self, left: Seq, right: Seq, mut deliver: impl FnMut(&Run)) -> bool {
        let known = self
            .runs
            .get(self.index(left))
            .is_some_and(|run| run.mark == Mark::Held && run.end.ge(right));
        if known || (self.runs.len() >= MAX_RUNS && !self.compress()) {
            return false;
        }
        let first = self.cut(left);
        let last = self.cut(right);
        let mut news = false;
        for index in first..last {
            if let Some(run) = self.runs.get(index).filter(|run| run.mark != Mark::Held) {
                deliver(run);
                news = true;
                //= 6675-1
                self.remark(index, Mark::Held);
            }
        }
        self.join(first, last);
        news
    }

    /// IsLost (RFC 6675 section 4): what lies below `threshold` discontiguous held runs, or below
    /// more than `threshold - 1` segments of held bytes. Returns whether something is lost that was
    /// not.
    pub(crate) fn lose_below_held(&mut self, threshold: u32, mss: u32) -> bool {
        if self.bytes(Mark::Held) == 0 {
            return false;
        }
        let mut blocks = 0;
        let mut bytes = 0;
        let mut index = self.runs.len();
        //= 6675-2
        while blocks < threshold && bytes <= threshold.saturating_sub(1).saturating_mul(mss) {
            let Some(run) = index.checked_sub(1).and_then(|below| self.runs.get(below)) else {
                return false;
            };
            index -= 1;
            if run.mark == Mark::Held {
                blocks += 1;
                bytes += run.len();
            }
        }
        self.lose(index, |run| run.mark == Mark::Sent)
    }

    /// The first bytes, one segment of them at the most, are lost if they are not known to be
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
    /// bytes, as far as can be told.
    pub(crate) fn lose_longer(&mut self, len: u32) {
        self.lose(self.runs.len(), |run| run.len() > len);
    }

    /// Everything is lost for which `late` is true.
    pub(crate) fn lose_late(&mut self, mut late: impl FnMut(&Run) -> bool) -> bool {
        self.lose(self.runs.len(), |run| late(run))
    }

    /// Nothing is lost after all: what was sent again has two copies on their way.
    pub(crate) fn nothing_is_lost(&mut self) {
        for index in 0..self.runs.len() {
            match self.runs.get(index).map(|run| run.mark) {
                Some(Mark::Lost) => self.remark(index, Mark::Sent),
                Some(Mark::Resent) => self.remark(index, Mark::Twice),
                _ => {}
            }
        }
        self.join(0, self.runs.len());
    }

    /// Of the first `count` runs those are lost that are in flight and for which `which` is true.
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
                //= 2018-5
                self.remark(index, Mark::Lost);
            }
        }
        self.join(0, self.runs.len());
    }

    /// The first lost stretch.
    pub(crate) fn next_lost(&self) -> Option<(Seq, Seq)> {
        if self.bytes(Mark::Lost) == 0 {
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

    /// The last bytes that are not known to be there, one segment at the most (NextSeg rule 4; RFC
    /// 8985 section 7.3).
    pub(crate) fn last(&self, mss: u32) -> Option<(Seq, Seq)> {
        let run = self.runs.iter().rev().find(|run| run.mark != Mark::Held)?;
        Some((run.end.back(mss.min(run.len())), run.end))
    }

    /// The first run that ends after `seq`.
    fn index(&self, seq: Seq) -> usize {
        self.runs.partition_point(|run| run.end.le(seq))
    }

    /// Makes a run begin at `seq`, and returns which one that is.
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
            self.bytes[run.mark as usize] -= run.len();
            self.bytes[mark as usize] += run.len();
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

    /// Like `join`, for runs with the same fate of which `alike` is true. The latest of their times
    /// counts.
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

    /// Joins neighbours of one fate though they were sent at different times. Returns whether there
    /// is room then.
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
            self.bytes = [whole.len(), 0, 0, 0, 0];
        }
    }
}
