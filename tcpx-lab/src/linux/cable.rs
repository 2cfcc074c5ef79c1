//! The cable pulled out and put in again, and a host that is there and says and hears nothing.

use rtnetlink::LinkUnspec;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use tcpx::netns::device::index;
use tcpx::netns::{A, B, Namespace, await_carrier, configure, hardware_address};

/// Takes the namespace's end of the cable down, or puts it up again with the neighbour that it
/// forgot meanwhile.
///
/// Down, the namespace's own kernel knows: it has no way to anywhere, and its sends fail at once.
/// The other end loses the carrier: what it sends is lost, and within a second its kernel throws
/// packets away before a capture there can see them. For a peer that lost its power, [`blackhole`]
/// is the better likeness.
///
/// # Errors
/// Those of rtnetlink, and a device that does not run after five seconds.
pub fn cable(inside: &Namespace, up: bool) -> io::Result<()> {
    inside.run(|| {
        let index = index()?;
        if !up {
            return set(LinkUnspec::new_with_index(index).down());
        }
        set(LinkUnspec::new_with_index(index).up())?;
        await_carrier()?;
        remember(index)
    })
}

/// Makes a host silent and deaf, or ends that. Its kernel, its sockets and their timers go on and
/// notice only that no answer arrives; the other end sees its own segments leave, and none arrive.
///
/// The device takes another hardware address, so that no frame of the other end is for this one,
/// and takes every neighbour to be at its own address (`arp off`), so that no frame of its own is
/// for the other end: IP drops such frames silently, before any socket, raw ones too. It needs no
/// firewall. This end's capture still shows what its kernel tries to send; the other end's shows
/// nothing of it.
///
/// # Errors
/// Those of rtnetlink.
pub fn blackhole(inside: &Namespace, on: bool) -> io::Result<()> {
    inside.run(|| {
        let index = index()?;
        let address = hardware_address(own()?);
        let link = || LinkUnspec::new_with_index(index);
        if on {
            set(link().arp(false))?;
            return set(link().address(unused(&address)));
        }
        set(link().address(address))?;
        set(link().arp(true))?;
        remember(index)
    })
}

/// A hardware address that no end of the cable has.
fn unused(address: &[u8]) -> Vec<u8> {
    let mut other = address.to_vec();
    other
        .iter_mut()
        .skip(1)
        .take(1)
        .for_each(|byte| *byte = 0xff);
    other
}

/// Which of the two hosts this is: an address can be bound where it is, also while the device is
/// down.
fn own() -> io::Result<Ipv4Addr> {
    let is_here = |address: &Ipv4Addr| UdpSocket::bind((*address, 0)).is_ok();
    [A, B]
        .into_iter()
        .find(is_here)
        .ok_or_else(|| io::Error::other("not an end of the lab's cable"))
}

/// Tells this end again where the other is: a device that goes down, or changes its address,
/// forgets its neighbours.
fn remember(index: u32) -> io::Result<()> {
    let peer = if own()? == A { B } else { A };
    let lies = hardware_address(peer);
    configure(async |netlink| {
        let request = netlink
            .neighbours()
            .add(index, peer.into())
            .link_layer_address(&lies);
        request.replace().execute().await
    })
}

fn set(link: rtnetlink::LinkMessageBuilder<LinkUnspec>) -> io::Result<()> {
    let message = link.build();
    configure(async |netlink| Ok(netlink.link().set(message).execute().await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::capture::{Capture, Packet};
    use crate::pair::plain_pair;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    /// A connection from A to B.
    fn connected(a: &Namespace, b: &Namespace) -> (TcpStream, TcpStream) {
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let client = a.run(|| TcpStream::connect((B, 7))).unwrap();
        let server = listener.accept().unwrap().0;
        (client, server)
    }

    fn hear(stream: &mut TcpStream, words: &[u8]) {
        let mut heard = vec![0; words.len()];
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(heard, words);
    }

    /// What passed while a namespace was cut off by `off`, and said something itself: what either
    /// end saw.
    fn while_cut_off(
        off: fn(&Namespace, bool) -> io::Result<()>,
        on: bool,
    ) -> Option<[Vec<Packet>; 2]> {
        let (a, b) = plain_pair()?;
        let (mut client, mut server) = connected(&a, &b);
        let captures = [Capture::start(&a).unwrap(), Capture::start(&b).unwrap()];
        off(&b, on).unwrap();
        client.write_all(b"anybody there?").unwrap();
        server.write_all(b"no").unwrap();
        // Longer than the first retransmission takes.
        client
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(client.read(&mut [0; 9]).is_err(), "it was not cut off");
        let seen = captures.map(|capture| capture.stop().unwrap());
        off(&b, !on).unwrap();
        client.set_read_timeout(None).unwrap();
        hear(&mut client, b"no");
        hear(&mut server, b"anybody there?");
        Some(seen)
    }

    #[test]
    fn host_in_a_blackhole_is_silent_and_deaf_and_back_afterwards() {
        let Some([ours, theirs]) = while_cut_off(blackhole, true) else {
            return;
        };
        assert!(
            ours.iter().all(|packet| packet.outgoing),
            "the other end was heard: {ours:?}"
        );
        assert!(
            ours.len() >= 2,
            "no retransmission: the kernel noticed that the peer is gone: {ours:?}"
        );
        assert!(
            theirs.iter().all(|packet| packet.outgoing),
            "it was not deaf: {theirs:?}"
        );
        assert!(
            !theirs.is_empty(),
            "its own kernel noticed that it is cut off"
        );
    }

    #[test]
    fn cable_taken_down_cuts_both_off_and_up_again_both_go_on() {
        let Some([ours, theirs]) = while_cut_off(cable, false) else {
            return;
        };
        assert!(ours.iter().all(|packet| packet.outgoing), "{ours:?}");
        assert!(theirs.is_empty(), "{theirs:?}");
    }
}
