//! A bounded run of `make differential` with a fixed seed: the kernel beside tcpx.

use std::fmt::Write;
use std::time::{Duration, Instant};
use tcpx_tests::differential::case::{Case, Step};
use tcpx_tests::differential::judge::{Judge, Progress};
use tcpx_tests::differential::side::Pace;
use tcpx_tests::skip::or_skip;

/// Longer than this it does not take, however slow the machine is.
const TIME: Duration = Duration::from_secs(18);
/// Enough for every opening, and every kind of segment and call.
const CASES: u64 = 1500;
const SEED: u64 = 9293;

#[test]
fn tcpx_and_the_kernel_do_the_same_in_random_cases() {
    let Some(mut judge) = or_skip(Judge::new()) else {
        return;
    };
    judge.until = Some(Instant::now() + TIME);
    let mut progress = Progress::default();
    let report = judge
        .run(SEED, |report| {
            progress.show(report);
            report.cases < CASES && progress.elapsed() < TIME
        })
        .unwrap();
    eprintln!("{}", progress.line(&report));
    assert!(report.cases > 200, "only {} cases", report.cases);
    assert!(
        report.findings.is_empty(),
        "{} unexplained differences (make differential SEED={SEED} shows them)",
        report.findings.len()
    );
}

const NOTHING_LOST: &str = "write 14600
     A seq=rcv.nxt ack=snd.una+2920 win=65535
     A seq=rcv.nxt ack=snd.una+2920 win=65535
     write 29200
     A seq=rcv.nxt ack=snd.nxt win=65535
     A seq=rcv.nxt ack=snd.nxt win=65535";

/// What is lost of ten full segments or more, step by step, 100 ms apart: a round trip is as long.
/// Before it, whether the peer offers SACK: without it tcpx does not say which segments are lost.
const LOSSES: &[(&str, &str)] = &[
    ("", NOTHING_LOST),
    ("sack", NOTHING_LOST),
    (
        "sack",
        "write 14600
         A seq=rcv.nxt ack=snd.una win=65535 sack=snd.una+1460..snd.una+2920
         A seq=rcv.nxt ack=snd.una win=65535 sack=snd.una+1460..snd.una+5840
         A seq=rcv.nxt ack=snd.una win=65535 sack=snd.una+1460..snd.una+8760
         A seq=rcv.nxt ack=snd.una+8760 win=65535
         A seq=rcv.nxt ack=snd.nxt win=65535
         write 14600
         A seq=rcv.nxt ack=snd.nxt win=65535",
    ),
    (
        "sack",
        "write 14600
         A seq=rcv.nxt ack=snd.una win=65535 sack=snd.una+1460..snd.una+4380 sack=snd.una+5840..snd.una+11680
         read
         A seq=rcv.nxt ack=snd.una+4380 win=65535 sack=snd.una+5840..snd.una+11680
         A seq=rcv.nxt ack=snd.nxt win=65535
         A seq=rcv.nxt ack=snd.nxt win=65535",
    ),
    (
        "sack",
        "write 4380
         A seq=rcv.nxt ack=snd.una win=65535 sack=snd.una+2920..snd.una+4380
         A seq=rcv.nxt ack=snd.nxt win=65535",
    ),
    (
        "sack",
        "write 14600
         read
         read
         read
         read
         read
         read
         A seq=rcv.nxt ack=snd.una+1460 win=65535
         A seq=rcv.nxt ack=snd.una+2920 win=65535
         A seq=rcv.nxt ack=snd.nxt win=65535",
    ),
];

#[test]
fn status_says_of_losses_what_tcp_info_says() {
    let Some(mut judge) = or_skip(Judge::new()) else {
        return;
    };
    let cases: Vec<Case> = LOSSES
        .iter()
        .map(|(sack, steps)| {
            let case = format!(
                "offers mss=1460 {sack}\nnodelay\nS seq=irs ack=zero win=65535\n\
                 A seq=rcv.nxt ack=snd.nxt win=65535\naccept\n{steps}"
            );
            case.parse().unwrap()
        })
        .collect();
    let pace = Pace::Slow(Duration::from_millis(100), Duration::from_millis(100));
    let mut differ = String::new();
    // A busy machine may delay a step of one of the two.
    for _ in 0..3 {
        differ.clear();
        for played in judge.play(&cases, pace).unwrap() {
            let sides = played.kernel.iter().zip(&played.tcpx);
            for (step, (kernel, tcpx)) in played.case.steps.iter().zip(sides) {
                // Between two calls timers fire that are due when the second one is made.
                if let (Step::Arrive(_), Some(kernel), Some(tcpx)) =
                    (step, &kernel.info, &tcpx.info)
                    && kernel != tcpx
                {
                    writeln!(
                        differ,
                        "{}\n{step}\n  kernel {kernel}\n  tcpx   {tcpx}",
                        played.case.offers
                    )
                    .unwrap();
                }
            }
        }
        if differ.is_empty() {
            return;
        }
    }
    panic!("{differ}");
}
