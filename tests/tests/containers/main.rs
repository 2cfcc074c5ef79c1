//! The images at work in containers of a real engine, judged from outside: by captures and firewall
//! listings in the containers' network namespaces, by kernels as peers, by the engine's own word.
//! `make test-containers` runs this; a missing engine or image is a failure.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod deployment;
mod engine;
#[path = "../e2e/harness/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "the end-to-end tests use the rest"
)]
mod harness;
mod pair;
mod privileges;
mod signals;
mod strangers;
