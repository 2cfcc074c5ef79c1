//! Every requirement that binds is kept somewhere, and proved by a test.

use super::tags::{Tags, problems, requirements};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_requirement_is_tagged_at_the_code_and_at_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let requirements = requirements();
    let ids: BTreeSet<&str> = requirements.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), requirements.len(), "each id is there once");
    let problems = problems(&requirements, &Tags::read(root));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
