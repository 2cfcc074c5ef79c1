//! Section 3.8.5: urgent data.

use super::*;

/// Proves MUST-30, MUST-62.
#[test]
fn must_30_31_32_urgent_data_is_announced_wherever_it_ends_and_stays_in_line() {
    for urgent in [1, 5, 60_000] {
        let mut bench = open(plain());
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
        header.urgent = urgent;
        let up_to = header.seq + u32::from(urgent);
        bench.say(header, b"0123456789");
        assert!(
            bench
                .events
                .iter()
                .any(|event| event.what == What::Urgent { up_to })
        );
        assert_eq!(bench.receive(100).unwrap(), b"0123456789");
    }
}

/// Proves MUST-32, MUST-33.
#[test]
fn must_32_33_rfc_6093_application_is_told_of_urgent_data_and_how_much_remains() {
    let mut bench = open(plain());
    let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
    header.urgent = 15;
    bench.signals.clear();
    bench.say(header, b"0123456789");
    assert_eq!(
        bench.signals,
        [Signal::Urgent(bench.conn()), Signal::Readable(bench.conn())]
    );
    assert_eq!(
        bench.status().urgent,
        Some(15),
        "five bytes of it are still on their way"
    );
    assert_eq!(bench.receive(4).unwrap(), b"0123");
    assert_eq!(bench.status().urgent, Some(11));
    bench.text(b"abcdefgh");
    assert_eq!(bench.receive(11).unwrap(), b"456789abcde");
    assert_eq!(bench.status().urgent, None);
    assert_eq!(bench.receive(9).unwrap(), b"fgh");
}

#[test]
fn must_32_urgent_pointer_to_what_is_there_already_announces_nothing() {
    let mut bench = open(plain());
    let mut announced = |text: &[u8], urgent| {
        let mut header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::URG);
        header.urgent = urgent;
        bench.events.clear();
        bench.say(header, text);
        bench
            .events
            .iter()
            .any(|event| matches!(event.what, What::Urgent { .. }))
    };
    assert!(announced(b"0123456789", 5));
    assert!(!announced(b"", 0));
    assert!(announced(b"", 3), "the second time as well");
}

/// Profile linux, and a peer that sends each of these: text, and its urgent pointer if it has one.
fn urged(segments: &[(&[u8], Option<u16>)]) -> Bench {
    let mut bench = open(Bench::plain(Profile::Linux));
    for (text, pointer) in segments {
        urge(&mut bench, 0, text, *pointer);
    }
    bench
}

/// Text `ahead` of RCV.NXT, with URG where there is a pointer.
fn urge(bench: &mut Bench, ahead: u32, text: &[u8], pointer: Option<u16>) {
    let flags = if pointer.is_some() {
        ACK | Flags::URG
    } else {
        ACK
    };
    let mut header = bench.header(bench.rcv_nxt + ahead, bench.snd_nxt, flags);
    header.urgent = pointer.unwrap_or(0);
    bench.say(header, text);
}

/// What each RECEIVE gives until there is nothing more, a stroke between them.
fn reads(bench: &mut Bench) -> String {
    let mut reads = Vec::new();
    while let Ok(text) = bench.receive(100)
        && !text.is_empty()
    {
        reads.push(String::from_utf8(text).unwrap());
    }
    reads.join("|")
}

fn byte(bench: &mut Bench) -> Option<char> {
    bench
        .stack
        .receive_urgent(bench.now, bench.conn())
        .ok()
        .map(char::from)
}

