//! Two hosts and a cable: network namespaces that this process holds by file descriptors, so that
//! they vanish with it.
//!
//! A namespace needs CAP_SYS_ADMIN over the user namespace that we are in. Root has it; anybody
//! else gets it in a user namespace of his own, which must be entered before the process has a
//! second thread: run the program under `unshare -Urn --mount`. Nothing is named, mounted or left
//! behind: a namespace ends with the last descriptor, socket or process in it.

use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The first host's address, on a /24.
pub const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The second host's address, on the same /24.
pub const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// An address on that /24 that nobody has: what is sent there is on the cable, and lost.
pub const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 66);
/// The name of either end of the cable.
pub const DEVICE: &str = "eth0";
/// How long a device may take to run after it was put up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
}

impl Namespace {
    /// A new, empty one with its loopback up.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN; ENOSPC past `user.max_net_namespaces`.
    pub fn new() -> io::Result<Namespace> {
        let fd = on_own_thread(|| {
            // SAFETY: only the network namespace is unshared; descriptors stay common to all
            // threads.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            configure(async |netlink| {
                netlink
                    .link()
                    .set(LinkUnspec::new_with_name("lo").up().build())
                    .execute()
                    .await
            })?;
            own_descriptor()
        })?;
        Ok(Namespace { fd })
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// Those of opening `/proc/thread-self/ns/net`.
    pub fn current() -> io::Result<Namespace> {
        Ok(Namespace {
            fd: own_descriptor()?,
        })
    }

    /// A namespace that somebody handed to us as a descriptor.
    pub fn from_fd(fd: OwnedFd) -> Namespace {
        Namespace { fd }
    }

    /// Does `work` on a thread of its own inside the namespace. Sockets opened there stay there,
    /// wherever they are used later.
    ///
    /// # Errors
    /// Those of entering it and those of `work`; a panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_own_thread(|| {
            move_into_link_name_space(self.fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }

    /// Makes `command` start inside the namespace.
    ///
    /// # Errors
    /// Those of duplicating a descriptor. Failing to enter is an error of `spawn`.
    pub fn command<'a>(&self, command: &'a mut Command) -> io::Result<&'a mut Command> {
        let fd = self.fd.try_clone()?;
        let enter = move || {
            Ok(move_into_link_name_space(
                fd.as_fd(),
                Some(LinkNameSpaceType::Network),
            )?)
        };
        // SAFETY: between fork and exec `enter` makes one system call and allocates nothing.
        Ok(unsafe { command.pre_exec(enter) })
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a cable is like. The default is what the kernel makes: MTU 1500, all offloads as they come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cable {
    /// Octets, 68 to 65535.
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
    let (a, b) = (Namespace::new()?, Namespace::new()?);
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
    ethtool::set(ethtool::GRO, cable.receive_offload)?;
    ethtool::set(
        ethtool::TSO,
        cable.segmentation_offload && cable.checksum_offload,
    )?;
    ethtool::set(ethtool::GSO, cable.segmentation_offload)?;
    ethtool::set(ethtool::TX_CHECKSUM, cable.checksum_offload)?;
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

/// Waits until this end runs, and tells it where the peer is, and the stranger, who then is not
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

/// The number of this end.
pub(crate) fn index() -> io::Result<u32> {
    Ok(name_to_index(
        &socket(AddressFamily::INET, SocketType::DGRAM, None)?,
        DEVICE,
    )?)
}

/// Waits until the device of this end is up and the other one, too. The kernel throws away what is
/// sent until it has done some work of its own on the carrier.
pub(crate) fn await_carrier() -> io::Result<()> {
    let began = Instant::now();
    while !(ethtool::carrier()? && runs()?) {
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
    let request = device_request(libc::SIOCGIFFLAGS as u32, socket.as_fd(), DEVICE)?;
    // SAFETY: SIOCGIFFLAGS filled this field.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }) & libc::IFF_RUNNING != 0)
}

/// What an ioctl says of a device (netdevice(7)) in the namespace of `socket`.
pub(crate) fn device_request(
    question: u32,
    socket: BorrowedFd<'_>,
    device: &str,
) -> io::Result<libc::ifreq> {
    // SAFETY: all-zero octets are an ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last octet stays 0.
    request
        .ifr_name
        .iter_mut()
        .zip(device.bytes().take(libc::IFNAMSIZ - 1))
        .for_each(|(to, from)| *to = from as libc::c_char);
    // SAFETY: `request` is an ifreq and outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), question as _, &raw mut request) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(request),
    }
}

/// A locally administered address made of an IPv4 address.
pub(crate) fn hardware_address(address: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = address.octets();
    vec![2, 0, a, b, c, d]
}

/// Talks rtnetlink in the calling thread's namespace.
pub(crate) fn configure<T>(
    talk: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>,
) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        let answer = talk(handle).await.map_err(plain_error);
        connection.abort();
        answer
    })
}

/// The kernel's own error number where there is one.
fn plain_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// The calling thread's namespace.
fn own_descriptor() -> io::Result<OwnedFd> {
    Ok(fs::File::open("/proc/thread-self/ns/net")?.into())
}

