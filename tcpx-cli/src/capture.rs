//! pcapng: the segments on the wire and those that the gate dropped, each with a comment that says
//! why.

use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use tcpx::record::{Noted, Outlet, Seen, Sink, words};
use tcpx_proto::event::What;
use tcpx_proto::time::Duration;

/// The interface of what was really sent and received.
const WIRE: u32 = 0;
/// The interface of what got no further than the gate. On the first one tshark would count it as
/// sent.
const GATE_DROPPED: u32 = 1;

/// Writes a pcapng capture of raw IP packets: a comment on each says why it was sent and what
/// became of it.
pub struct Capture {
    writer: PcapNgWriter<Outlet>,
    realtime: Duration,
    /// The second interface is described. Before anything was dropped there is none: tcpdump
    /// (libpcap 1.10) refuses a file with two.
    has_gate: bool,
    /// The changes of state that a call or a timer brought in this batch: the next segment of the
    /// connection tells of them.
    changes: Vec<(Option<u64>, String)>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("realtime", &self.realtime)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Writes the section header and the first interface. `realtime` is the time since 1970 at t =
    /// 0.
    ///
    /// # Errors
    /// None in practice: an outlet takes everything.
    pub fn new(outlet: Outlet, realtime: Duration) -> io::Result<Capture> {
        let writer = PcapNgWriter::new(outlet).map_err(io::Error::other)?;
        let mut capture = Capture {
            writer,
            realtime,
            has_gate: false,
            changes: Vec::new(),
        };
        capture.interface("wire", "sent and received")?;
        Ok(capture)
    }

    fn interface(&mut self, name: &str, description: &str) -> io::Result<()> {
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfDescription(description.into()),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        self.writer
            .write_pcapng_block(block)
            .map(drop)
            .map_err(io::Error::other)
    }

    fn comments(&mut self, seen: &Seen<'_>) -> Vec<String> {
        let mut comments = Vec::new();
        if seen.record.out {
            comments.extend(
                self.changes
                    .extract_if(.., |(conn, _)| *conn == seen.conn)
                    .map(|(_, text)| text),
            );
        }
        comments.extend(
            seen.caused
                .iter()
                .filter(|event| worth_a_comment(&event.what))
                .map(words::event),
        );
        comments.extend(words::label(seen));
        comments.extend(words::fault(seen));
        comments
    }
}

fn worth_a_comment(what: &What) -> bool {
    matches!(
        what,
        What::State { .. } | What::Deviated { .. } | What::Discarded(_) | What::Closed(_)
    )
}

impl Sink for Capture {
    fn segment(&mut self, seen: &Seen<'_>) {
        if words::dropped(seen) && !self.has_gate {
            self.has_gate = true;
            // The outlet takes everything.
            let _infallible =
                self.interface("gate-dropped", "dropped by a fault rule, inside tcpx");
        }
        let options = self.comments(seen).into_iter();
        let block = EnhancedPacketBlock {
            interface_id: if words::dropped(seen) {
                GATE_DROPPED
            } else {
                WIRE
            },
            timestamp: self.realtime + seen.t,
            original_len: u32::try_from(seen.packet.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(seen.packet),
            options: options
                .map(|text| EnhancedPacketOption::Common(CommonOption::Comment(text.into())))
                .collect(),
        };
        // The outlet takes everything and the interfaces exist: there is nothing left that could be
        // invalid.
        let _infallible = self.writer.write_pcapng_block(block);
    }

    fn event(&mut self, noted: &Noted<'_>) {
        if noted.event.packet.is_none() && worth_a_comment(&noted.event.what) {
            self.changes.push((noted.conn, words::event(noted.event)));
        }
    }

    fn flush(&mut self) {
        self.changes.clear();
        let _never_fails = self.writer.get_mut().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use tcpx::testing::sample;

    fn comments(packet: &EnhancedPacketBlock<'_>) -> Vec<String> {
        let texts = packet.options.iter().filter_map(|option| match option {
            EnhancedPacketOption::Common(CommonOption::Comment(text)) => Some(text.to_string()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn run_with_a_dropped_ack_reads_back_with_interfaces_times_and_comments() {
        let bytes =
            sample::written(|outlet| Box::new(Capture::new(outlet, sample::REALTIME).unwrap()))
                .unwrap();
        let mut reader = PcapNgReader::new(bytes.as_slice()).unwrap();
        let (mut interfaces, mut packets) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap().0 {
                Block::InterfaceDescription(interface) => {
                    interfaces.push((interface.linktype, interface.ts_resolution()))
                }
                Block::EnhancedPacket(packet) => {
                    // The second one is described when it is needed: tcpdump refuses a file with
                    // two.
                    assert_eq!(interfaces.len(), if packets.len() < 2 { 1 } else { 2 });
                    packets.push((
                        packet.interface_id,
                        packet.timestamp - sample::REALTIME,
                        comments(&packet),
                    ));
                }
                _ => {}
            }
        }
        assert_eq!(
            interfaces,
            [(DataLink::RAW, InterfaceTsResolution::NANO); 2]
        );
        let expected: [(u32, u64, &[&str]); 4] = [
            (
                WIRE,
                10,
                &["CLOSED -> SYN-SENT on active OPEN", "call: syn"],
            ),
            (WIRE, 500, &["SYN-SENT -> ESTABLISHED on SYN,ACK"]),
            (
                GATE_DROPPED,
                510,
                &["ack: ack-of-syn", "drop by `drop out ack-of-syn`"],
            ),
            (WIRE, 600, &["discarded: not-reserved"]),
        ];
        for (packet, (interface, micros, comments)) in packets.iter().zip(expected) {
            assert_eq!(
                (packet.0, packet.1),
                (interface, Duration::from_micros(micros))
            );
            assert_eq!(packet.2, comments);
        }
        assert_eq!(packets.len(), 4);
    }
}
