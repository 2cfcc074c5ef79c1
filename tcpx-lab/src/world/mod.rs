//! The worlds that need Linux: two programs on a wire, and one program beside Linux.

pub mod kernel;
mod process;
mod remarks;
pub mod wire;
