//! Proportional rate reduction (RFC 9937): how much goes out on each ACK while the window falls to
//! the threshold. The same arithmetic is Linux's `tcp_cwnd_reduction`.

/// The variables of section 6.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Prr {
    /// RecoverFS, bytes, at least 1.
    whole: u32,
    /// prr_delivered.
    delivered: u32,
    /// prr_out.
    out: u32,
}

/// What one ACK reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// DeliveredData: bytes newly acknowledged or newly held.
    pub(crate) bytes: u32,
    /// SafeACK: SND.UNA advances, and nothing more is lost.
    pub(crate) safe: bool,
}

impl Prr {
    /// A reduction begins, with `whole` bytes in flight.
    pub(crate) fn new(whole: u32) -> Prr {
        //= 9937-1
        let whole = whole.max(1);
        Prr {
            whole,
            delivered: 0,
            out: 0,
        }
    }

    /// `bytes` of text left.
    pub(crate) fn sent(&mut self, bytes: u32) {
        //= 9937-6
        self.out = self.out.saturating_add(bytes);
    }

    /// The window after an ACK, `pipe` bytes being in flight then; `None` if nothing was delivered.
    /// Whole segments of `mss` bytes leave, so that what is in proportion is rounded up to them.
    pub(crate) fn window(
        &mut self,
        delivery: Delivery,
        pipe: u32,
        ssthresh: u32,
        mss: u32,
    ) -> Option<u32> {
        //= 9937-5
        if delivery.bytes == 0 {
            return None;
        }
        self.delivered = self.delivered.saturating_add(delivery.bytes);
        let mut count = if pipe > ssthresh {
            // Proportional: as much of what is delivered as the window is to keep.
            //= 9937-2
            let part = u64::from(ssthresh) * u64::from(self.delivered);
            let part = part
                .div_ceil(u64::from(self.whole))
                .next_multiple_of(u64::from(mss.max(1)));
            u32::try_from(part)
                .unwrap_or(u32::MAX)
                .saturating_sub(self.out)
        } else {
            // Back to the threshold: by as much as is delivered (conservative reduction bound), and
            // by a segment more on a safe ACK (slow start reduction bound).
            //= 9937-3
            let limit = self.delivered.saturating_sub(self.out).max(delivery.bytes);
            //= 9937-3
            let more = if delivery.safe { mss } else { 0 };
            (ssthresh - pipe).min(limit.saturating_add(more))
        };
        //= 9937-4
        if self.out == 0 {
            count = count.max(mss);
        }
        Some(pipe.saturating_add(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const MSS: u32 = 1000;

    fn delivery(segments: u32, safe: bool) -> Delivery {
        Delivery {
            bytes: segments * MSS,
            safe,
        }
    }

    /// How many segments each of these ACKs lets out, if all that may go goes; `pipe` is what there
    /// is before the first.
    fn sent(prr: &mut Prr, mut pipe: u32, ssthresh: u32, acks: &[Delivery]) -> Vec<u32> {
        acks.iter()
            .map(|ack| {
                pipe = pipe.saturating_sub(ack.bytes);
                let window = prr.window(*ack, pipe, ssthresh, MSS).unwrap();
                let out = (window - pipe) / MSS * MSS;
                prr.sent(out);
                pipe += out;
                out / MSS
            })
            .collect()
    }

    /// RFC 9937 6.2: 30 in flight, to be 21: seven go for ten that are delivered.
    ///
    /// Proves 9937-1, 9937-2, 9937-6.
    #[test]
    fn rfc_9937_6_2_sends_in_proportion_to_what_is_delivered() {
        let mut prr = Prr::new(30 * MSS);
        let out = sent(&mut prr, 30 * MSS, 21 * MSS, &[delivery(1, false); 20]);
        assert_eq!(out[..10], [1, 1, 1, 0, 1, 1, 0, 1, 1, 0]);
        assert_eq!(out.iter().sum::<u32>(), 14);
    }

    /// The same: after many losses no more than what was delivered, plus one for a safe ACK.
    ///
    /// Proves 9937-3.
    #[test]
    fn rfc_9937_6_2_below_the_threshold_a_safe_ack_lets_out_one_more_than_it_delivers() {
        let mut prr = Prr::new(30 * MSS);
        assert_eq!(
            sent(
                &mut prr,
                6 * MSS,
                21 * MSS,
                &[
                    delivery(1, false),
                    delivery(1, false),
                    delivery(1, true),
                    delivery(2, true)
                ]
            ),
            [1, 1, 2, 3]
        );
    }

    #[test]
    fn rfc_9937_6_2_never_more_than_the_threshold_allows() {
        let mut prr = Prr::new(30 * MSS);
        assert_eq!(
            sent(&mut prr, 22 * MSS, 21 * MSS, &[delivery(20, true); 2]),
            [19, 20]
        );
    }

    /// Proves 9937-4, 9937-5.
    #[test]
    fn rfc_9937_6_2_first_ack_of_a_recovery_lets_out_a_segment_and_one_without_news_nothing() {
        let mut prr = Prr::new(4 * MSS);
        assert_eq!(prr.window(delivery(0, false), 4 * MSS, 2 * MSS, MSS), None);
        assert_eq!(
            prr.window(delivery(1, false), 2 * MSS, 2 * MSS, MSS),
            Some(3 * MSS),
            "there is no room, and yet"
        );
        prr.sent(MSS);
        assert_eq!(
            prr.window(delivery(1, false), 2 * MSS, 2 * MSS, MSS),
            Some(2 * MSS)
        );
    }
}
