//! The laboratory: two network namespaces on one machine, and the experiments there.
//!
//! | module | its question |
//! |---|---|
//! | [`netns_daemon`] | two namespaces that stay until they are removed |
//! | [`linux`] | what the kernel and the cable saw, independent of the logs; faults by nftables |
//! | [`world`] | where an experiment runs: on a wire, against Linux |
//! | [`runner`] | all runs of all experiments, many at a time |
//! | [`document`] | the documents, a page for each experiment |
//! | [`report`] | the verdicts as text, JSON and JUnit's XML |
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
