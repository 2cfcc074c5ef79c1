//! smoltcp as a server on a TUN device, for a client of the kernel.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address};
use tcpx_tests::tun::Tun;

/// Its address: the device's network without the host's own.
pub(crate) const ADDRESS: Ipv4Address = Ipv4Address::new(10, 78, 0, 2);
const MTU: usize = 1500;
const BUFFER: usize = 1 << 18;
/// Sockets that listen: a SYN finds one while another still ends.
const SOCKETS: usize = 16;

struct Wire<'a> {
    tun: &'a Tun,
    packet: Vec<u8>,
}

struct Rx<'a>(&'a [u8]);
struct Tx<'a>(&'a Tun);

impl RxToken for Rx<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = [0; MTU];
        let packet = packet.get_mut(..len).unwrap_or_default();
        let result = f(packet);
        // What the device does not take is lost, as on a network.
        _ = self.0.write(packet);
        result
    }
}

impl Device for Wire<'_> {
    type RxToken<'a>
        = Rx<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Tx<'a>
    where
        Self: 'a;

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = MTU;
        capabilities.medium = Medium::Ip;
        capabilities
    }

    fn receive(&mut self, _: Instant) -> Option<(Rx<'_>, Tx<'_>)> {
        let packet = self.tun.read(&mut self.packet).ok()??;
        Some((Rx(packet), Tx(self.tun)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(self.tun))
    }
}

/// Serves connections until all is over, without ever sleeping, which is the fastest it can do:
/// reads, echoes where asked to, and closes after the peer.
pub(crate) fn serve(tun: &Tun, port: u16, echo: bool, over: &AtomicBool) -> io::Result<()> {
    let mut device = Wire {
        tun,
        packet: vec![0; 1 << 16],
    };
    let mut interface = Interface::new(
        Config::new(HardwareAddress::Ip),
        &mut device,
        Instant::now(),
    );
    interface.update_ip_addrs(|addresses| {
        // An empty list has room for one.
        _ = addresses.push(IpCidr::new(IpAddress::Ipv4(ADDRESS), 16));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let handles: Vec<_> = (0..SOCKETS)
        .map(|_| {
            sockets.add(Socket::new(
                SocketBuffer::new(vec![0; BUFFER]),
                SocketBuffer::new(vec![0; BUFFER]),
            ))
        })
        .collect();
    let mut text = vec![0; BUFFER];
    while !over.load(Ordering::Relaxed) {
        for handle in &handles {
            let socket = sockets.get_mut::<Socket<'_>>(*handle);
            if !socket.is_open() {
                socket.set_nagle_enabled(false);
                socket.listen(port).map_err(io::Error::other)?;
            }
            while socket.can_recv() {
                let got = socket.recv_slice(&mut text).map_err(io::Error::other)?;
                if echo {
                    let heard = text.get(..got).unwrap_or_default();
                    socket.send_slice(heard).map_err(io::Error::other)?;
                }
            }
            if socket.may_send() && !socket.may_recv() {
                socket.close();
            }
        }
        interface.poll(Instant::now(), &mut device, &mut sockets);
    }
    Ok(())
}
