//! Where a TCP is watched: two network namespaces on one machine, and the pictures of what happened between them.
//!
//! | room | its question |
//! |---|---|
//! | [`netns`] | two hosts and a cable, made of nothing and gone with their owner |

pub mod netns;
