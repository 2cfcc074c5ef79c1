//! PEEK: what RECEIVE would return, and nothing else happens.

use super::common::{ACK, Bench, with};
use proptest::prelude::*;
use tcpx_proto::config::{Profile, UrgentData};
use tcpx_proto::error::CallError;
use tcpx_proto::wire::Flags;

fn peek(bench: &mut Bench, most: usize) -> Result<Vec<u8>, CallError> {
    let mut into = vec![0; most];
    let conn = bench.conn();
    let copied = bench.stack.peek(bench.now, conn, &mut into)?;
    into.truncate(copied);
    Ok(into)
}

#[test]
fn established_peek_leaves_text_window_and_end_as_they_are() {
    let mut bench = Bench::new(with(Bench::plain(Profile::Rfc9293), |conn| {
        conn.receive_buffer = 2000;
    }));
    bench.enter("ESTABLISHED");
    assert_eq!(peek(&mut bench, 5), Err(CallError::WouldBlock));
    bench.text(&[b'x'; 2000]);
    assert_eq!(peek(&mut bench, 3000).unwrap(), [b'x'; 2000]);
    assert_eq!(bench.drain(), [], "no update of the window");
    assert_eq!(bench.receive(1).unwrap(), b"x");
    bench.receive(3000).unwrap();
    bench.drain();
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::FIN, b"end");
    assert_eq!(peek(&mut bench, 9).unwrap(), b"end");
    assert_eq!(bench.receive(9).unwrap(), b"end");
    assert_eq!(peek(&mut bench, 9).unwrap(), b"", "the end");
}

#[test]
fn established_peek_stops_before_urgent_byte_and_leaves_it() {
    for (urgent, expected) in [
        (UrgentData::OutOfBand, [&b"ab"[..], b"d"]),
        (UrgentData::Inline, [b"abcd", b"cd"]),
    ] {
        let mut bench = Bench::new(with(Bench::plain(Profile::Linux), |conn| {
            conn.urgent = urgent;
        }));
        bench.enter("ESTABLISHED");
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
        header.urgent = 3;
        bench.say(header, b"abcd");
        let status = bench.status().urgent;
        assert_eq!(peek(&mut bench, 9).unwrap(), expected[0]);
        assert_eq!(bench.status().urgent, status);
        assert_eq!(bench.receive(2).unwrap(), b"ab");
        let status = bench.status().urgent;
        assert_eq!(peek(&mut bench, 9).unwrap(), expected[1]);
        assert_eq!(
            bench.status().urgent,
            status,
            "receive leaves the byte out, peek does not"
        );
        assert_eq!(bench.receive(9).unwrap(), expected[1]);
    }
}

proptest! {
    #[test]
    fn peek_is_what_receive_returns_next(
        steps in prop::collection::vec((0usize..3000, 1usize..3000), 1..30),
    ) {
        let mut bench = Bench::new(Bench::plain(Profile::Rfc9293));
        bench.enter("ESTABLISHED");
        let mut byte = 0;
        for (arrives, most) in steps {
            let text: Vec<u8> = (0..arrives).map(|_| { byte += 1; byte as u8 }).collect();
            for part in text.chunks(1400) {
                bench.text(part);
            }
            let seen = peek(&mut bench, most);
            prop_assert_eq!(bench.receive(most), seen);
        }
    }
}
