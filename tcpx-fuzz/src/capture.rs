//! Any bytes as a pcapng capture, and any packets in one of ours: what the writer wrote, an
//! independent reader reads.

use crate::bytes::Bytes;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::time::Duration;
use tcpx_proto::event::SegmentRecord;
use tcpx_proto::fault::Judgement;
use tcpx_proto::time::Instant;
use tcpx_proto::trace::pcapng::Capture;
use tcpx_proto::trace::{Observed, ObservedSegment, Observer, Recorder};
use tcpx_proto::wire::{ChecksumPolicy, Segment};

/// The packets of the capture, and as many as can be segments in a capture of ours.
pub fn run(data: &[u8]) {
    let mut packets = packets(data);
    let mut bytes = Bytes(data);
    while !bytes.is_empty() {
        let len = usize::from(bytes.byte());
        packets.push(bytes.slice(len).to_vec());
    }
    packets.retain(|packet| Segment::parse(packet, ChecksumPolicy::Ignore).is_ok());
    let Ok(capture) = Capture::new(Duration::from_secs(1)) else {
        panic!("memory takes everything");
    };
    let mut recorder = Recorder::new(Instant::ZERO, capture);
    for packet in &packets {
        observe(&mut recorder, packet);
    }
    let written = recorder.finish().take();
    assert_eq!(self::packets(&written), packets);
}

fn observe(recorder: &mut Recorder<Capture>, packet: &[u8]) {
    if let Ok(segment) = Segment::parse(packet, ChecksumPolicy::Ignore) {
        recorder.observe(&Observed::Segment(ObservedSegment {
            record: SegmentRecord::new(Instant::ZERO, None, None, &segment, 0),
            judgement: Judgement::PASS,
            rule: None,
            packet: packet.into(),
        }));
    }
}

/// The packets of a capture, up to the first block that is none.
fn packets(capture: &[u8]) -> Vec<Vec<u8>> {
    let Ok(mut reader) = PcapNgReader::new(capture) else {
        return Vec::new();
    };
    let mut packets = Vec::new();
    while let Some(Ok((block, _))) = reader.next_block() {
        if let Block::EnhancedPacket(EnhancedPacketBlock { data, .. }) = block {
            packets.push(data.into_owned());
        }
    }
    packets
}
