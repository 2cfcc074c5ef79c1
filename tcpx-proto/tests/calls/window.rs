//! The window that we offer, in the units of its scale: never more than there is room for, and all
//! of it can be used.
use super::common::{ACK, Bench, PEER_ISS, Sent, with};
use proptest::prelude::*;
use std::time::Duration;
use tcpx_proto::config::Profile;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options, Timestamps};

/// Opened to a peer that scales windows, with this receive buffer.
fn open(profile: Profile, receive_buffer: usize) -> Bench {
    let config = with(Bench::plain(profile), |conn| {
        conn.receive_buffer = receive_buffer;
        conn.receive_window = profile.config().conn.receive_window;
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
        receive_buffer in prop_oneof![1usize..3000, 1000usize..70_000, 65_536usize..300_000],
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
        let mut offered = bench.status().rcv_wnd;
        // Linux counts memory, of which text may take more than half.
        let most = if linux { 2 * receive_buffer.max(1152) } else { receive_buffer };
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
                    window as usize <= most - unread + (1 << shift),
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
                .is_some_and(|window| window as usize <= most - unread + (1 << shift))
        );
        // Whatever came, and in whatever parts: it opens again once all of it is read.
        if unread > 0 {
            bench.receive(unread).unwrap();
            bench.drain();
        }
        let sent = bench.arrive(bench.rcv_nxt.back(1), bench.snd_nxt, ACK, b"x");
        prop_assert!(window(&sent, shift).is_some_and(|window| window > 0));
    }
}

/// One line of the measurement.
struct Row<'a>(Vec<&'a str>);

impl Row<'_> {
    fn number(&self, column: usize) -> Option<u32> {
        self.0[column].parse().ok()
    }

    /// The same on a connection of ours, as the line has it.
    fn ours(&self) -> String {
        let mut config = Profile::Linux.config();
        if let Some(bytes) = self.number(1) {
            config.conn.receive_buffer = bytes as usize;
        } else {
            config.conn.receive_buffer = 1 << 16;
            config.conn.receive_limit = Some(32 << 20);
        }
        let stamped = self.0[2] == "1";
        let passive = self.0[0] == "passive";
        let mut bench = Bench::new(config);
        bench.syn_options = Options {
            sack_permitted: true,
            window_scale: self.number(3).map(|shift| shift as u8),
            timestamps: stamped.then_some(Timestamps {
                value: 500,
                echo: 0,
            }),
            ..bench.syn_options
        };
        if stamped {
            bench = bench.with_timestamps(600);
        }
        let syn = if passive {
            bench.listen();
            bench.arrive(PEER_ISS, Seq(0), Flags::SYN, b"")
        } else {
            bench.connect()
        };
        let syn = syn[0].header;
        let echo = |bench: &mut Bench, header: Header, text: &[u8]| {
            let mut header = header;
            if let Some(stamps) = &mut header.options.timestamps {
                stamps.echo = syn.options.timestamps.unwrap().value;
            }
            bench.now = bench.now + Duration::from_millis(1);
            bench.say(header, text)
        };
        let mut third = String::from("-");
        if passive {
            let header = bench.header(PEER_ISS + 1, bench.snd_nxt, ACK);
            echo(&mut bench, header, b"");
        } else {
            let header = bench.header(PEER_ISS, bench.snd_nxt, ACK | Flags::SYN);
            third = echo(&mut bench, header, b"")[0].header.window.to_string();
        }
        let mut segments = Vec::new();
        for step in self.0[7].split(' ') {
            let (what, _) = step.split_once(':').unwrap();
            let window = match what.strip_prefix('r') {
                Some(bytes) => {
                    bench.receive(bytes.parse().unwrap()).unwrap();
                    bench.drain().last().map(|sent| sent.header.window)
                }
                None => {
                    let header = bench.header(bench.rcv_nxt, bench.snd_nxt, ACK | Flags::PSH);
                    let mut sent = echo(&mut bench, header, &vec![0; what.parse().unwrap()]);
                    if sent.is_empty() {
                        sent = bench.run(Duration::from_millis(250));
                    }
                    sent.last().map(|sent| sent.header.window)
                }
            };
            let window = window.map_or("-".into(), |window| window.to_string());
            segments.push(format!("{what}:{window}"));
        }
        bench.stack.abort(bench.now, bench.conn()).unwrap();
        let reset = bench.drain()[0].header.window;
        let shift = syn.options.window_scale.filter(|_| self.0[3] != "-");
        let shift = shift.map_or("-".into(), |shift| shift.to_string());
        let given = self.0[..4].join("\t");
        let segments = segments.join(" ");
        format!(
            "{given}\t{}\t{shift}\t{third}\t{segments}\t{reset}",
            syn.window
        )
    }
}

#[test]
fn linux_windows_are_those_of_the_kernel_for_the_same_arrivals_and_reads() {
    let data = include_str!("../data/linux618_windows.tsv");
    let lines: Vec<&str> = data
        .lines()
        .filter(|line| !line.starts_with('#'))
        .skip(1)
        .collect();
    assert!(lines.len() > 25);
    let mut wrong = Vec::new();
    for line in lines {
        let ours = Row(line.split('\t').collect()).ours();
        if ours != line {
            wrong.push(format!("Linux {line}\nours  {ours}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