/// What a program without SO_OOBINLINE reads on Linux 6.18.
#[test]
fn urgent_byte_is_out_of_the_stream_in_profile_linux() {
    type Case = (&'static [(&'static [u8], Option<u16>)], &'static str);
    let cases: [Case; 12] = [
        (&[(b"ab", None), (b"c", Some(1)), (b"de", None)], "ab|de"),
        (&[(b"abcde", Some(3))], "ab|de"),
        // A pointer of 0 means the first byte.
        (&[(b"abc", Some(0))], "bc"),
        // It may point beyond the segment, and come without text.
        (&[(b"ab", Some(3)), (b"cd", None)], "ab|d"),
        (&[(b"", Some(2)), (b"abc", None)], "a|c"),
        (&[(b"ab", Some(60_000)), (b"cd", None)], "abcd"),
        // One that was not reached when the next is announced is in line; one that RECEIVE stands
        // before is gone.
        (
            &[
                (b"ab", None),
                (b"c", Some(1)),
                (b"d", None),
                (b"e", Some(1)),
                (b"f", None),
            ],
            "abcd|f",
        ),
        (
            &[(b"c", Some(1)), (b"d", None), (b"e", Some(1)), (b"f", None)],
            "d|f",
        ),
        (
            &[
                (b"c", Some(1)),
                (b"d", Some(1)),
                (b"e", Some(1)),
                (b"f", None),
            ],
            "f",
        ),
        // A pointer to what is there already announces nothing.
        (&[(b"abc", None), (b"", Some(0)), (b"d", None)], "abc"),
        (&[(b"abc", Some(2)), (b"de", Some(0))], "abc|e"),
        (&[(b"ab", Some(2))], "a"),
    ];
    for (segments, expected) in cases {
        assert_eq!(reads(&mut urged(segments)), expected, "{segments:?}");
    }
    let mut bench = open(plain());
    urge(&mut bench, 0, b"abcde", Some(3));
    assert_eq!(byte(&mut bench), None, "RFC 6093");
    assert_eq!(bench.receive(100).unwrap(), b"abcde".to_vec(), "RFC 6093");
}

#[test]
fn urgent_byte_is_read_once_and_until_receive_has_passed_it() {
    let mut bench = urged(&[(b"ab", None), (b"c", Some(1)), (b"de", None)]);
    assert_eq!(byte(&mut bench), Some('c'));
    assert_eq!(byte(&mut bench), None);
    assert_eq!(reads(&mut bench), "ab|de");
    let mut bench = urged(&[(b"ab", None), (b"c", Some(1)), (b"de", None)]);
    assert_eq!(reads(&mut bench).as_str(), "ab|de", "passed");
    assert_eq!(byte(&mut bench), None, "passed");
    let mut bench = urged(&[(b"ab", Some(3))]);
    assert_eq!(byte(&mut bench), None, "on its way");
    bench.signals.clear();
    urge(&mut bench, 1, b"xy", None);
    assert_eq!(byte(&mut bench), None);
    urge(&mut bench, 0, b"c", None);
    assert_eq!(bench.signals[0], Signal::Urgent(bench.conn()));
    assert_eq!(byte(&mut bench), Some('c'));
    assert_eq!(reads(&mut bench).as_str(), "ab|xy");
    let mut bench = urged(&[]);
    urge(&mut bench, 2, b"c", Some(1));
    assert_eq!(byte(&mut bench), Some('c'), "out of order it is there, too");
    bench.text(b"ab");
    assert_eq!(reads(&mut bench), "ab");
}

/// A RECEIVE that would have nothing but it to give leaves it where it is, and the peer's FIN lets
/// go of it.
#[test]
fn urgent_byte_alone_is_nothing_to_read_and_ends_with_the_stream() {
    let mut bench = urged(&[(b"c", Some(1))]);
    assert_eq!(bench.receive(100), Err(CallError::WouldBlock));
    assert_eq!(byte(&mut bench), Some('c'));
    bench.arrive(bench.rcv_nxt, bench.snd_nxt, FIN_ACK, b"");
    assert_eq!(bench.receive(100).unwrap(), b"");
    assert_eq!(bench.status().unread, 0);
    assert_eq!(bench.status().urgent, None);
    bench.stack.close(bench.now, bench.conn()).unwrap();
    assert_eq!(bench.state(), State::LastAck, "nothing was left unread");
}

/// Proves MUST-31.
#[test]
fn must_31_urgent_data_goes_on_as_long_as_the_peer_moves_its_end() {
    let mut bench = open(plain());
    let start = bench.rcv_nxt;
    for round in 1..=40 {
        urge(&mut bench, 0, &text(1000), Some(60_000));
        let up_to = start + (round - 1) * 1000 + 60_000;
        assert!(
            bench
                .events
                .iter()
                .any(|event| event.what == What::Urgent { up_to })
        );
        assert_eq!(bench.receive(1000).unwrap().len(), 1000);
    }
    assert_eq!(bench.status().urgent, Some(59_000));
}
