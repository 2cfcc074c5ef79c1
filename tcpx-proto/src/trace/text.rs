//! Bytes as text: printable ASCII as it is, the rest as a script escapes it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bytes as text.
pub fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The bytes that [`escape`] wrote; `None`: it did not write this.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            quoted @ (b'\'' | b'"' | b'\\') => quoted,
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back_as_it_was_written() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(unescape(&escape(&bytes)), Some(bytes));
    }

    #[test]
    fn unfinished_or_unknown_escape_is_none() {
        for text in ["\\", "\\x", "\\x1", "\\x1g", "\\q"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }
}
