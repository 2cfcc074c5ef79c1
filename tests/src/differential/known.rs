//! Differences that are known and stay.

use super::case::Case;
use super::compare::Difference;
use super::side::Run;

/// The name of the known difference that this is.
pub fn name(
    _case: &Case,
    _difference: &Difference,
    _kernel: &Run,
    _tcpx: &Run,
) -> Option<&'static str> {
    None
}
