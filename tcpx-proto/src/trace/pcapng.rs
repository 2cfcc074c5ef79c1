//! Captures: the segments on the wire and those that the gate dropped, each with a comment that
//! tells why it was sent and what became of it.

use super::{Observed, ObservedSegment, Recorded, Sink};
use crate::event::{Event, What};
use crate::time::Duration;
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgWriteError, PcapNgWriter};

/// The interface of what was really sent and received.
pub const WIRE: u32 = 0;
/// The interface of what the gate dropped. On the first one tshark would count it as sent.
pub const GATE_DROPPED: u32 = 1;

/// Makes a pcapng capture of raw IP packets, in memory.
pub struct Capture {
    writer: PcapNgWriter<Vec<u8>>,
    realtime: Duration,
    /// The second interface is described. It does not exist until a packet is dropped: tcpdump
    /// (libpcap 1.10) refuses a file with two.
    has_gate: bool,
    /// The changes of state by a call or a timer in this batch: the next segment of the connection
    /// has them in its comment.
    changes: Vec<(Option<u64>, String)>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("realtime", &self.realtime)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

impl Capture {
    /// Begins with the section header and the first interface. `realtime` is the time since 1970
    /// at t = 0.
    ///
    /// # Errors
    /// None in practice: memory takes everything.
    pub fn new(realtime: Duration) -> Result<Capture, PcapNgWriteError> {
        let mut capture = Capture {
            writer: PcapNgWriter::new(Vec::new())?,
            realtime,
            has_gate: false,
            changes: Vec::new(),
        };
        capture.describe("wire", "sent and received")?;
        Ok(capture)
    }

    /// The bytes of the capture since the last time.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(self.writer.get_mut())
    }

    fn describe(&mut self, name: &str, description: &str) -> Result<(), PcapNgWriteError> {
        let block = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![
                InterfaceDescriptionOption::IfName(name.into()),
                InterfaceDescriptionOption::IfDescription(description.into()),
                InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            ],
        };
        self.writer.write_pcapng_block(block).map(drop)
    }

    fn segment(&mut self, recorded: &Recorded<'_>, segment: &ObservedSegment) {
        // Memory takes everything, and the interfaces exist: nothing here can fail.
        if segment.is_dropped() && !self.has_gate {
            self.has_gate = true;
            let description = "dropped by a fault rule, inside tcpx";
            let _infallible = self.describe("gate-dropped", description);
        }
        let comments = self.comments(recorded, segment).into_iter();
        let block = EnhancedPacketBlock {
            interface_id: if segment.is_dropped() {
                GATE_DROPPED
            } else {
                WIRE
            },
            timestamp: self.realtime + recorded.t,
            original_len: u32::try_from(segment.packet.len()).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&segment.packet),
            options: comments
                .map(|text| EnhancedPacketOption::Common(CommonOption::Comment(text.into())))
                .collect(),
        };
        let _infallible = self.writer.write_pcapng_block(block);
    }

    fn comments(&mut self, recorded: &Recorded<'_>, segment: &ObservedSegment) -> Vec<String> {
        let mut comments = Vec::new();
        if segment.record.out {
            let own = |(conn, _): &mut (Option<u64>, String)| *conn == recorded.conn;
            let changes = self.changes.extract_if(.., own);
            comments.extend(changes.map(|(_, text)| text));
        }
        let caused = recorded.caused.iter();
        comments.extend(
            caused
                .filter(|event| is_comment(event))
                .map(Event::to_string),
        );
        comments.extend(segment.record.label.map(|label| label.to_string()));
        comments.extend(segment.fault());
        comments
    }
}

/// Whether the comment of a segment mentions it.
fn is_comment(event: &Event) -> bool {
    matches!(
        event.what,
        What::State { .. } | What::Deviated { .. } | What::Discarded(_) | What::Closed(_)
    )
}

impl Sink for Capture {
    fn record(&mut self, recorded: &Recorded<'_>) {
        match recorded.observed {
            Observed::Segment(segment) => self.segment(recorded, segment),
            Observed::Event(event) if event.packet.is_none() && is_comment(event) => {
                self.changes.push((recorded.conn, event.to_string()));
            }
            Observed::Event(_) | Observed::App(_) => {}
        }
    }

    fn flush(&mut self) {
        self.changes.clear();
    }
}
