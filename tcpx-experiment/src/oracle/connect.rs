//! The oracle `connect`: every connect succeeds.

use super::conns::Run;
use super::finding::Evidence;
use tcpx_proto::script::StepKind;

/// A connect that failed, or never completed.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    let mut connects = run
        .steps
        .iter()
        .filter(|played| played.kind() == Some(StepKind::Connect))
        .peekable();
    if connects.peek().is_none() {
        return Some(Evidence::NoConnect);
    }
    (1..).zip(connects).find_map(|(nth, played)| {
        if let Some(why) = played.failures.first() {
            return Some(Evidence::ConnectFailed {
                nth,
                why: why.clone(),
            });
        }
        if played.ended.is_none() {
            return Some(Evidence::ConnectPending { nth });
        }
        None
    })
}