/// Does `work` on a short thread, so that the caller's own namespace stays what it is.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The names of all devices.
pub(crate) fn devices() -> io::Result<Vec<String>> {
    let list = fs::read_to_string("/proc/thread-self/net/dev")?;
    Ok(list
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect())
}

pub(crate) use ethtool::merges;

/// The offload switches and the carrier (linux/ethtool.h), as `ethtool` shows and sets them.
mod ethtool {
    use super::DEVICE;
    use std::io;
    use std::os::fd::AsRawFd;

    pub(super) const GRO: u32 = 0x2c;
    pub(super) const TSO: u32 = 0x1f;
    pub(super) const GSO: u32 = 0x24;
    pub(super) const TX_CHECKSUM: u32 = 0x17;
    const GET_GRO: u32 = 0x2b;
    const LINK: u32 = 0x0a;
    const SIOCETHTOOL: u32 = 0x8946;

    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }

    /// `struct ifreq` with a pointer in its union, and as long.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        value: *mut Value,
        rest: [u8; 16],
    }

    /// Sets one switch of [`DEVICE`].
    pub(super) fn set(command: u32, on: bool) -> io::Result<()> {
        ask(DEVICE, command, u32::from(on)).map(|_| ())
    }

    /// Whether [`DEVICE`] has a carrier. The kernel (since 6.8) does first what it still has to do
    /// because of it.
    pub(super) fn carrier() -> io::Result<bool> {
        Ok(ask(DEVICE, LINK, 0)? != 0)
    }

    /// Whether a device merges what arrives (GRO).
    pub(crate) fn merges(device: &str) -> io::Result<bool> {
        Ok(ask(device, GET_GRO, 0)? != 0)
    }

    fn ask(device: &str, command: u32, data: u32) -> io::Result<u32> {
        let mut value = Value { command, data };
        let mut request = Request {
            name: [0; libc::IFNAMSIZ],
            value: &raw mut value,
            rest: [0; 16],
        };
        // The last octet stays 0.
        request
            .name
            .iter_mut()
            .zip(device.bytes().take(libc::IFNAMSIZ - 1))
            .for_each(|(to, from)| *to = from);
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::DGRAM,
            None,
        )?;
        // SAFETY: `request` is at least as long as the kernel's ifreq, and `value` outlives the
        // call.
        match unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(value.data),
        }
    }
}

/// Two hosts for a test, where the machine allows them.
#[cfg(test)]
pub(crate) fn pair_or_skip(cable: Cable) -> Option<(Namespace, Namespace)> {
    pair(cable)
        .inspect_err(|error| {
            crate::skip::skip(format_args!("a network namespace cannot be made: {error}"))
        })
        .ok()
}

/// The same without offloads.
#[cfg(test)]
pub(crate) fn plain_pair() -> Option<(Namespace, Namespace)> {
    pair_or_skip(Cable::PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn pair_made_kernels_tcp_connects_across() {
        let Some((a, b)) = pair_or_skip(Cable::default()) else {
            return;
        };
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let mut client = a.run(|| TcpStream::connect((B, 7))).unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), A);
        client.write_all(b"over the cable").unwrap();
        drop(client);
        let mut heard = String::new();
        server.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "over the cable");
    }

    #[test]
    fn pair_made_the_first_packet_of_either_end_arrives() {
        for _ in 0..20 {
            let Some((a, b)) = pair_or_skip(Cable::PLAIN) else {
                return;
            };
            let bind =
                |space: &Namespace, own| space.run(|| std::net::UdpSocket::bind((own, 9))).unwrap();
            let [one, other] = [bind(&a, A), bind(&b, B)];
            one.send_to(b"x", (B, 9)).unwrap();
            other.send_to(b"y", (A, 9)).unwrap();
            for (name, socket) in [("b's", one), ("a's", other)] {
                socket
                    .set_read_timeout(Some(Duration::from_secs(2)))
                    .unwrap();
                assert_eq!(
                    socket
                        .recv(&mut [0; 2])
                        .map_err(|error| format!("{name}: {error}")),
                    Ok(1)
                );
            }
        }
    }

    #[test]
    fn command_spawned_runs_inside() {
        let Some((a, _b)) = pair_or_skip(Cable {
            mtu: 9000,
            ..Cable::PLAIN
        }) else {
            return;
        };
        let mut cat = Command::new("cat");
        let output = a
            .command(cat.arg("/proc/self/net/fib_trie"))
            .unwrap()
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("10.77.0.1"));
        assert!(
            !fs::read_to_string("/proc/thread-self/net/fib_trie")
                .unwrap()
                .contains("10.77.0.1"),
            "the caller stays outside"
        );
    }

    #[test]
    fn pair_dropped_namespaces_are_gone() {
        let Some((a, b)) = pair_or_skip(Cable::default()) else {
            return;
        };
        let socket = a.run(|| std::net::UdpSocket::bind((A, 0))).unwrap();
        drop(b);
        // The far end went with its namespace, and this end with it, asynchronously: the kernel
        // tells by the error of the next send.
        let gone = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(5));
            socket.send_to(b"x", (B, 9)).is_err()
        });
        assert!(gone, "the cable outlived its far end");
    }
}
