//! SYN cookies: a connection request that is kept in our ISS instead of in memory (RFC 4987 section
//! 3.6).
//!
//! From the top: 2 bits of a counter that ticks every 64 s, 3 bits for the MSS, 27 bits of a keyed
//! hash over the four-tuple, IRS, the counter and the MSS. Window scale and SACK are kept in our
//! timestamp, which the peer echoes; a connection without timestamps does without them, too. Linux
//! does the same.

use super::secret::{Purpose, Secret};
use crate::id::FourTuple;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::Options;

/// What the 3 bits stand for, bytes: the largest that is not above the peer's.
const MSS: [u16; 8] = [48, 256, 536, 1220, 1360, 1440, 1460, 8960];
const HASH_BITS: u32 = 27;
const TICK: u64 = 64_000;
/// Ticks that a cookie may be old.
const MAX_AGE: u64 = 1;

/// How long a cookie may be right after it was sent, at the most.
pub(super) const LIFETIME: Duration = Duration::from_millis((MAX_AGE + 1) * TICK);

/// Who asked: the four-tuple and IRS.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) tuple: FourTuple,
    pub(super) irs: Seq,
}

/// Makes and checks cookies.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Cookies(Secret);

impl Cookies {
    pub(super) fn new(seed: u64) -> Cookies {
        Cookies(Secret::new(seed, Purpose::Cookies))
    }

    /// The ISS to answer with; `mss` is the peer's.
    pub(super) fn make(&self, now: Instant, request: &Request, mss: u16) -> Seq {
        let index = MSS.iter().rposition(|&entry| entry <= mss).unwrap_or(0);
        self.cookie(now.millis() / TICK, request, index as u32)
    }

    /// The MSS that the request of a right cookie had, perhaps rounded down.
    pub(super) fn check(&self, now: Instant, request: &Request, cookie: Seq) -> Option<u16> {
        let tick = now.millis() / TICK;
        let age = tick.wrapping_sub(u64::from(cookie.0 >> (HASH_BITS + 3))) & 3;
        let index = cookie.0 >> HASH_BITS & 7;
        let right = age <= MAX_AGE && self.cookie(tick.checked_sub(age)?, request, index) == cookie;
        if right {
            MSS.get(index as usize).copied()
        } else {
            None
        }
    }

    fn cookie(&self, tick: u64, request: &Request, index: u32) -> Seq {
        let more = tick << 35 | u64::from(index) << 32 | u64::from(request.irs.0);
        let hash = self.0.tuple(request.tuple, more) as u32 & ((1 << HASH_BITS) - 1);
        Seq((tick as u32) << (HASH_BITS + 3) | index << HASH_BITS | hash)
    }
}

/// Bits of TSval that hold options: from the bottom 4 for the window scale and 1 for SACK; Linux
/// has ECN in the sixth.
const STAMP_BITS: u32 = 6;
const NO_SCALE: u32 = 15;
const SACK: u32 = 16;

/// The latest timestamp up to `clock` that encodes the options of the peer's SYN.
pub(super) fn stamp(clock: u32, syn: &Options) -> u32 {
    let scale = syn
        .window_scale
        .map_or(NO_SCALE, |shift| u32::from(shift.min(14)));
    let kept = scale | if syn.sack_permitted { SACK } else { 0 };
    let stamp = clock >> STAMP_BITS << STAMP_BITS | kept;
    if stamp > clock {
        stamp.wrapping_sub(1 << STAMP_BITS)
    } else {
        stamp
    }
}

/// The options that this timestamp of ours encodes.
pub(super) fn options_of(stamp: u32) -> Options {
    let scale = stamp & NO_SCALE;
    Options {
        window_scale: (scale != NO_SCALE).then_some(scale as u8),
        sack_permitted: stamp & SACK != 0,
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(irs: u32) -> Request {
        Request {
            tuple: FourTuple {
                local: ([10, 0, 0, 1], 80).into(),
                remote: ([10, 0, 0, 2], 4000).into(),
            },
            irs: Seq(irs),
        }
    }

    proptest! {
        #[test]
        fn cookie_within_its_life_gives_the_mss_back(
            seed: u64,
            irs: u32,
            at in 0u64..1 << 40,
            mss: u16,
        ) {
            let cookies = Cookies::new(seed);
            let sent = Instant(at * 1000);
            let cookie = cookies.make(sent, &request(irs), mss);
            let got = cookies.check(sent + Duration::from_secs(63), &request(irs), cookie);
            prop_assert!(got.is_some_and(|got| got <= mss.max(48)));
            prop_assert_eq!(cookies.check(sent + LIFETIME, &request(irs), cookie), None);
        }

        #[test]
        fn stamp_keeps_the_options_and_is_not_later_than_the_clock(
            clock: u32,
            shift in proptest::option::of(0u8..20),
            sack: bool,
        ) {
            let syn = Options {
                window_scale: shift,
                sack_permitted: sack,
                ..Options::default()
            };
            let stamp = stamp(clock, &syn);
            prop_assert_eq!(
                options_of(stamp),
                Options {
                    window_scale: shift.map(|shift| shift.min(14)),
                    ..syn
                }
            );
            prop_assert!(clock.wrapping_sub(stamp) < 1 << STAMP_BITS);
        }

        #[test]
        fn cookie_for_another_request_is_wrong(seed: u64, irs: u32, by in 1u32..) {
            let cookies = Cookies::new(seed);
            let cookie = cookies.make(Instant(0), &request(irs), 1460);
            let other = Request {
                irs: Seq(irs) + by,
                ..request(irs)
            };
            prop_assert_eq!(cookies.check(Instant(0), &other, cookie), None);
            prop_assert_eq!(cookies.check(Instant(0), &request(irs), cookie + by), None);
        }
    }

    #[test]
    fn cookie_keeps_an_mss_of_the_table_exactly() {
        let cookies = Cookies::new(1);
        for mss in MSS {
            assert_eq!(
                cookies.check(
                    Instant(0),
                    &request(5),
                    cookies.make(Instant(0), &request(5), mss)
                ),
                Some(mss)
            );
        }
    }
}
