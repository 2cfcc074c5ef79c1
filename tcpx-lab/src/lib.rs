//! Where a TCP is watched: two network namespaces on one machine, and the pictures of what happened
//! between them.
//!
//! | room | its question |
//! |---|---|
//! | [`privilege`] | what we may do here, and how to become root of a user namespace |
//! | [`netns`] | two hosts and a cable, made of nothing and gone with their owner |
//! | [`hold`] | the same two, kept until they are taken down |
//! | [`demo`] | what two rules of TCP are for, in three short runs |
//! | [`doctor`] | what works on this machine, and what mends the rest |
//! | [`evidence`] | what the kernel and the cable saw, whatever the logs say |
//! | [`events`] | what one end recorded |
//! | [`exchange`] | one connection seen from both ends |
//! | [`picture`] | that, drawn: with both clocks, as RFC 9293 draws it, for a browser, for GitHub |
//! | [`experiment`] | a question, the rule that is removed, and what must happen with and without it |
//! | [`world`] | where an experiment is run: simulation, wire, beside Linux |
//! | [`oracle`] | what must hold of every TCP, judged from both ends' records |
//! | [`verdict`], [`compare`] | whether a run met its expectations, and the prediction |
//! | [`laboratory`] | all runs of all experiments, many at a time |
//! | [`sweep`] | what breaks when each single segment is lost, doubled or late |
//! | [`document`] | all of it as documents, a page for each experiment |
//! | [`report`] | the verdicts, for people and for programs |
//! | [`commands`] | list, explain and run |
//! | [`nft`] | which faults nftables can do, between two kernels |

pub mod commands;
pub mod compare;
pub mod demo;
pub mod doctor;
pub mod document;
pub mod edges;
pub mod events;
pub mod evidence;
pub mod exchange;
pub mod experiment;
pub mod hold;
pub mod laboratory;
pub mod netns;
pub mod nft;
pub mod oracle;
pub mod picture;
pub mod privilege;
pub mod report;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod skip;
pub mod sweep;
pub mod verdict;
pub mod world;
