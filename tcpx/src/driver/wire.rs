//! Where a host's packets go, and whose clock it keeps: raw sockets and the system's, or a network
//! in memory and its own.

use super::memory::MemoryLink;
use crate::clock;
use crate::link::{Link, SendBatch, Uncut};
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tcpx_proto::stack::Most;
use tcpx_proto::time::Instant;
use tokio::sync::Notify;

pub(crate) enum Wire {
    Raw(Box<Link>),
    Memory(MemoryLink),
}

impl Wire {
    pub(crate) fn address(&self) -> IpAddr {
        match self {
            Wire::Raw(link) => link.address(),
            Wire::Memory(link) => link.address(),
        }
    }

    pub(crate) fn ports(&self) -> RangeInclusive<u16> {
        match self {
            Wire::Raw(link) => link.ports(),
            Wire::Memory(_) => 1..=u16::MAX,
        }
    }

    /// The longest IP packet, bytes.
    pub(crate) fn mtu(&self) -> u16 {
        match self {
            Wire::Raw(link) => link.mtu(),
            Wire::Memory(link) => link.mtu(),
        }
    }

    /// Bytes that may arrive before the application reads.
    pub(crate) fn receive_capacity(&self) -> usize {
        match self {
            Wire::Raw(link) => link.receive_capacity(),
            Wire::Memory(_) => usize::MAX,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Wire::Raw(_) => clock::now(),
            Wire::Memory(link) => link.now(),
        }
    }

    /// Lets happen what should have happened by now. A kernel does that by itself.
    pub(super) fn catch_up(&self) {
        if let Wire::Memory(link) = self {
            link.catch_up();
        }
    }

    /// What wakes the loop that drives the host.
    pub(super) fn nudge(&self) -> Arc<Notify> {
        match self {
            Wire::Raw(_) => Arc::default(),
            Wire::Memory(link) => link.nudge(),
        }
    }

    /// What the link takes at a time on its way there; there is room for `left` packets.
    pub(super) fn most(&self, to: IpAddr, left: usize) -> Most {
        match self {
            Wire::Raw(link) if link.cuts(to) => Most::Uncut(usize::from(u16::MAX)),
            _ => Most::Packets(left),
        }
    }

    pub(super) fn flush(
        &self,
        now: Instant,
        batch: &mut SendBatch,
        uncut: Option<Uncut<'_>>,
        failed: impl FnMut(usize, io::Error),
    ) {
        match self {
            Wire::Raw(link) => link.flush_uncut(batch, uncut, failed),
            Wire::Memory(link) => link.flush(now, batch),
        }
    }
}
