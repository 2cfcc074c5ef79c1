//! The window that we offer, in the units of its scale: never more than there is room for, and all
//! of it can be used.
use super::common::{ACK, Bench, PEER_ISS, Sent, with};
use proptest::prelude::*;
use tcpx_proto::config::Profile;
use tcpx_proto::wire::Options;

/// Opened to a peer that scales windows, with this receive buffer.
fn open(profile: Profile, receive_buffer: usize) -> Bench {
    let config = with(Bench::plain(profile), |conn| {
        conn.receive_buffer = receive_buffer;
        conn.window_scaling = true;
    });
    let mut bench = Bench::new(config);
    bench.syn_options = Options {
        window_scale: Some(7),
        ..bench.syn_options
    };
    bench.enter("ESTABLISHED");
    bench
}

/// The window of the last segment, bytes.
fn window(sent: &[Sent], shift: u32) -> Option<u32> {
    sent.last()
        .map(|sent| u32::from(sent.header.window) << shift)
}

#[test]
fn window_rounded_up_to_its_unit_and_filled_to_the_last_byte_is_closed() {
    for over in 1..8 {
        let mut bench = open(Profile::Rfc9293, 262_144);
        bench.text(&[0; 1000]);
        // The right edge stays, between two units from where RCV.NXT is then.
        let mut offered = window(&bench.text(&vec![0; 8 + over]), 3).unwrap();
        assert_eq!(
            offered,
            262_144 - 1008 - (over as u32).next_multiple_of(8) + 8
        );
        while offered > 0 {
            let text = vec![0; offered.min(60_000) as usize];
            let sent = bench.text(&text);
            offered -= text.len() as u32;
            assert_eq!(window(&sent, 3), Some(offered), "{over}");
        }
        assert_eq!(
            bench.receive(300_000).unwrap().len(),
            bench.rcv_nxt.since(PEER_ISS + 1) as usize
        );
        assert_eq!(
            window(&bench.drain(), 3),
            Some(262_144),
            "all of it is free again"
        );
    }
}

proptest! {
    /// A peer that uses all that it is offered, a reader that takes its time: nothing of it is
    /// refused, and no window is larger than what there is room for.
    #[test]
    fn window_that_is_offered_can_be_used_to_the_last_byte(
        linux: bool,
        receive_buffer in prop_oneof![1000usize..70_000, 65_536usize..300_000],
        steps in prop::collection::vec((1u32..40_000, 0usize..60_000), 1..80),
    ) {
        let mut bench = open(
            if linux {
                Profile::Linux
            } else {
                Profile::Rfc9293
            },
            receive_buffer,
        );
        let shift = (0..14)
            .find(|shift| receive_buffer >> shift <= 65_535)
            .unwrap();
        let mut offered = receive_buffer.min(65_535) as u32;
        let mut unread = 0;
        for (len, read) in steps {
            let len = len.min(offered);
            let mut sent = bench.text(&vec![7; len as usize]);
            unread += len as usize;
            offered -= len;
            prop_assert_eq!(bench.status().unread, unread, "all of it is taken");
            if read > 0 && unread > 0 {
                unread -= bench.receive(read).unwrap().len();
                sent.extend(bench.drain());
            }
            if let Some(window) = window(&sent, shift) {
                prop_assert!(
                    window as usize <= receive_buffer - unread + (1 << shift),
                    "{window} with {unread} unread"
                );
                // Less of what the unit adds to the promise is no less of the promise.
                prop_assert!(
                    window + (1 << shift) > offered,
                    "the right edge never moves left"
                );
                offered = window;
            }
        }
        // Nothing arrives any more, and a repetition is answered with what is offered.
        let sent = bench.arrive(bench.rcv_nxt.back(1), bench.snd_nxt, ACK, b"x");
        prop_assert!(
            window(&sent, shift)
                .is_some_and(|window| window as usize <= receive_buffer - unread + (1 << shift))
        );
    }
}
