//! Raw sockets and packet sockets behind classic BPF programs that let only our segments in (IPv4:
//! offset 0 is the IP header).

use crate::capability::Capability;
use crate::error::Error;
use libc::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_IND, BPF_JEQ, BPF_JGE, BPF_JGT,
    BPF_JMP, BPF_K, BPF_LD,
};
use libc::{BPF_LDX, BPF_LSH, BPF_MISC, BPF_MSH, BPF_RET, BPF_TAX, BPF_W, BPF_X};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use tcpx_proto::seq::Seq;

/// A raw socket that is deaf until [`aim`]ed.
pub(crate) fn open_raw(protocol: Protocol, act: &'static str) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(protocol))
        .map_err(Error::needs(Capability::NetRaw, act))?;
    socket
        .attach_filter(&nothing())
        .map_err(Error::io("attach a socket filter"))?;
    Ok(socket)
}

/// Points a socket at the wanted packets. A filter does not purge what arrived before it, so the
/// socket is made deaf first, and its queue emptied.
pub(crate) fn aim(socket: &Socket, filter: &[SockFilter]) -> Result<(), Error> {
    socket
        .attach_filter(&nothing())
        .map_err(Error::io("attach a socket filter"))?;
    let dont_wait = libc::MSG_DONTWAIT;
    while socket
        .recv_with_flags(&mut [std::mem::MaybeUninit::uninit()], dont_wait)
        .is_ok()
    {}
    socket
        .attach_filter(filter)
        .map_err(Error::io("attach a socket filter"))
}

/// Lets nothing through.
pub(crate) fn nothing() -> [SockFilter; 1] {
    [ret(0)]
}

/// Segments to our address and one of our ports.
pub(crate) fn segments_for(address: IpAddr, ports: &RangeInclusive<u16>) -> Vec<SockFilter> {
    let mut program = Program::default();
    program.word(16).only(BPF_JEQ, bits(address)); // destination address
    program.ip_header_len(); // X = bytes of the IP header
    program.add(BPF_LD | BPF_H | BPF_IND, 2).within(ports); // destination port
    program.finish()
}

/// The same for a packet socket, which is below the kernel's IP: of what was sent to this machine,
/// TCP segments that are not fragments any more, and not from or to an address of our own that came
/// from elsewhere (RFC 1122 3.2.1.3 (g)).
pub(crate) fn received_segments_for(
    address: IpAddr,
    ports: &RangeInclusive<u16>,
) -> Vec<SockFilter> {
    const LOOPBACK: u32 = libc::ARPHRD_LOOPBACK as u32;
    const OF_THE_PACKET: u32 = libc::SKF_AD_OFF as u32;
    let mut program = Program::default();
    program
        .add(
            BPF_LD | BPF_W | BPF_ABS,
            OF_THE_PACKET.wrapping_add(libc::SKF_AD_PKTTYPE as u32),
        )
        .only(BPF_JEQ, u32::from(libc::PACKET_HOST));
    program
        .add(BPF_LD | BPF_B | BPF_ABS, 9)
        .only(BPF_JEQ, libc::IPPROTO_TCP as u32);
    program
        .add(BPF_LD | BPF_H | BPF_ABS, 6)
        .add(BPF_ALU | BPF_AND | BPF_K, 0x3fff)
        .only(BPF_JEQ, 0);
    program.word(16).only(BPF_JEQ, bits(address));
    program.add(
        BPF_LD | BPF_W | BPF_ABS,
        OF_THE_PACKET.wrapping_add(libc::SKF_AD_HATYPE as u32),
    );
    if address.is_loopback() {
        program.only(BPF_JEQ, LOOPBACK);
    } else {
        program.skip_if(LOOPBACK, 4);
        program.word(12).except(bits(address)); // source address
        program.add(BPF_LD | BPF_B | BPF_ABS, 12).except(127);
    }
    program.ip_header_len();
    program.add(BPF_LD | BPF_H | BPF_IND, 2).within(ports);
    program.finish()
}

/// Segments from our own address that acknowledge this: what the guard's probe listens for.
pub(crate) fn acknowledges(address: IpAddr, ack: Seq) -> Vec<SockFilter> {
    let mut program = Program::default();
    program.word(12).only(BPF_JEQ, bits(address)); // source address
    program.ip_header_len();
    program
        .add(BPF_LD | BPF_W | BPF_IND, 8)
        .only(BPF_JEQ, ack.0);
    program.finish()
}

