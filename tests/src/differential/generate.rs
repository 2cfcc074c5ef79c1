//! Cases drawn from a seed: a connection is brought into some state, and then anything happens to
//! it, most of it near the edges where a rule begins or ends.

use super::case::{Arrival, Base, Call, Case, Offers, Place, Stamp, Step};
use tcpx_proto::wire::Flags;

/// Segments and calls of a case at most.
const STEPS: usize = 12;

/// A generator of pseudo-random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// From a seed.
    pub const fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of 0 to `below` - 1.
    pub fn below(&mut self, below: usize) -> usize {
        (self.number() % below.max(1) as u64) as usize
    }

    /// Happens so many times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these, each as often.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of these, as often as its weight says.
    pub fn weighed<T: Copy>(&mut self, of: &[(usize, T)]) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in of {
            if left < *weight {
                return *value;
            }
            left -= weight;
        }
        of[0].1
    }

    fn offset(&mut self, from: i32, to: i32) -> i32 {
        from + self.below((to - from) as usize + 1) as i32
    }
}

/// Where a case begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    Listen,
    SynReceived,
    SynSent,
    Simultaneous,
    Established,
    Connected,
    FinWait1,
    FinWait2,
    OrphanFinWait1,
    OrphanFinWait2,
    CloseWait,
    LastAck,
    Closing,
    TimeWait,
}

const OPENINGS: [(usize, Opening); 14] = [
    (2, Opening::Listen),
    (4, Opening::SynReceived),
    (5, Opening::SynSent),
    (4, Opening::Simultaneous),
    (20, Opening::Established),
    (8, Opening::Connected),
    (6, Opening::FinWait1),
    (6, Opening::FinWait2),
    (5, Opening::OrphanFinWait1),
    (5, Opening::OrphanFinWait2),
    (5, Opening::CloseWait),
    (4, Opening::LastAck),
    (5, Opening::Closing),
    (6, Opening::TimeWait),
];

