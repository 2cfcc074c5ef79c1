//! Requests to the kernel of a namespace: sysctls, counters, a forged
//! packet.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;
use std::{fs, io, thread};
use tcpx::netns::Namespace;

/// Sets a sysctl below `net.` in the namespace. `conf.eth0` is written with dots like the rest.
///
/// # Errors
/// There is no such sysctl, it is not the namespace's own, or the value is not for it.
pub fn sysctl(inside: &Namespace, name: &str, value: &str) -> io::Result<()> {
    // /proc/sys/net shows the namespace of the thread that opens it.
    inside.run(|| fs::write(path(name), value))
}

/// What a sysctl is in the namespace.
///
/// # Errors
/// There is no such sysctl.
pub fn sysctl_value(inside: &Namespace, name: &str) -> io::Result<String> {
    inside.run(|| Ok(fs::read_to_string(path(name))?.trim().to_owned()))
}

fn path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

/// The counters of the namespace's TCP, by the names that nstat prints: `TcpRetransSegs`,
/// `TcpExtListenDrops`.
///
/// # Errors
/// Those of reading /proc.
pub fn counters(inside: &Namespace) -> io::Result<BTreeMap<String, u64>> {
    inside.run(|| {
        let text = ["snmp", "netstat"]
            .map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")));
        let [snmp, netstat] = text;
        let mut all = table(&snmp?);
        let rest = table(&netstat?);
        all.extend(rest);
        Ok(all)
    })
}

/// Lines come in pairs, names and then numbers. A limit that is not there is -1, and no counter.
fn table(text: &str) -> BTreeMap<String, u64> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.chunks_exact(2).filter_map(|pair| {
        let ((kind, names), (_, values)) = (pair[0].split_once(':')?, pair[1].split_once(':')?);
        ["Tcp", "TcpExt"]
            .contains(&kind)
            .then_some((kind, names, values))
    });
    let counter = |(kind, name, value): (&str, &str, &str)| {
        Some((format!("{kind}{name}"), value.parse().ok()?))
    };
    pairs
        .flat_map(|(kind, names, values)| {
            names
                .split_whitespace()
                .zip(values.split_whitespace())
                .map(move |(name, value)| (kind, name, value))
        })
        .filter_map(counter)
        .collect()
}

/// By how much counters have changed; those that have not are left out. `TcpCurrEstab` counts what
/// there is, and may go down.
pub fn difference(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> BTreeMap<String, i64> {
    let change = |(name, now): (&String, &u64)| {
        (
            name.clone(),
            now.cast_signed() - before.get(name).map_or(0, |then| then.cast_signed()),
        )
    };
    after
        .iter()
        .map(change)
        .filter(|(_, change)| *change != 0)
        .collect()
}

/// Sends an IPv4 packet out of the namespace as it is, whatever its source address. The kernel
/// writes the total length, the header's checksum, and the id where that is 0; and this namespace's
/// own captures see it as sent.
///
/// The other end takes it where its `rp_filter` allows the source: 0, which namespaces have where
/// the machine does.
///
/// # Errors
/// It is no IPv4 packet, it is longer than the MTU, or there is no way to its destination.
pub fn send(inside: &Namespace, packet: &[u8]) -> io::Result<()> {
    send_all(inside, [packet].into_iter())
}

/// The same with many, not faster than their receiver can be expected to read them.
///
/// # Errors
/// Those of [`send`].
pub fn send_all<'a>(
    inside: &Namespace,
    packets: impl Iterator<Item = &'a [u8]> + Send,
) -> io::Result<()> {
    inside.run(|| {
        let socket = Socket::new(
            Domain::IPV4,
            Type::RAW,
            Some(Protocol::from(libc::IPPROTO_RAW)),
        )?;
        // A RST from a port of the pair passes its guard by the pair's own mark.
        socket.set_mark(tcpx::link::MARK)?;
        for (nth, packet) in packets.enumerate() {
            let destination: Option<&[u8; 4]> =
                packet.get(16..20).and_then(|bytes| bytes.first_chunk());
            let destination = destination.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "not a whole IPv4 header")
            })?;
            socket.send_to(
                packet,
                &SockAddr::from(SocketAddrV4::new(Ipv4Addr::from(*destination), 0)),
            )?;
            if nth % BURST == BURST - 1 {
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    })
}

