//! The eight control bits of a segment, written as letters in the order FSRPAUEW.

use crate::name::UnknownName;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{BitOr, BitOrAssign};
use core::str::FromStr;

/// A set of control bits (RFC 9293 section 3.1, RFC 3168). `Display` gives the letters, `S`, `SA`,
/// `FA`, and `.` for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No bit set.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push function.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// Each with its name, in the order in which RFC 9293 writes them.
    pub const NAMES: [(Flags, &str); 8] = [
        (Flags::SYN, "SYN"),
        (Flags::FIN, "FIN"),
        (Flags::RST, "RST"),
        (Flags::PSH, "PSH"),
        (Flags::ACK, "ACK"),
        (Flags::URG, "URG"),
        (Flags::ECE, "ECE"),
        (Flags::CWR, "CWR"),
    ];

    /// The control bits as RFC 9293 writes them: `SYN,ACK`.
    pub fn control(self) -> String {
        let set = Flags::NAMES.iter().filter(|(flag, _)| self.has(*flag));
        let names: Vec<&str> = set.map(|(_, name)| *name).collect();
        names.join(",")
    }

    /// Whether every bit of `other` is set in `self`.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// `self` without the bits of `other`.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Reads the letters that `Display` writes, in any order; `None` for any other letter.
    pub fn from_letters(letters: &str) -> Option<Flags> {
        let mut flags = Flags::NONE;
        for letter in letters.chars() {
            flags |= Flags(1 << LETTERS.find(letter)?);
        }
        Some(flags)
    }
}

const LETTERS: &str = "FSRPAUEW";

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl FromStr for Flags {
    type Err = UnknownName;

    /// Reads what `Display` writes, its letters in any order.
    fn from_str(text: &str) -> Result<Flags, UnknownName> {
        if text == "." {
            return Ok(Flags::NONE);
        }
        Flags::from_letters(text).ok_or_else(|| UnknownName::new("control bit in", text))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str(".");
        }
        for (bit, letter) in LETTERS.char_indices() {
            if self.0 & (1 << bit) != 0 {
                fmt::Write::write_char(f, letter)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
