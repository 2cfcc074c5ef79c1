//! The oracle `economy`: both ends together send no more segments than the experiment's budget.

use super::conns::Run;
use super::finding::Evidence;

/// More segments than the budget, lost ones included.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let Some(budget) = run.budget else {
        return Some(Evidence::NoBudget);
    };
    let [a, b] = run.segments;
    if a + b <= budget {
        return None;
    }
    Some(Evidence::Wasteful {
        a,
        b,
        bytes: run.conns.iter().map(|conn| conn.sent.len()).sum(),
        budget,
    })
}
