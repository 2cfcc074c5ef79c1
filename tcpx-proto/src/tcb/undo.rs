//! A reduction of the window that turns out to be needless: what has to be known to take it back
//! (RFC 4015), and what proves it.

use super::coder::Coder;
use crate::event::Evidence;
use crate::seq::Seq;

/// What was before the last reduction for a loss.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Undo {
    /// SND.UNA at that time.
    marker: Seq,
    pub(crate) cwnd: u32,
    /// `None`: the reduction was for a mark, too, and stays.
    pub(crate) ssthresh: Option<u32>,
    /// Bytes sent again since that the peer has not reported as duplicates; `None`: none were sent
    /// again.
    unproven: Option<u32>,
}

impl Undo {
    /// `resent`: bytes whose second copy is on its way already.
    pub(crate) fn new(una: Seq, cwnd: u32, ssthresh: Option<u32>, resent: u32) -> Undo {
        Undo {
            marker: una,
            cwnd,
            ssthresh,
            unproven: Some(resent).filter(|bytes| *bytes > 0),
        }
    }

    /// `bytes` were sent again.
    pub(crate) fn resent(&mut self, bytes: u32) {
        self.unproven = Some(self.unproven.unwrap_or(0).saturating_add(bytes));
    }

    /// A D-SACK reports these bytes (RFC 2883).
    pub(crate) fn duplicate(&mut self, (left, right): (Seq, Seq)) {
        //= 3708-2
        if let Some(bytes) = self.unproven.filter(|_| right.gt(self.marker)) {
            self.unproven = Some(bytes.saturating_sub(right.since(left)));
        }
    }

    /// RFC 3708 section 3: every copy was reported as a duplicate, so that nothing was lost.
    /// `delayed`: Eifel detection (RFC 3522 section 3.2) found an original that arrived.
    pub(crate) fn evidence(&self, delayed: bool) -> Option<Evidence> {
        //= 3522-2
        if delayed {
            Some(Evidence::Timestamps)
        } else {
            self.all_duplicates()
        }
    }

    /// The first of these alone.
    pub(crate) fn all_duplicates(&self) -> Option<Evidence> {
        //= 3708-1
        (self.unproven == Some(0)).then_some(Evidence::Duplicates)
    }

    /// Codes all of one, or that there is none.
    pub(super) fn code(undo: &mut Option<Undo>, coder: &mut impl Coder, una: Seq) {
        let mut marker = undo.as_ref().map(|undo| undo.marker);
        coder.option(&mut marker, una);
        *undo = marker.map(|marker| {
            let mut known = undo.take().unwrap_or_else(|| Undo::new(marker, 0, None, 0));
            let Undo {
                marker: _,
                cwnd,
                ssthresh,
                unproven,
            } = &mut known;
            coder.number(cwnd, 0);
            coder.option(ssthresh, *cwnd);
            coder.option(unproven, 0);
            Undo { marker, ..known }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves 3708-1, 3708-2.
    #[test]
    fn rfc_3708_3_undo_needs_a_report_for_each_byte_sent_again() {
        let mut undo = Undo::new(Seq(1000), 0, None, 0);
        undo.duplicate((Seq(1000), Seq(2000)));
        assert_eq!(undo.evidence(false), None, "nothing went again");
        undo.resent(1000);
        undo.resent(500);
        undo.duplicate((Seq(1000), Seq(2000)));
        assert_eq!(undo.evidence(false), None);
        undo.duplicate((Seq(500), Seq(1000)));
        assert_eq!(undo.evidence(false), None, "that is older");
        undo.duplicate((Seq(2000), Seq(2500)));
        assert_eq!(undo.evidence(false), Some(Evidence::Duplicates));
    }

    /// Proves 3522-2.
    #[test]
    fn rfc_3522_3_2_undo_by_timestamps_needs_no_report() {
        let mut undo = Undo::new(Seq(1000), 0, None, 1000);
        undo.resent(1000);
        assert_eq!(undo.evidence(true), Some(Evidence::Timestamps));
        assert_eq!(undo.all_duplicates(), None);
    }
}