/// ICMP errors (RFC 792) that quote a TCP segment from our address and one of our ports.
pub(crate) fn icmp_errors_for(address: IpAddr, ports: &RangeInclusive<u16>) -> Vec<SockFilter> {
    const QUOTE: u32 = 8; // bytes of the ICMP header, after which the quoted IP header begins
    let mut program = Program::default();
    program.word(16).only(BPF_JEQ, bits(address));
    program.ip_header_len();
    program
        .add(BPF_LD | BPF_B | BPF_IND, QUOTE + 9)
        .only(BPF_JEQ, libc::IPPROTO_TCP as u32);
    program
        .add(BPF_LD | BPF_W | BPF_IND, QUOTE + 12)
        .only(BPF_JEQ, bits(address)); // quoted source
    // X += bytes of the quoted IP header
    program
        .add(BPF_LD | BPF_B | BPF_IND, QUOTE)
        .add(BPF_ALU | BPF_AND | BPF_K, 0x0f)
        .add(BPF_ALU | BPF_LSH | BPF_K, 2);
    program
        .add(BPF_ALU | BPF_ADD | BPF_X, 0)
        .add(BPF_MISC | BPF_TAX, 0);
    program.add(BPF_LD | BPF_H | BPF_IND, QUOTE).within(ports); // quoted source port
    program.finish()
}

/// A program under construction: each check either goes on to the next instruction or jumps to the
/// refusal at the end.
#[derive(Default)]
struct Program(Vec<(u32, u32, Jump)>);

#[derive(Clone, Copy)]
enum Jump {
    None,
    RefuseUnless,
    RefuseIf,
    SkipIf(u8),
}

impl Program {
    fn add(&mut self, code: u32, k: u32) -> &mut Program {
        self.0.push((code, k, Jump::None));
        self
    }

    /// Loads the 32-bit word at a fixed offset.
    fn word(&mut self, offset: u32) -> &mut Program {
        self.add(BPF_LD | BPF_W | BPF_ABS, offset)
    }

    /// X = bytes of the IP header, by its IHL.
    fn ip_header_len(&mut self) -> &mut Program {
        self.add(BPF_LDX | BPF_B | BPF_MSH, 0)
    }

    fn only(&mut self, test: u32, k: u32) -> &mut Program {
        self.0.push((BPF_JMP | test | BPF_K, k, Jump::RefuseUnless));
        self
    }

    fn except(&mut self, k: u32) -> &mut Program {
        self.0.push((BPF_JMP | BPF_JEQ | BPF_K, k, Jump::RefuseIf));
        self
    }

    /// Passes over the next instructions when the value is this.
    fn skip_if(&mut self, k: u32, instructions: u8) {
        let skip = Jump::SkipIf(instructions);
        self.0.push((BPF_JMP | BPF_JEQ | BPF_K, k, skip));
    }

    fn within(&mut self, range: &RangeInclusive<u16>) -> &mut Program {
        self.only(BPF_JGE, u32::from(*range.start()));
        self.0.push((
            BPF_JMP | BPF_JGT | BPF_K,
            u32::from(*range.end()),
            Jump::RefuseIf,
        ));
        self
    }

    fn finish(self) -> Vec<SockFilter> {
        let len = self.0.len();
        let instruction = |(at, (code, k, jump)): (usize, (u32, u32, Jump))| {
            let refusal = (len - at) as u8; // over the rest and the acceptance
            let (if_true, if_false) = match jump {
                Jump::None => (0, 0),
                Jump::RefuseUnless => (0, refusal),
                Jump::RefuseIf => (refusal, 0),
                Jump::SkipIf(instructions) => (instructions, 0),
            };
            SockFilter::new(code as u16, if_true, if_false, k)
        };
        let mut program: Vec<SockFilter> =
            self.0.into_iter().enumerate().map(instruction).collect();
        program.extend([ret(u32::MAX), ret(0)]);
        program
    }
}

fn ret(bytes: u32) -> SockFilter {
    SockFilter::new((BPF_RET | BPF_IMM) as u16, 0, 0, bytes)
}

/// The address as BPF loads it. IPv6 raw sockets deliver no IP header, so there the destination is
/// not the filter's to check.
fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(_) => 0,
    }
}
