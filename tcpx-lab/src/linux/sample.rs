//! Packets made by hand, and a connection of the kernel's, for tests of captures.

use super::capture::Packet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use tcpx::netns::{A, B, Namespace};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options};

/// A segment between port 9 of A and port 7 of B.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) at: f64,
    /// From A to B.
    pub(super) out: bool,
    pub(super) flags: &'static str,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) text: &'static [u8],
    pub(super) id: u16,
    pub(super) scale: Option<u8>,
}

impl Sample {
    /// A SYN of A.
    pub(super) const SYN: Sample = Sample {
        at: 0.0,
        out: true,
        flags: "S",
        seq: 100,
        ack: 0,
        text: b"",
        id: 1,
        scale: None,
    };

    /// From the IP header on.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.bytes_from(if self.out {
            (A, 9).into()
        } else {
            (B, 7).into()
        })
    }

    /// The same, from another source address.
    pub(super) fn bytes_from(&self, source: SocketAddr) -> Vec<u8> {
        let destination = if self.out {
            (B, 7).into()
        } else {
            (A, 9).into()
        };
        let flags = Flags::from_letters(self.flags).unwrap();
        let options = Options {
            window_scale: self.scale,
            ..Options::default()
        };
        let seq = Seq(self.seq);
        let ack = Seq(self.ack);
        let id = self.id;
        let header = Header {
            source,
            destination,
            seq,
            ack,
            flags,
            window: 10,
            urgent: 0,
            options,
            ttl: 64,
            tos: 0,
            id,
        };
        let mut bytes = vec![0; 1500];
        let length = header.emit((self.text, &[]), &mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// As the capture of A's end has it.
    pub(super) fn packet(&self) -> Packet {
        Packet {
            at: self.at,
            outgoing: self.out,
            bytes: self.bytes(),
        }
    }

    /// As the capture of B's end has it.
    pub(super) fn arrived(&self) -> Packet {
        Packet {
            outgoing: !self.out,
            ..self.packet()
        }
    }
}

/// A connection of the kernel's that says hello and is closed.
pub(super) fn hello(a: &Namespace, b: &Namespace) {
    let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
    let mut client = a.run(|| TcpStream::connect((B, 7))).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    drop(client);
    server.read_to_end(&mut Vec::new()).unwrap();
}
