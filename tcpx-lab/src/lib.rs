//! Where a TCP is watched: two network namespaces on one machine, and the experiments there.
//!
//! | module | its question |
//! |---|---|
//! | [`netns_daemon`] | the same two, kept until they are taken down |
//! | [`linux`] | what the kernel and the cable saw, independent of the logs; faults by nftables |
//! | [`world`] | where an experiment is run: on a wire, beside Linux |
//! | [`runner`] | all runs of all experiments, many at a time |
//! | [`document`] | all of it as documents, a page for each experiment |
//! | [`report`] | the verdicts, for people and for programs |
//! | [`cli`] | the commands, a file for each |

pub mod cli;
pub mod document;
pub mod linux;
pub mod netns_daemon;
#[cfg(test)]
mod pair;
mod programs;
pub mod report;
pub mod runner;
#[cfg(test)]
mod skip;
pub mod world;