/// The case of this number in the sequence of a seed.
pub fn case(seed: u64, number: u64) -> Case {
    let mut draw = Draw::new(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
    draw.number();
    let offers = Offers {
        mss: draw.weighed(&[(20, Some(1460)), (2, None), (2, Some(536)), (1, Some(100))]),
        sack: draw.chance(50),
        stamps: draw.chance(45),
        scale: draw.weighed(&[(6, None), (3, Some(7)), (1, Some(0)), (1, Some(14))]),
    };
    let opening = draw.weighed(&OPENINGS);
    let mut writer = Writer {
        stamps: offers.stamps,
        sack: offers.sack,
        opening,
        steps: Vec::new(),
        draw,
    };
    writer.open();
    let most = STEPS - writer.steps.len();
    let count = 1 + writer.draw.below(most.min(7));
    for _ in 0..count {
        writer.anything();
    }
    Case {
        offers,
        no_delay: writer.draw.chance(75),
        steps: writer.steps,
    }
}

struct Writer {
    stamps: bool,
    sack: bool,
    opening: Opening,
    steps: Vec<Step>,
    draw: Draw,
}

/// Control bits by their letters.
fn flags(letters: &str) -> Flags {
    Flags::from_letters(letters).unwrap_or_default()
}

impl Writer {
    fn plain(&mut self, letters: &str) {
        let syn = letters.contains('S');
        let arrival = Arrival {
            flags: flags(letters),
            seq: Place::at(if syn { Base::Irs } else { Base::RcvNxt }),
            ack: Place::at(if letters.contains('A') {
                Base::SndNxt
            } else {
                Base::Zero
            }),
            stamp: self.stamps.then(Stamp::default),
            ..Arrival::default()
        };
        self.steps.push(Step::Arrive(arrival));
    }

    fn call(&mut self, call: Call) {
        self.steps.push(Step::Call(call));
    }

    /// Brings the connection to where the case begins.
    fn open(&mut self) {
        use Opening::*;
        match self.opening {
            Listen => return,
            SynReceived => return self.plain("S"),
            SynSent => return self.call(Call::Connect),
            Simultaneous => {
                self.call(Call::Connect);
                return self.plain("S");
            }
            Connected => {
                self.call(Call::Connect);
                return self.plain("SA");
            }
            _ => {}
        }
        self.plain("S");
        self.plain("A");
        self.call(Call::Accept);
        match self.opening {
            FinWait1 | FinWait2 | Closing | TimeWait => self.call(Call::Shutdown),
            OrphanFinWait1 | OrphanFinWait2 => self.call(Call::Close),
            CloseWait | LastAck => self.plain("FA"),
            _ => {}
        }
        match self.opening {
            FinWait2 | OrphanFinWait2 => self.plain("A"),
            LastAck => self.call(Call::Shutdown),
            TimeWait => self.plain("FA"),
            Closing => {
                self.plain("FA");
                if let Some(Step::Arrive(fin)) = self.steps.last_mut() {
                    fin.ack.offset = -1;
                }
            }
            _ => {}
        }
    }

    fn anything(&mut self) {
        if self.draw.chance(30) {
            let call = self.any_call();
            self.call(call);
        } else {
            let arrival = self.any_arrival();
            self.steps.push(Step::Arrive(arrival));
        }
    }

    fn any_call(&mut self) -> Call {
        let bytes = self.draw.one(&[1, 5, 100, 1460, 3000, 8000]);
        let early = matches!(self.opening, Opening::Listen | Opening::SynReceived);
        let connecting = matches!(self.opening, Opening::SynSent | Opening::Simultaneous);
        if early && self.draw.chance(60) {
            return Call::Accept;
        }
        self.draw.weighed(&[
            (6, Call::Read(0)),
            (3, Call::Read(7)),
            (if connecting { 1 } else { 10 }, Call::Write(bytes)),
            (4, Call::Shutdown),
            (4, Call::Close),
            (1, Call::Abort),
            (1, Call::Accept),
            (usize::from(early), Call::Unlisten),
        ])
    }

    fn any_arrival(&mut self) -> Arrival {
        let flags = self.any_flags();
        let syn = flags.contains(Flags::SYN);
        let text = self.draw.weighed(&[
            (45, 0),
            (8, 1),
            (14, 5),
            (14, 10),
            (10, 20),
            (4, 1000),
            (4, 1460),
        ]);
        let few = flags.intersects(Flags::SYN | Flags::RST) && self.draw.chance(80);
        let text = if few { 0 } else { text };
        Arrival {
            flags,
            seq: self.any_seq(syn, text),
            ack: self.any_ack(flags.contains(Flags::ACK)),
            window: self.draw.weighed(&[
                (70, 65_535),
                (8, 60_000),
                (6, 0),
                (5, 500),
                (3, 1),
                (3, 2000),
            ]),
            text,
            stamp: self.any_stamp(),
            sack: self.any_sack(flags),
            urgent: match flags.contains(Flags::URG) {
                true => self.draw.one(&[0, 1, text, text + 1, 5, 100, 65_535]),
                false => self.draw.weighed(&[(30, 0), (1, 7)]),
            },
            tos: self
                .draw
                .weighed(&[(90, 0), (4, 2), (2, 1), (4, 3), (1, 0x10)]),
            extra: self.any_option(),
        }
    }

    fn any_flags(&mut self) -> Flags {
        const OPEN: [&str; 13] = [
            "A", "SA", "S", "FA", "R", "RA", "SF", ".", "SA", "SFA", "UA", "F", "SR",
        ];
        const ANY: [(usize, &str); 22] = [
            (45, "A"),
            (4, "PA"),
            (14, "FA"),
            (5, "R"),
            (3, "RA"),
            (3, "S"),
            (3, "SA"),
            (3, "."),
            (3, "F"),
            (2, "U"),
            (4, "UA"),
            (2, "FUA"),
            (1, "SF"),
            (1, "FR"),
            (2, "AE"),
            (2, "AW"),
            (2, "AEW"),
            (1, "SFA"),
            (1, "SU"),
            (1, "FPUA"),
            (1, "SEW"),
            (1, "FSRPAUEW"),
        ];
        let open = matches!(
            self.opening,
            Opening::Listen | Opening::SynReceived | Opening::SynSent | Opening::Simultaneous
        );
        let letters = if open && self.draw.chance(50) {
            self.draw.one(&OPEN)
        } else {
            self.draw.weighed(&ANY)
        };
        flags(letters.trim_matches('.'))
    }

    fn any_seq(&mut self, syn: bool, text: u16) -> Place {
        let open = matches!(
            self.opening,
            Opening::Listen | Opening::SynReceived | Opening::SynSent | Opening::Simultaneous
        );
        if syn && open && self.draw.chance(70) {
            return Place::at(Base::Irs);
        }
        let near = self.draw.offset(2, 30);
        let text = i32::from(text);
        let (base, offset) = self.draw.weighed(&[
            (55, (Base::RcvNxt, 0)),
            (5, (Base::RcvNxt, -1)),
            (6, (Base::RcvNxt, -near)),
            (4, (Base::RcvNxt, 1)),
            (10, (Base::RcvNxt, near)),
            (4, (Base::RcvNxt, 5)),
            (4, (Base::RcvNxt, 10)),
            (2, (Base::RcvNxt, -text)),
            (2, (Base::Acked, 0)),
            (3, (Base::Irs, 1)),
            (2, (Base::Irs, 0)),
            (2, (Base::Edge, 0)),
            (2, (Base::Edge, -1)),
            (2, (Base::Edge, 1)),
            (2, (Base::Edge, -near)),
            (2, (Base::Edge, -text)),
            (1, (Base::RcvNxt, i32::MIN)),
            (1, (Base::RcvNxt, i32::MAX)),
        ]);
        Place { base, offset }
    }

    fn any_ack(&mut self, ack: bool) -> Place {
        let near = self.draw.offset(2, 30);
        let (base, offset) = self.draw.weighed(&[
            (60, (Base::SndNxt, 0)),
            (8, (Base::SndUna, 0)),
            (3, (Base::Iss, 1)),
            (2, (Base::Iss, 0)),
            (4, (Base::SndNxt, 1)),
            (4, (Base::SndNxt, -1)),
            (4, (Base::SndNxt, -near)),
            (2, (Base::SndNxt, 1000)),
            (2, (Base::SndUna, -1)),
            (2, (Base::SndUna, 1)),
            (3, (Base::SndUna, -70_000)),
            (1, (Base::SndNxt, i32::MIN)),
        ]);
        if !ack && self.draw.chance(90) {
            return Place::at(Base::Zero);
        }
        Place { base, offset }
    }

    fn any_stamp(&mut self) -> Option<Stamp> {
        let usual = self.stamps.then_some(0);
        let value = if self.stamps {
            self.draw.weighed(&[
                (75, Some(0)),
                (4, Some(-1)),
                (4, Some(-2)),
                (4, Some(-3)),
                (2, Some(-100)),
                (5, None),
                (3, Some(3000)),
                (1, Some(i32::MIN)),
            ])
        } else {
            self.draw.weighed(&[(30, usual), (1, Some(0))])
        };
        let echo = self
            .draw
            .weighed(&[(20, 0), (1, -1), (1, 5000), (1, 100_000), (1, -100_000)]);
        value.map(|value| Stamp { value, echo })
    }

    fn any_sack(&mut self, flags: Flags) -> Vec<(Place, Place)> {
        let may = flags.contains(Flags::ACK) && !flags.contains(Flags::SYN);
        if !may || !self.draw.chance(if self.sack { 15 } else { 2 }) {
            return Vec::new();
        }
        let count = self.draw.weighed(&[(5, 1), (3, 2), (1, 3)]);
        (0..count)
            .map(|_| {
                let base = self.draw.one(&[Base::SndUna, Base::SndNxt]);
                let from = self.draw.one(&[1, 0, 5, 100, 1460, -5, -100, -1460]);
                let length = self.draw.one(&[1, 5, 100, 1460, -10, 0]);
                let left = Place { base, offset: from };
                (left, left.plus(length))
            })
            .collect()
    }

    fn any_option(&mut self) -> Vec<u8> {
        const ODD: [&[u8]; 8] = [
            &[1, 1, 1, 1],
            &[0, 0, 0, 0],
            &[254, 4, 1, 2],
            &[253, 0, 0, 0],
            &[8, 3, 1, 1],
            &[5, 3, 1, 1],
            &[30, 40, 1, 1],
            &[2, 4, 0, 100],
        ];
        match self.draw.chance(4) {
            true => self.draw.one(&ODD).to_vec(),
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_read_from_its_text_is_the_same() {
        for number in 0..2000 {
            let case = case(7, number);
            assert_eq!(case.to_string().parse(), Ok(case));
        }
    }
}
