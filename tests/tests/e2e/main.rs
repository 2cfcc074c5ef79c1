//! The two binaries end to end, against each other and against the kernel. Every verdict is read
//! from a capture by an independent program, or from the peer kernel: a wrong log of ours cannot
//! pass.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod harness;

mod ci;
mod evidence;
mod examples;
mod fast_open;
mod floods;
mod guard;
mod habits;
mod kernel;
mod knobs;
mod laboratory;
mod manual;
mod misuse;
mod pair;
mod recipes;
mod signals;
mod states;
mod transfers;
