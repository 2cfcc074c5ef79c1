//! A capture as a file that tshark reads, with what the lab has to say of each packet.

use super::capture::Packet;
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// What was captured at one end of the cable.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Whose end.
    pub name: &'a str,
    /// The capture.
    pub packets: &'a [Packet],
}

/// Writes what one end saw: one interface, one comment for the file, and one for each packet of
/// which `comment` has something to say.
///
/// # Errors
/// Those of `out`.
pub fn write(
    out: impl Write,
    section: &str,
    end: End<'_>,
    comment: impl Fn(&Packet) -> Option<String>,
) -> io::Result<()> {
    write_merged(out, section, &[end], |_, packet| comment(packet))
}

/// Writes what several ends saw, an interface for each, in the order of time. A packet that passed
/// two of them is there twice: `frame.interface_id == 0` shows what the first end saw. `comment` is
/// told which end's packet it is.
///
/// # Errors
/// Those of `out`.
pub fn write_merged(
    out: impl Write,
    section: &str,
    ends: &[End<'_>],
    comment: impl Fn(usize, &Packet) -> Option<String>,
) -> io::Result<()> {
    let options = vec![SectionHeaderOption::Common(CommonOption::Comment(
        section.into(),
    ))];
    let mut writer = PcapNgWriter::with_section_header(
        out,
        SectionHeaderBlock {
            options,
            ..SectionHeaderBlock::default()
        },
    )
    .map_err(io::Error::other)?;
    for end in ends {
        let options = vec![
            InterfaceDescriptionOption::IfName(end.name.into()),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
        ];
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options,
        };
        writer.write_pcapng_block(block).map_err(io::Error::other)?;
    }
    let calendar = super::calendar();
    let mut packets: Vec<(usize, &Packet)> = ends
        .iter()
        .enumerate()
        .flat_map(|(index, end)| end.packets.iter().map(move |packet| (index, packet)))
        .collect();
    packets.sort_by(|(_, x), (_, y)| x.at.total_cmp(&y.at));
    for (index, packet) in packets {
        let mut options = vec![EnhancedPacketOption::Flags(if packet.outgoing {
            OUTBOUND
        } else {
            INBOUND
        })];
        options.extend(
            comment(index, packet)
                .map(|text| EnhancedPacketOption::Common(CommonOption::Comment(text.into()))),
        );
        let block = EnhancedPacketBlock {
            interface_id: u32::try_from(index).unwrap_or(u32::MAX),
            timestamp: calendar + Duration::from_secs_f64(packet.at.max(0.0)),
            original_len: u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&packet.bytes),
            options,
        };
        writer.write_pcapng_block(block).map_err(io::Error::other)?;
    }
    writer.get_mut().flush()
}

/// The direction in the flags of a packet.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::capture::Capture;
    use crate::linux::sample::hello;
    use crate::pair::plain_pair;
    use crate::skip::skip;
    use std::io::{Seek, Write};
    use std::process::{Command, Stdio};

    /// What tshark says of a file: these fields of each packet.
    fn tshark(file: &[u8], fields: &[&str]) -> Option<Vec<String>> {
        let mut command = Command::new("tshark");
        command
            .args(["-r", "-", "-T", "fields", "-E", "separator=|"])
            .args(fields.iter().flat_map(|field| ["-e", field]));
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned
            .inspect_err(|error| skip(format_args!("tshark says: {error}")))
            .ok()?;
        child.stdin.take().unwrap().write_all(file).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(
            String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Both ends of a kernel's connection that said hello.
    fn captured() -> Option<[Vec<Packet>; 2]> {
        let (a, b) = plain_pair()?;
        let captures = [Capture::start(&a).unwrap(), Capture::start(&b).unwrap()];
        hello(&a, &b);
        Some(captures.map(|capture| capture.stop().unwrap()))
    }

    #[test]
    fn capture_of_one_end_is_read_by_tshark_with_its_comments_and_times() {
        let Some([packets, _]) = captured() else {
            return;
        };
        let mut file = Vec::new();
        let comment = |packet: &Packet| {
            packet
                .outgoing
                .then(|| format!("sent at {}", packet.bytes.len()))
        };
        write(
            &mut file,
            "what the client saw",
            End {
                name: "client",
                packets: &packets,
            },
            comment,
        )
        .unwrap();
        let fields = [
            "frame.interface_name",
            "frame.comment",
            "tcp.flags.syn",
            "tcp.analysis.flags",
            "frame.time_epoch",
        ];
        let Some(lines) = tshark(&file, &fields) else {
            return;
        };
        assert_eq!(lines.len(), packets.len());
        let calendar = super::super::calendar().as_secs_f64();
        for (line, packet) in lines.iter().zip(&packets) {
            let [name, comment, syn, analysis, time] = line.split('|').collect::<Vec<_>>()[..]
            else {
                panic!("{line}")
            };
            assert_eq!(
                (name, comment.is_empty(), analysis),
                ("client", !packet.outgoing, ""),
                "{line}"
            );
            assert_eq!(
                syn == "True" || syn == "1",
                packet.bytes[33] & 2 != 0,
                "{line}"
            );
            assert!(
                (time.parse::<f64>().unwrap() - calendar - packet.at).abs() < 0.001,
                "{line} {packet:?}"
            );
        }
        let mut disk = std::fs::File::from(
            rustix::fs::memfd_create("pcapng", rustix::fs::MemfdFlags::empty()).unwrap(),
        );
        disk.write_all(&file).unwrap();
        disk.rewind().unwrap();
        let told = Command::new("capinfos")
            .args(["-k", "-"])
            .stdin(disk)
            .output();
        let Ok(told) = told else {
            return skip("there is no capinfos");
        };
        assert!(
            String::from_utf8_lossy(&told.stdout).contains("what the client saw"),
            "{told:?}"
        );
    }

    #[test]
    fn merged_capture_has_each_end_on_its_own_interface() {
        let Some([client, server]) = captured() else {
            return;
        };
        let mut file = Vec::new();
        let ends = [
            End {
                name: "client",
                packets: &client,
            },
            End {
                name: "server",
                packets: &server,
            },
        ];
        write_merged(&mut file, "both", &ends, |end, _| {
            (end == 1).then(|| "the server's".to_owned())
        })
        .unwrap();
        let Some(lines) = tshark(
            &file,
            &["frame.interface_name", "frame.comment", "frame.time_epoch"],
        ) else {
            return;
        };
        let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
        assert_eq!(
            (of("client||"), of("server|the server's|")),
            (client.len(), server.len())
        );
        let times: Vec<f64> = lines
            .iter()
            .map(|line| line.rsplit('|').next().unwrap().parse().unwrap())
            .collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}
