//! What TCP does when a segment, a call or the clock arrives: the whole of RFC 9293 as a state machine without I/O.
//!
//! # The rooms
//! | room | its question |
//! |---|---|
//! | [`seq`], [`time`] | which of two sequence numbers is later; what time is it (somebody says) |
//! | [`wire`] | bytes to segment and back, illegal ones included |
//! | [`config`], [`preset`] | every parameter and policy with its source; which rules can be removed, and how |
//! | [`event`] | the one record of what happened |
//! | [`tcb`] | one connection: RFC 9293 3.10 in its order |
//! | [`stack`] | whose segment is this: listeners, four-tuples, SYN backlog, cookies, RST to strangers |
//! | [`fault`] | what the network does to a segment: the gate at the edge |
//! | [`script`] | what an application does and when |
//! | [`words`] | how a line of our small languages is read, and what is said of a mistake |
//! | [`sim`] | hosts and links on one virtual clock |
//!
//! Arrows: `seq, time <- wire <- config, event <- tcb <- stack <- sim`; `fault` reads `wire`, `event`, `time` and `words` only.
//!
//! # The drive contract
//! A [`stack::Stack`] does nothing by itself. Whoever owns it hands in packets, calls and the time, and **after every `&mut` call
//! drains the polls until they say `None`**: [`poll_transmit`](stack::Stack::poll_transmit) (packets to send, written into the
//! caller's buffer), [`poll_signal`](stack::Stack::poll_signal) (whom to wake) and [`poll_event`](stack::Stack::poll_event) (the
//! record; empty unless somebody records). Then it sleeps until the next packet, call or [`deadline`](stack::Stack::deadline), and at
//! the deadline calls [`timeout`](stack::Stack::timeout). Time never runs backwards. A run is `(config, seed, [input])` and nothing
//! else: given the same, it does the same.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod config;
pub mod event;
pub mod fault;
pub mod preset;
pub mod script;
pub mod seq;
pub mod sim;
pub mod stack;
pub mod tcb;
pub mod time;
pub mod wire;
pub mod words;
