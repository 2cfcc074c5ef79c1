//! The cookie of TCP Fast Open (RFC 7413).

use crate::name::UnknownName;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// A Fast Open cookie (RFC 7413 section 4.1.1): 4 to 16 bytes, an even number of them; or none,
/// which asks for one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FastOpenCookie {
    bytes: [u8; FastOpenCookie::MAX_LEN],
    len: u8,
}

impl FastOpenCookie {
    /// The longest, bytes.
    pub const MAX_LEN: usize = 16;

    /// Asks for a cookie.
    pub const REQUEST: FastOpenCookie = FastOpenCookie {
        bytes: [0; FastOpenCookie::MAX_LEN],
        len: 0,
    };

    /// A cookie, or the request for one; `None`: a length that is not allowed.
    pub fn new(cookie: &[u8]) -> Option<FastOpenCookie> {
        //= 7413-2
        let allowed = matches!(cookie.len(), 0 | 4..=16) && cookie.len().is_multiple_of(2);
        let mut bytes = [0; FastOpenCookie::MAX_LEN];
        bytes.get_mut(..cookie.len())?.copy_from_slice(cookie);
        let len = u8::try_from(cookie.len()).ok()?;
        allowed.then_some(FastOpenCookie { bytes, len })
    }

    /// Its bytes; none: it asks for a cookie.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether it asks for a cookie.
    pub fn is_request(&self) -> bool {
        self.len == 0
    }
}

impl FromStr for FastOpenCookie {
    type Err = UnknownName;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<FastOpenCookie, UnknownName> {
        let byte = |at: usize| {
            let digits = text.get(at..at + 2)?;
            let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
        };
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        bytes
            .and_then(|bytes| FastOpenCookie::new(&bytes))
            .ok_or_else(|| UnknownName::new("Fast Open cookie", text))
    }
}

impl fmt::Display for FastOpenCookie {
    /// Two hexadecimal digits a byte.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
