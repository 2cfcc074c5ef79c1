//! Many packets like one: what a burst of full segments has in common is written and summed up once.

use super::checksum::{self, Sum};
use super::segment::{Payload, TCP_HEADER};
use super::{Ip, ip};
use crate::seq::Seq;

/// Turns the headers of a packet without text into those of one with this much, whose checksum is
/// the pseudo-header's sum alone: what cuts it into segments adds up the rest. `None`: it is too
/// long for IP.
pub(crate) fn announce_text(headers: &mut [u8], text: usize) -> Option<()> {
    let total = u16::try_from(headers.len() + text).ok()?;
    let ip = Ip::parse(headers).ok()?;
    let ip_len = ip::header_len(ip.source, ip.destination);
    let tcp_len = usize::from(total).checked_sub(ip_len)?;
    let pseudo = ip::pseudo_header_sum(ip.source, ip.destination, ip::TCP, tcp_len);
    let (ip_part, tcp) = headers.split_at_mut_checked(ip_len)?;
    ip::set_len(ip_part, total);
    let field = checksum::fold(pseudo).to_be_bytes();
    tcp.get_mut(16..18)?.copy_from_slice(&field);
    Some(())
}

/// The headers of a packet that was written, and their sums without SEG.SEQ, identification and
/// text.
pub(crate) struct Template<'a> {
    headers: &'a [u8],
    ip_len: usize,
    ip_sum: u64,
    tcp_sum: u64,
}

impl<'a> Template<'a> {
    /// From a whole packet with `text` bytes of text.
    pub(crate) fn new(packet: &'a [u8], text: usize) -> Option<Template<'a>> {
        let ip = Ip::parse(packet).ok()?;
        let ip_len = ip::header_len(ip.source, ip.destination);
        let headers = packet.get(..packet.len().checked_sub(text)?)?;
        let (ip_part, tcp) = headers.split_at_checked(ip_len)?;
        let tcp_len = tcp.len() + text;
        let fixed: &[u8; TCP_HEADER] = tcp.first_chunk()?;
        let pseudo = ip::pseudo_header_sum(ip.source, ip.destination, ip::TCP, tcp_len);
        let parts = [&fixed[..4], &fixed[8..16], &tcp[18..]];
        let identity = ip_part.get(4..6).filter(|_| ip.source.is_ipv4());
        let ip_parts = identity.map_or([&[][..]; 3], |_| {
            [&ip_part[..4], &ip_part[6..10], &ip_part[12..]]
        });
        Some(Template {
            headers,
            ip_len,
            ip_sum: ip_parts.into_iter().fold(0, checksum::sum),
            tcp_sum: parts.into_iter().fold(pseudo, checksum::sum),
        })
    }

    /// Writes the packet with this SEG.SEQ, identification and text into exactly as many bytes as it
    /// has; `None`: it has others.
    pub(crate) fn write(
        &self,
        sum: Sum,
        (seq, id): (Seq, u16),
        text: Payload<'_>,
        into: &mut [u8],
    ) -> Option<()> {
        let (headers, place) = into.split_at_mut_checked(self.headers.len())?;
        headers.copy_from_slice(self.headers);
        let (first, second) = place.split_at_mut_checked(text.0.len())?;
        first.copy_from_slice(text.0);
        if second.len() != text.1.len() {
            return None;
        }
        second.copy_from_slice(text.1);
        let (ip_part, tcp) = headers.split_at_mut_checked(self.ip_len)?;
        if ip_part.first()? >> 4 == 4 {
            let field = !checksum::fold(self.ip_sum + u64::from(id));
            ip_part.get_mut(4..6)?.copy_from_slice(&id.to_be_bytes());
            ip_part
                .get_mut(10..12)?
                .copy_from_slice(&field.to_be_bytes());
        }
        let words = u64::from(seq.0 >> 16) + u64::from(seq.0 & 0xffff);
        let field = !checksum::fold(checksum::sum_by(sum, self.tcp_sum + words, place));
        tcp.get_mut(4..8)?.copy_from_slice(&seq.0.to_be_bytes());
        tcp.get_mut(16..18)?.copy_from_slice(&field.to_be_bytes());
        Some(())
    }
}
