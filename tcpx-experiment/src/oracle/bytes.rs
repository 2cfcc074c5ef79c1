//! The oracle `octets`: every byte that an incarnation received was sent by its peer incarnation, in
//! order.

use super::conns::{Conn, Run};
use super::finding::{Evidence, Origin, excerpt};

/// Bytes that were received and not sent by the peer incarnation, in order.
pub(super) fn broken(run: &Run) -> Option<Evidence> {
    run.conns.iter().find_map(|conn| {
        let peer = run.peer(conn);
        let sent = peer.map_or(&[][..], |peer| &peer.sent);
        if sent.starts_with(&conn.received) {
            return None;
        }
        let same = sent
            .iter()
            .zip(&conn.received)
            .take_while(|(sent, received)| sent == received)
            .count();
        let strange = &conn.received[same..];
        let origin = match origin(run, conn, peer, strange) {
            Some(other) => Origin::Incarnation(other.which()),
            None if sent.is_empty() => Origin::Nowhere,
            None => Origin::Instead(excerpt(&sent[same..])),
        };
        Some(Evidence::Strange {
            conn: conn.which(),
            text: excerpt(strange),
            origin,
        })
    })
}

/// Another incarnation of the other end that sent those bytes.
fn origin<'a>(run: &'a Run, conn: &Conn, peer: Option<&Conn>, strange: &[u8]) -> Option<&'a Conn> {
    let piece = &strange[..strange.len().min(16)];
    if piece.len() < 2 {
        return None;
    }
    let another = |other: &&Conn| {
        other.end != conn.end && peer.is_none_or(|peer| peer.number != other.number)
    };
    let sent = |other: &&Conn| other.sent.windows(piece.len()).any(|sent| sent == piece);
    run.conns.iter().filter(another).find(sent)
}
