//! Captured packets read a second time, by pnet: the lab judges the engine by what its own codec
//! reads, and a codec does not see its own mistakes.

use super::capture::Packet;
use pnet::Packet as _;
use pnet::ip::IpNextHeaderProtocols;
use pnet::ipv4::Ipv4Packet;
use pnet::tcp::{TcpOption, TcpPacket};
use std::net::{IpAddr, SocketAddr};
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{ChecksumPolicy, FastOpenCookie, Flags, Options, Segment, Timestamps};

/// What both readers can tell of a TCP segment.
#[derive(Clone, PartialEq, Debug)]
struct Reading {
    source: SocketAddr,
    destination: SocketAddr,
    id: u16,
    seq: Seq,
    ack: Seq,
    flags: Flags,
    window: u16,
    urgent: u16,
    options: Options,
    text: Vec<u8>,
}

/// Reads every packet with both codecs. What ours refuses is in no record: it is left out.
///
/// # Errors
/// The first packet about which they disagree.
pub fn agree(packets: &[Packet]) -> Result<(), String> {
    agree_with(packets, ours)
}

fn agree_with(packets: &[Packet], ours: fn(&[u8]) -> Option<Reading>) -> Result<(), String> {
    for packet in packets {
        let Some(mut ours) = ours(&packet.bytes) else {
            continue;
        };
        let theirs = pnets(&packet.bytes);
        if let Some(theirs) = &theirs
            && theirs.options.is_none()
        {
            // An option area that is cut short: pnet has no words for it.
            ours.options = Options::default();
        }
        let theirs = theirs.map(|read| Reading {
            options: read.options.unwrap_or_default(),
            ..read.header
        });
        if theirs.as_ref() != Some(&ours) {
            return Err(format!(
                "two readers of one packet disagree: tcpx reads {ours:?}, pnet {theirs:?}"
            ));
        }
    }
    Ok(())
}

fn ours(packet: &[u8]) -> Option<Reading> {
    let segment = Segment::parse(packet, ChecksumPolicy::Ignore).ok()?;
    let header = segment.header;
    Some(Reading {
        source: header.source,
        destination: header.destination,
        id: header.id,
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        urgent: header.urgent,
        options: header.options,
        text: segment.payload.to_vec(),
    })
}

/// A segment as pnet reads it; `options` is `None` where the option area is cut short.
struct Pnets {
    header: Reading,
    options: Option<Options>,
}

fn pnets(packet: &[u8]) -> Option<Pnets> {
    let ip = Ipv4Packet::new(packet)?;
    if ip.get_version() != 4 || ip.get_next_level_protocol() != IpNextHeaderProtocols::Tcp {
        return None;
    }
    let begin = usize::from(ip.get_header_length()) * 4;
    let end = usize::from(ip.get_total_length());
    let tcp = TcpPacket::new(packet.get(begin..end)?)?;
    let header = Reading {
        source: SocketAddr::new(IpAddr::V4(ip.get_source()), tcp.get_source()),
        destination: SocketAddr::new(IpAddr::V4(ip.get_destination()), tcp.get_destination()),
        id: ip.get_identification(),
        seq: Seq(tcp.get_sequence()),
        ack: Seq(tcp.get_acknowledgement()),
        flags: Flags(tcp.get_flags()),
        window: tcp.get_window(),
        urgent: tcp.get_urgent_ptr(),
        options: Options::default(),
        text: tcp.payload().to_vec(),
    };
    let area = packet.get(begin + 20..begin + usize::from(tcp.get_data_offset()) * 4)?;
    let options = if is_whole(area) {
        Some(meaning(&tcp.get_options()))
    } else {
        None
    };
    Some(Pnets { header, options })
}

/// Whether each option of an area ends within it: pnet's iterator trusts their lengths.
fn is_whole(mut area: &[u8]) -> bool {
    loop {
        area = match area {
            [] | [0, ..] => return true,
            [1, rest @ ..] => rest,
            [_, length, ..] if *length >= 2 => match area.get(usize::from(*length)..) {
                Some(rest) => rest,
                None => return false,
            },
            _ => return false,
        }
    }
}

/// The options that tcpx knows; of a kind that comes twice the last one counts.
fn meaning(list: &[TcpOption]) -> Options {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |all, byte| all << 8 | u32::from(*byte))
    };
    let mut options = Options::default();
    for option in list.iter().take_while(|option| option.number.0 != 0) {
        match (option.number.0, &option.data[..]) {
            (2, [high, low]) => options.mss = Some(u16::from_be_bytes([*high, *low])),
            (3, [shift]) => options.window_scale = Some(*shift),
            (4, []) => options.sack_permitted = true,
            (5, blocks) if blocks.len() % 8 == 0 => {
                for block in blocks.chunks_exact(8) {
                    let (left, right) = block.split_at(4);
                    options.sack.push(Seq(number(left)), Seq(number(right)));
                }
            }
            (8, stamps) if stamps.len() == 8 => {
                let (value, echo) = stamps.split_at(4);
                options.timestamps = Some(Timestamps {
                    value: number(value),
                    echo: number(echo),
                });
            }
            (34, cookie) if matches!(cookie.len(), 0 | 4 | 6 | 8 | 10 | 12 | 14 | 16) => {
                options.fast_open = FastOpenCookie::new(cookie);
            }
            _ => {}
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::sample::Sample;

    fn packets() -> Vec<Packet> {
        let text = Sample {
            flags: "PA",
            ack: 301,
            text: b"hello",
            ..Sample::SYN
        };
        let syn = Sample {
            scale: Some(7),
            ..Sample::SYN
        };
        [syn, text].map(|sample| sample.packet()).to_vec()
    }

    #[test]
    fn packets_of_the_codec_are_read_alike_by_pnet() {
        assert_eq!(agree(&packets()), Ok(()));
        let mut refused = packets();
        refused[0].bytes.truncate(30);
        assert_eq!(
            agree(&refused),
            Ok(()),
            "what the codec refuses is no record"
        );
    }

    #[test]
    fn codec_that_misreads_one_field_is_found_out() {
        let wrong = [
            (|packet| {
                ours(packet).map(|read| Reading {
                    ack: read.ack + 1,
                    ..read
                })
            }) as fn(&[u8]) -> Option<Reading>,
            |packet| {
                ours(packet).map(|read| Reading {
                    text: Vec::new(),
                    ..read
                })
            },
            |packet| {
                ours(packet).map(|read| Reading {
                    options: Options::default(),
                    ..read
                })
            },
        ];
        for misread in wrong {
            let error = agree_with(&packets(), misread).unwrap_err();
            assert!(error.contains("disagree"), "{error}");
        }
    }

    #[test]
    fn option_area_that_is_cut_short_is_not_compared() {
        assert!(is_whole(&[2, 4, 5, 180, 1, 0, 9]));
        assert!(!is_whole(&[2, 4, 5]) && !is_whole(&[3, 0]) && !is_whole(&[3]));
    }
}
