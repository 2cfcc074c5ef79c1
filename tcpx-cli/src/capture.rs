//! The capture file: `tcpx_proto::trace::pcapng`, written in the background.

use std::io::{self, Write};
use tcpx::record::{BackgroundWriter, Recorded, Sink};
use tcpx_proto::time::Duration;
use tcpx_proto::trace::pcapng;

/// Writes a pcapng capture of raw IP packets.
#[derive(Debug)]
pub struct Capture {
    capture: pcapng::Capture,
    writer: BackgroundWriter,
}

impl Capture {
    /// `realtime` is the time since 1970 at t = 0.
    ///
    /// # Errors
    /// None in practice: memory takes everything.
    pub fn new(writer: BackgroundWriter, realtime: Duration) -> io::Result<Capture> {
        let capture = pcapng::Capture::new(realtime).map_err(io::Error::other)?;
        Ok(Capture { capture, writer })
    }
}

impl Sink for Capture {
    fn record(&mut self, recorded: &Recorded<'_>) {
        self.capture.record(recorded);
    }

    fn flush(&mut self) {
        self.capture.flush();
        let bytes = self.capture.take();
        let _never_fails = self.writer.write_all(&bytes);
        let _never_fails = self.writer.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::DataLink;
    use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
    use pcap_file::pcapng::blocks::interface_description::InterfaceTsResolution;
    use pcap_file::pcapng::blocks::opt_common::CommonOption;
    use pcap_file::pcapng::{Block, PcapNgReader};
    use tcpx::testing::sample;
    use tcpx_proto::trace::pcapng::{GATE_DROPPED, WIRE};

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
            sample::written(|writer| Box::new(Capture::new(writer, sample::REALTIME).unwrap()))
                .unwrap();
        let mut reader = PcapNgReader::new(bytes.as_slice()).unwrap();
        let mut interfaces = Vec::new();
        let mut packets = Vec::new();
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
