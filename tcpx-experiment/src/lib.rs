//! Experiments on TCP, without a machine: text in, text out.
//!
//! | module | its question |
//! |---|---|
//! | [`end`] | which of the two hosts, and their addresses |
//! | [`trace`] | what one end recorded, and one connection seen from both ends |
//! | [`oracle`] | what must hold of every TCP, judged from both ends' records |
//! | [`experiment`] | a question, the rule that is removed, and what must happen with and without it |
//! | [`world`] | what a run leaves, and the simulation |
//! | [`prediction`] | whether a wire showed what the simulation predicted |
//! | [`verdict`] | whether a run met its expectations |
//! | [`coverage`] | which edges of the state diagram were taken |
//! | [`sweep`] | what breaks when each single segment is dropped, duplicated or delayed |
//! | [`report`] | runs with their verdicts, and all of them in the simulation as JSON |
//! | [`draw`] | a connection as a ladder, an RFC figure, an SVG, a Mermaid diagram |

pub mod coverage;
pub mod draw;
pub mod end;
pub mod experiment;
pub mod oracle;
pub mod prediction;
pub mod report;
pub mod sweep;
pub mod trace;
pub mod verdict;
pub mod world;
