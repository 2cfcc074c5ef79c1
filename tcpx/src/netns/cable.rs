//! The cable between two namespaces.

use super::device::{self, index};
use super::netlink::configure;
use super::{A, B, DEVICE, Namespace, STRANGER};
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::net::{AddressFamily, SocketType, socket};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

/// How long a device may take to run after it was put up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a cable is like. The default is what the kernel makes: MTU 1500, all offloads as they come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cable {
    /// Bytes, 68 to 65535.
    pub mtu: u16,
    /// Merge segments that arrive (GRO).
    pub receive_offload: bool,
    /// Let the kernel's TCP send segments above the MTU (TSO, GSO), which then arrive so.
    pub segmentation_offload: bool,
    /// Let the kernel's TCP leave the checksum partial.
    pub checksum_offload: bool,
}

impl Default for Cable {
    fn default() -> Cable {
        Cable {
            mtu: 1500,
            receive_offload: true,
            segmentation_offload: true,
            checksum_offload: true,
        }
    }
}

impl Cable {
    /// Every packet as it is: no offloads.
    pub const PLAIN: Cable = Cable {
        mtu: 1500,
        receive_offload: false,
        segmentation_offload: false,
        checksum_offload: false,
    };
}

/// Two namespaces with [`A`] and [`B`] on a cable; each knows the other's hardware address, so that
/// no packet waits for ARP.
///
/// # Errors
/// Those of [`Namespace::new`]; EOPNOTSUPP where the kernel has no veth.
pub fn pair(cable: Cable) -> io::Result<(Namespace, Namespace)> {
    let a = Namespace::new()?;
    let b = Namespace::new()?;
    a.run(|| {
        configure(async |netlink| {
            netlink
                .link()
                .add(cable_message(cable, b.fd()))
                .execute()
                .await
        })
    })?;
    a.run(|| attach(cable, A))?;
    b.run(|| attach(cable, B))?;
    a.run(|| acquaint(B))?;
    b.run(|| acquaint(A))?;
    Ok((a, b))
}

/// The message that makes a veth pair: one end here, the other in `peer`.
fn cable_message(cable: Cable, peer: BorrowedFd<'_>) -> LinkMessage {
    let end = LinkMessageBuilder::<LinkUnspec>::new()
        .name(DEVICE)
        .mtu(u32::from(cable.mtu))
        .address(hardware_address(B))
        .setns_by_fd(peer.as_raw_fd())
        .build();
    LinkVeth::new(DEVICE, DEVICE)
        .mtu(u32::from(cable.mtu))
        .address(hardware_address(A))
        .set_info_data(InfoData::Veth(InfoVeth::Peer(end)))
        .build()
}

/// Gives this end its offloads and its address, and puts it up.
fn attach(cable: Cable, own: Ipv4Addr) -> io::Result<()> {
    device::set(device::GRO, cable.receive_offload)?;
    device::set(
        device::TSO,
        cable.segmentation_offload && cable.checksum_offload,
    )?;
    device::set(device::GSO, cable.segmentation_offload)?;
    device::set(device::TX_CHECKSUM, cable.checksum_offload)?;
    let index = index()?;
    configure(async |netlink| {
        netlink
            .link()
            .set(LinkUnspec::new_with_index(index).up().build())
            .execute()
            .await?;
        netlink.address().add(index, own.into(), 24).execute().await
    })
}

/// Waits until this end runs, and tells it where the peer is, and the third host, which then is not
/// asked for.
fn acquaint(peer: Ipv4Addr) -> io::Result<()> {
    await_carrier()?;
    let index = index()?;
    configure(async |netlink| {
        for other in [peer, STRANGER] {
            netlink
                .neighbours()
                .add(index, other.into())
                .link_layer_address(&hardware_address(other))
                .execute()
                .await?;
        }
        Ok(())
    })
}

/// Waits until the device of this end is up and the other one, too. The kernel throws away what is
/// sent until it has done some work of its own on the carrier.
pub fn await_carrier() -> io::Result<()> {
    let began = Instant::now();
    while !(device::carrier()? && runs()?) {
        if began.elapsed() > PATIENCE {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the other end of the cable is not up",
            ));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn runs() -> io::Result<bool> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let request = device::request(libc::SIOCGIFFLAGS as u32, socket.as_fd(), DEVICE)?;
    // SAFETY: SIOCGIFFLAGS filled this field.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }) & libc::IFF_RUNNING != 0)
}

/// A locally administered address made of an IPv4 address.
pub fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    vec![2, 0, a, b, c, d]
}
