//! Bytes to segment and back: IPv4 and IPv6 headers, the TCP header, its options, and the ICMP
//! errors that quote them.
//!
//! Reading is strict and total: any bytes give a [`Segment`] or a [`ParseError`], never a panic.
//! Writing can also produce what is illegal ([`Illegal`]).

mod checksum;
mod flags;
mod icmp;
mod ip;
mod options;
mod patch;
mod segment;
mod template;

pub use checksum::{Sum, portable_sum};
pub use flags::Flags;
pub use icmp::{Icmp, IcmpKind, IcmpName, icmp_error};
use ip::Ip;
pub(crate) use ip::{allow_fragments, is_unicast};
pub use options::{FastOpenCookie, MAX_OPTIONS_LEN, OptionLayout, Options, SackBlocks, Timestamps};
pub use patch::{Field, OptionKind, fix_checksums, flip_bit, patch, spoil_checksum, strip};
pub use segment::{ChecksumKind, ChecksumPolicy, Header, Illegal, ParseError, Payload, Segment};
pub(crate) use template::{Template, announce_text};
