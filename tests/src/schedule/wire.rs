//! The TUN device, one host behind it and the peers that this program plays: each has an address of
//! its own, so that the kernel's cache of round-trip times knows none of them.

use super::play::Input;
use crate::tun::Tun;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use tcpx::clock;
use tcpx_proto::seq::Seq;
use tcpx_proto::time::Instant;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The MSS that a peer offers.
pub(super) const MSS: u16 = 1460;
const PORT: u16 = 9000;
pub(super) const ISS: Seq = Seq(1_000_000);

/// A segment that a host has sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) header: Header,
    /// Bytes of text.
    pub(super) len: u32,
}

impl Heard {
    /// SEG.SEQ plus what it uses of the sequence space.
    pub(super) fn end(&self) -> Seq {
        self.header.seq + self.len + self.header.control_len()
    }

    /// Whether it uses sequence space, or resets.
    pub(super) fn counts(&self) -> bool {
        self.end() != self.header.seq || self.header.flags.contains(Flags::RST)
    }
}

/// The device, and who waits for which segments.
#[derive(Debug)]
pub(super) struct Wire {
    tun: Tun,
    /// Its descriptor, for the runtime.
    ready: AsyncFd<OwnedFd>,
    peers: RefCell<HashMap<IpAddr, UnboundedSender<Heard>>>,
    count: Cell<u16>,
}

impl Wire {
    pub(super) fn new(tun: Tun) -> io::Result<Rc<Wire>> {
        let descriptor = tun.as_fd().try_clone_to_owned()?;
        // SAFETY: an OwnedFd keeps its descriptor until it is dropped, with the registration.
        let ready = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
            .map_err(io::Error::from)?;
        Ok(Rc::new(Wire {
            ready,
            tun,
            peers: RefCell::default(),
            count: Cell::new(0),
        }))
    }

    /// Gives every segment to the peer that it is for, as long as the runtime lives.
    pub(super) async fn distribute(self: Rc<Wire>) -> io::Result<()> {
        let mut packet = [0; 1 << 16];
        loop {
            let mut ready = self.ready.readable().await?;
            let at = clock::now();
            while let Some((segment, _)) = self.tun.receive(&mut packet)? {
                let heard = Heard {
                    at,
                    header: segment.header,
                    len: segment.payload.len() as u32,
                };
                if let Some(peer) = self.peers.borrow().get(&heard.header.destination.ip()) {
                    // Gone: its run is over.
                    _ = peer.send(heard);
                }
            }
            ready.clear_ready();
        }
    }
}

/// What a peer has of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habits {
    pub(super) stamps: bool,
    pub(super) sack: bool,
    pub(super) window: u16,
}

/// A peer of the host: what it says, and when.
#[derive(Debug)]
pub(super) struct Peer {
    wire: Rc<Wire>,
    heard: UnboundedReceiver<Heard>,
    pub(super) address: SocketAddr,
    /// The host's end, once it is known.
    pub(super) host: Option<SocketAddr>,
    pub(super) habits: Habits,
    /// SND.NXT and RCV.NXT.
    next: Seq,
    wanted: Seq,
    /// The host's ISS, and its last TSval.
    pub(super) first: Option<Seq>,
    stamp: u32,
}

impl Peer {
    pub(super) fn new(wire: &Rc<Wire>, habits: Habits) -> Peer {
        let nth = wire.count.get();
        wire.count.set(nth + 1);
        let address = Ipv4Addr::new(10, 78, 1 + (nth / 200) as u8, 1 + (nth % 200) as u8);
        let (sender, heard) = unbounded_channel();
        wire.peers.borrow_mut().insert(address.into(), sender);
        Peer {
            wire: Rc::clone(wire),
            heard,
            address: SocketAddr::from((address, PORT)),
            host: None,
            habits,
            next: ISS,
            wanted: Seq(0),
            first: None,
            stamp: 0,
        }
    }

    /// The next segment of the host, whatever it is.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        let gone = || io::Error::other("the device is gone");
        let heard = self.heard.recv().await.ok_or_else(gone)?;
        let header = &heard.header;
        self.host = Some(header.source);
        if header.flags.contains(Flags::SYN) && self.first.is_none() {
            self.first = Some(header.seq);
            self.wanted = header.seq;
        }
        if heard.header.seq.le(self.wanted) {
            self.wanted = self.wanted.max(heard.end());
        }
        if let Some(stamps) = header.options.timestamps {
            self.stamp = stamps.value;
        }
        Ok(heard)
    }

    /// A sequence number of the host, from its ISS on.
    pub(super) fn offset(&self, seq: Seq) -> i64 {
        i64::from(seq.since(self.first.unwrap_or_default()) as i32)
    }

    /// Sends a segment; returns when, and which.
    pub(super) fn say(&mut self, flags: Flags, len: usize) -> io::Result<(Instant, Input)> {
        let host = self
            .host
            .ok_or_else(|| io::Error::other("no host to speak to"))?;
        let syn = flags.contains(Flags::SYN);
        let at = clock::now();
        let timestamps = self.habits.stamps.then_some(Timestamps {
            value: at.millis() as u32,
            echo: self.stamp,
        });
        let mut options = Options {
            timestamps,
            ..Options::default()
        };
        if syn {
            options.mss = Some(MSS);
            options.sack_permitted = self.habits.sack;
        }
        let ack = if flags.contains(Flags::ACK) {
            self.wanted
        } else {
            Seq(0)
        };
        let header = Header {
            source: self.address,
            destination: host,
            seq: self.next,
            ack,
            flags,
            window: self.habits.window,
            urgent: 0,
            options,
            ttl: 64,
            tos: 0,
            id: 1,
        };
        self.wire.tun.send(&header, &vec![b'p'; len], None)?;
        self.next = self.next + len as u32 + header.control_len();
        let ack = self.offset(self.wanted);
        let end = self.next;
        Ok((
            at,
            Input::Segment {
                header,
                ack,
                len,
                end,
            },
        ))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // So that the host does not go on.
        if self.host.is_some() {
            _ = self.say(Flags::RST | Flags::ACK, 0);
        }
        self.wire.peers.borrow_mut().remove(&self.address.ip());
    }
}
