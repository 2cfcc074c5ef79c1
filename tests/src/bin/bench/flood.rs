//! SYNs from addresses that do not exist, as fast as one thread can send them, and how many of them
//! are answered.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tcpx::netns::{self, Cable, Namespace};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options};

use crate::table::Table;
use crate::wire::{PORT, Side, inside};

/// 198.18.0.0/15 is for such measurements (RFC 2544).
const FORGED: u32 = 0xc612_0000;

/// The tables of rates and of shares.
pub(crate) fn run(rounds: usize, quick: bool) -> io::Result<[Table; 2]> {
    let syns = if quick { 20_000 } else { 100_000 };
    let mut rates = Table::new("Wire: SYN,ACKs/s under a flood of SYNs", false);
    let mut shares = Table::new("Wire: % of the SYNs of that flood that are answered", false);
    for round in 0..rounds as u32 {
        for (name, side) in [
            ("kernel", Side::Kernel),
            ("tcpx", Side::RAW),
            ("tcpx, packet link", Side::PACKET),
        ] {
            let (rate, share) = measure(side, round, syns)?;
            rates.add(name, rate);
            shares.add(name, share);
        }
    }
    Ok([rates, shares])
}

fn measure(side: Side, round: u32, syns: u32) -> io::Result<(f64, f64)> {
    let (a, b) = netns::pair(Cable::PLAIN)?;
    // The way back is to the sender, which drops what is not for it.
    let mut route = Command::new("ip");
    route.args(["route", "add", "198.18.0.0/15", "via"]);
    b.command(route.arg(netns::A.to_string()))?.status()?;
    let (ready, wait) = std::sync::mpsc::channel();
    let (over, end) = tokio::sync::oneshot::channel::<()>();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            inside(&b, async move || {
                let _listening = side.listen(netns::B.into()).await?;
                ready.send(()).map_err(io::Error::other)?;
                end.await.map_err(io::Error::other)
            })
        });
        wait.recv()
            .map_err(|_| io::Error::other("the server did not start"))?;
        let before = answers(&a)?;
        let start = Instant::now();
        a.run(|| flood(round, syns))?;
        let answered = settled(&a)? - before;
        let spent = start.elapsed().as_secs_f64() - QUIET.as_secs_f64();
        _ = over.send(());
        serving
            .join()
            .map_err(|_| io::Error::other("the server failed"))??;
        let answered = answered as f64;
        Ok((answered / spent, 100.0 * answered / f64::from(syns)))
    })
}

/// For so long nothing comes any more.
const QUIET: Duration = Duration::from_millis(100);

fn settled(a: &Namespace) -> io::Result<u64> {
    let mut last = answers(a)?;
    loop {
        thread::sleep(QUIET);
        match answers(a)? {
            now if now == last => return Ok(now),
            now => last = now,
        }
    }
}

/// Packets that the sender's end of the cable received.
fn answers(a: &Namespace) -> io::Result<u64> {
    let list = a.run(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
    let device = format!("{}:", netns::DEVICE);
    list.lines()
        .find_map(|line| line.trim().strip_prefix(&device))
        .and_then(|counters| counters.split_whitespace().nth(1)?.parse().ok())
        .ok_or_else(|| io::Error::other("no counters of the cable"))
}

fn flood(round: u32, syns: u32) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::TCP))?;
    socket.set_header_included_v4(true)?;
    let to = SocketAddr::new(netns::B.into(), 0).into();
    let mut packet = [0; 60];
    for nth in 0..syns {
        let peer = Ipv4Addr::from_bits(FORGED + (round * syns + nth) % (1 << 17));
        let header = Header {
            source: (peer, 1024 + (nth % 60_000) as u16).into(),
            destination: (netns::B, PORT).into(),
            seq: Seq(nth),
            ack: Seq(0),
            flags: Flags::SYN,
            window: 65_535,
            urgent: 0,
            options: Options {
                mss: Some(1460),
                ..Options::default()
            },
            ttl: 64,
            tos: 0,
            id: 1,
        };
        let len = header
            .emit((&[], &[]), &mut packet)
            .map_err(|_| io::Error::other("too long"))?;
        socket.send_to(packet.get(..len).unwrap_or_default(), &to)?;
    }
    Ok(())
}
