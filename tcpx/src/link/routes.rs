//! Questions to the kernel about the way to a peer, over rtnetlink (rtnetlink(7)): each is answered
//! before the call returns, and needs no privilege.

use crate::error::Error;
use netlink_packet_core::{
    NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

/// An Ethernet address.
pub(super) type HardwareAddress = [u8; 6];

/// Where packets to a peer go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hop {
    /// The number of the interface.
    pub(super) interface: u32,
    /// The peer or the gateway before it.
    pub(super) next: Ipv4Addr,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Neighbour {
    pub(super) address: HardwareAddress,
    /// It answered lately, or need not be asked. Otherwise the kernel asks again as soon as it sends
    /// something there itself.
    pub(super) confirmed: bool,
}

/// A socket for these questions, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Routes {
    netlink: Socket,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Routes {
    pub(super) fn open() -> Result<Routes, Error> {
        let netlink = Socket::new(
            Domain::from(libc::AF_NETLINK),
            Type::DGRAM,
            Some(Protocol::from(libc::NETLINK_ROUTE)),
        )
        .map_err(Error::io("open a netlink socket"))?;
        netlink
            .set_read_timeout(Some(Duration::from_secs(1)))
            .map_err(Error::io("set a timeout"))?;
        Ok(Routes {
            netlink,
            buffer: vec![0; 1 << 15],
            sequence: 0,
        })
    }

    /// The way of packets from `source` with this mark to `peer`; `None` where it is none by an
    /// interface to one neighbour: a local address, a broadcast, a tunnel of the route's, or no way
    /// at all.
    pub(super) fn hop(&mut self, source: Ipv4Addr, mark: u32, peer: Ipv4Addr) -> Option<Hop> {
        let mut question = RouteMessage::default();
        question.header.address_family = AddressFamily::Inet;
        question.header.destination_prefix_length = 32;
        question.header.source_prefix_length = 32;
        question.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(peer)),
            RouteAttribute::Source(RouteAddress::Inet(source)),
            RouteAttribute::Mark(mark),
        ];
        let RouteNetlinkMessage::NewRoute(route) =
            self.ask(RouteNetlinkMessage::GetRoute(question)).ok()?
        else {
            return None;
        };
        if route.header.kind != RouteType::Unicast {
            return None;
        }
        let mut interface = None;
        let mut next = peer;
        for attribute in route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => interface = Some(index),
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => next = gateway,
                RouteAttribute::Gateway(_)
                | RouteAttribute::Via(_)
                | RouteAttribute::Encap(_)
                | RouteAttribute::EncapType(_) => return None,
                _ => {}
            }
        }
        Some(Hop {
            interface: interface?,
            next,
        })
    }

    /// The interface's own address, where it is of the Ethernet kind.
    pub(super) fn ethernet_address(&mut self, interface: u32) -> Option<HardwareAddress> {
        let mut question = LinkMessage::default();
        question.header.index = interface;
        let RouteNetlinkMessage::NewLink(link) =
            self.ask(RouteNetlinkMessage::GetLink(question)).ok()?
        else {
            return None;
        };
        if link.header.link_layer_type != LinkLayerType::Ether {
            return None;
        }
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Address(address) => address.as_slice().try_into().ok(),
                _ => None,
            })
    }

    /// What the kernel knows of a neighbour; `None`: not its address.
    pub(super) fn neighbour(&mut self, hop: Hop) -> Option<Neighbour> {
        let mut question = NeighbourMessage::default();
        question.header.family = AddressFamily::Inet;
        question.header.ifindex = hop.interface;
        let next = NeighbourAddress::Inet(hop.next);
        question.attributes = vec![NeighbourAttribute::Destination(next)];
        let RouteNetlinkMessage::NewNeighbour(neighbour) =
            self.ask(RouteNetlinkMessage::GetNeighbour(question)).ok()?
        else {
            return None;
        };
        let confirmed = match neighbour.header.state {
            NeighbourState::Reachable | NeighbourState::Noarp | NeighbourState::Permanent => true,
            NeighbourState::Stale | NeighbourState::Delay | NeighbourState::Probe => false,
            _ => return None,
        };
        let mut attributes = neighbour.attributes.iter();
        attributes.find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(address) => Some(Neighbour {
                address: address.as_slice().try_into().ok()?,
                confirmed,
            }),
            _ => None,
        })
    }

    fn ask(&mut self, question: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.netlink.write_all(&bytes)?;
        loop {
            let received = self.netlink.read(&mut self.buffer)?;
            let answer = parse(self.buffer.get(..received).unwrap_or_default())?;
            // What was not read of an earlier answer is passed over.
            if answer.header.sequence_number == self.sequence {
                return match answer.payload {
                    NetlinkPayload::InnerMessage(answer) => Ok(answer),
                    NetlinkPayload::Error(error) => Err(error.to_io()),
                    _ => Err(io::ErrorKind::InvalidData.into()),
                };
            }
        }
    }
}

fn parse<M: NetlinkDeserializable>(bytes: &[u8]) -> io::Result<NetlinkMessage<M>> {
    NetlinkMessage::deserialize(bytes).map_err(io::Error::other)
}
