//! Where a TCP is watched: two network namespaces on one machine, and the pictures of what happened between them.
//!
//! | room | its question |
//! |---|---|
//! | [`privilege`] | what we may do here, and how to become root of a user namespace |
//! | [`netns`] | two hosts and a cable, made of nothing and gone with their owner |
//! | [`hold`] | the same two, kept until they are taken down |
//! | [`demo`] | what two rules of TCP are for, in three short runs |
//! | [`simulated`] | those runs where no namespace is to be had |
//! | [`doctor`] | what works on this machine, and what mends the rest |
//! | [`events`] | what one end recorded |
//! | [`exchange`] | one connection seen from both ends |
//! | [`figure`] | that, drawn as RFC 9293 draws it |
//! | [`ladder`] | that, drawn with both clocks |
//! | [`rules`] | which rules can be removed |
//! | [`nft`] | which faults nftables can do, between two kernels |

pub mod demo;
pub mod doctor;
pub mod events;
pub mod exchange;
pub mod figure;
pub mod hold;
pub mod ladder;
pub mod netns;
pub mod nft;
pub mod privilege;
pub mod rules;
#[cfg(test)]
mod sample;
pub mod simulated;
