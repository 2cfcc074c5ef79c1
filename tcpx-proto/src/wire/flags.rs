//! The eight control bits of a segment, written as letters in the order FSRPAUEW.

use crate::name::UnknownName;
use alloc::string::String;
use alloc::vec::Vec;
use bitflags::bitflags;
use core::fmt;
use core::str::FromStr;

/// A set of control bits (RFC 9293 section 3.1, RFC 3168). `Display` gives the letters, `S`, `SA`,
/// `FA`, and `.` for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

bitflags! {
    // In the order in which RFC 9293 writes them.
    impl Flags: u8 {
        /// Synchronize sequence numbers.
        const SYN = 0x02;
        /// No more data from the sender.
        const FIN = 0x01;
        /// Reset the connection.
        const RST = 0x04;
        /// Push function.
        const PSH = 0x08;
        /// The acknowledgment field is significant.
        const ACK = 0x10;
        /// The urgent pointer is significant.
        const URG = 0x20;
        /// ECN echo (RFC 3168).
        const ECE = 0x40;
        /// Congestion window reduced (RFC 3168).
        const CWR = 0x80;
    }
}

impl Flags {
    /// The control bits as RFC 9293 writes them: `SYN,ACK`.
    pub fn control(self) -> String {
        let names: Vec<&str> = self.iter_names().map(|(name, _)| name).collect();
        names.join(",")
    }

    /// Reads the letters that `Display` writes, in any order; `None` for any other letter.
    pub fn from_letters(letters: &str) -> Option<Flags> {
        let mut flags = Flags::empty();
        for letter in letters.chars() {
            flags |= Flags(1 << LETTERS.find(letter)?);
        }
        Some(flags)
    }
}

const LETTERS: &str = "FSRPAUEW";

impl FromStr for Flags {
    type Err = UnknownName;

    /// Reads what `Display` writes, its letters in any order.
    fn from_str(text: &str) -> Result<Flags, UnknownName> {
        if text == "." {
            return Ok(Flags::empty());
        }
        Flags::from_letters(text).ok_or_else(|| UnknownName::new("control bit in", text))
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
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