/// So many packets fit into any receive buffer.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::capture::{Capture, Packet};
    use crate::linux::sample::Sample;
    use crate::pair::plain_pair;
    use crate::skip::skip;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use tcpx::netns::{A, B};
    use tcpx_proto::wire::{ChecksumPolicy, Flags, Segment};

    #[test]
    fn sysctl_set_inside_is_set_there_alone() {
        let Some((a, b)) = plain_pair() else { return };
        let name = "net.ipv4.tcp_retries2";
        let before = sysctl_value(&b, name).unwrap();
        sysctl(&a, name, "3").unwrap();
        assert_eq!(sysctl_value(&a, name).unwrap(), "3");
        assert_eq!(sysctl_value(&b, name).unwrap(), before);
        assert!(sysctl(&a, "net.ipv4.tcp_no_such", "1").is_err());
    }

    #[test]
    fn counters_tell_what_a_connection_and_a_refusal_did() {
        let Some((a, b)) = plain_pair() else { return };
        let before = counters(&a).unwrap();
        let listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let client = a.run(|| TcpStream::connect((B, 7))).unwrap();
        assert!(a.run(|| TcpStream::connect((B, 8))).is_err());
        let change = difference(&before, &counters(&a).unwrap());
        assert_eq!(
            (
                change.get("TcpActiveOpens"),
                change.get("TcpAttemptFails"),
                change.get("TcpCurrEstab")
            ),
            (Some(&2), Some(&1), Some(&1))
        );
        assert!(
            counters(&a).unwrap().contains_key("TcpExtListenDrops")
                && !change.contains_key("TcpExtListenDrops")
        );
        drop((client, listener));
    }

    #[test]
    fn reset_in_the_name_of_one_of_the_pair_passes_its_guard() {
        let Some((a, b)) = plain_pair() else { return };
        let rule = "-A OUTPUT -p tcp --tcp-flags RST RST -m mark ! --mark 0x70 -j DROP";
        let mut iptables = std::process::Command::new("iptables");
        if !a
            .command(iptables.arg("-w").args(rule.split(' ')))
            .unwrap()
            .status()
            .is_ok_and(|status| status.success())
        {
            return skip("there is no iptables");
        }
        let capture = Capture::start(&b).unwrap();
        let reset = Sample {
            flags: "R",
            id: 78,
            ..Sample::SYN
        };
        send(&a, &reset.bytes()).unwrap();
        let seen = |packet: &Packet| {
            Segment::parse(&packet.bytes, ChecksumPolicy::Strict)
                .is_ok_and(|segment| segment.header.id == 78)
        };
        assert!(capture.stop().unwrap().iter().any(seen));
    }

    #[test]
    fn packet_from_an_address_that_is_not_ours_reaches_the_other_end() {
        let Some((a, b)) = plain_pair() else { return };
        sysctl(&b, "net.ipv4.conf.all.rp_filter", "0").unwrap();
        sysctl(&b, "net.ipv4.conf.eth0.rp_filter", "0").unwrap();
        let _listener = b.run(|| TcpListener::bind((B, 7))).unwrap();
        let capture = Capture::start(&b).unwrap();
        let before = counters(&b).unwrap();
        let syn = Sample {
            id: 77,
            ..Sample::SYN
        };
        let stranger = SocketAddr::new(Ipv4Addr::new(10, 77, 0, 99).into(), 4000);
        send(&a, &syn.bytes_from(stranger)).unwrap();
        send(&a, &syn.bytes()).unwrap();
        // The answer to the neighbour that is there is a RST: its kernel knows nothing of it.
        let packets = capture.stop().unwrap();
        let from = |packet: &&Packet| !packet.outgoing;
        let sources: Vec<SocketAddr> = packets
            .iter()
            .filter(from)
            .map(|packet| {
                Segment::parse(&packet.bytes, ChecksumPolicy::Strict)
                    .unwrap()
                    .header
            })
            .filter(|header| header.flags == Flags::SYN && header.id == 77)
            .map(|header| header.source)
            .collect();
        assert_eq!(sources, [stranger, (A, 9).into()]);
        let change = difference(&before, &counters(&b).unwrap());
        assert!(
            change
                .get("TcpInSegs")
                .is_some_and(|segments| *segments >= 2),
            "the listener did not get both: {change:?}"
        );
        assert_eq!(
            send(&a, &[0; 10]).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert!(send(&a, &[0x45; 2000]).is_err());
    }
}
