//! The schedules.

use std::fmt;
use std::time::Duration;

/// What a run begins with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The peer opens.
    pub passive: bool,
    /// How long the peer takes to answer in the handshake, ms.
    pub rtt: u64,
    /// The peer negotiates timestamps.
    pub stamps: bool,
    /// The peer permits SACK.
    pub sack: bool,
    /// How many of the host's SYNs or SYN,ACKs are lost.
    pub lost: u32,
    /// The peer's window, bytes.
    pub window: u16,
    /// `TCP_NODELAY`.
    pub no_delay: bool,
    /// Idle time and interval of keepalive in ms (whole seconds), and the number of probes.
    pub keepalive: Option<[u64; 3]>,
    /// `TCP_USER_TIMEOUT`, ms.
    pub user_timeout: Option<u64>,
    /// `TCP_RTO_MAX_MS`.
    pub rto_max: Option<u64>,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.rtt)?;
        let mut also = |condition: bool, text: &str| {
            if condition {
                write!(f, ", {text}")
            } else {
                Ok(())
            }
        };
        also(self.passive, "passive")?;
        also(self.stamps, "timestamps")?;
        also(self.sack, "SACK")?;
        also(self.lost > 0, "SYN lost")
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The handshake.
    Open,
    /// Its first call or segment alone.
    Call,
    /// Ten bytes are written and acknowledged after so many ms, for each of these.
    Exchange(&'static [u64]),
    /// The application writes.
    Write(usize),
    /// The host sends something that wants an ACK.
    Hear,
    /// The peer acknowledges all, so many ms after that.
    Ack(u64),
    /// The peer's window from now on.
    Window(u16),
    /// The peer sends text, so many ms after the last.
    Say { after: u64, len: usize, push: bool },
    /// The peer's FIN.
    Fin,
    /// The application reads what comes.
    Read,
    /// The application sends its FIN.
    Shutdown,
    /// The application lets go.
    Close,
    /// Nothing happens for so many ms.
    Pause(u64),
    /// The schedule begins.
    Mark,
    /// It goes on for so many ms; `answer`: each segment is acknowledged so many ms later.
    Watch { time: u64, answer: Option<u64> },
}

/// What times are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Measure {
    /// The first segment since the mark.
    SinceFirst,
    /// The mark.
    SinceMark,
    /// Each of the peer's texts, until its ACK.
    Acks,
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What it begins with.
    pub setup: Setup,
    pub(super) steps: Vec<Step>,
    pub(super) measure: Measure,
    /// Why tcpx may differ.
    pub(super) known: Option<&'static str>,
}

impl Case {
    /// How long it takes at least.
    pub fn duration(&self) -> Duration {
        let time = |step: &Step| match step {
            Step::Watch { time, .. } | Step::Pause(time) => *time,
            Step::Exchange(trips) => trips.iter().sum(),
            Step::Say { after, .. } => *after,
            _ => 0,
        };
        Duration::from_millis(self.steps.iter().map(time).sum())
    }
}

const PLAIN: Setup = Setup {
    passive: false,
    rtt: 0,
    stamps: false,
    sack: false,
    lost: 0,
    window: 65_000,
    no_delay: true,
    keepalive: None,
    user_timeout: None,
    rto_max: None,
};

const fn watch(time: u64) -> Step {
    Step::Watch { time, answer: None }
}

fn case(name: &str, setup: Setup, steps: &[Step]) -> Case {
    Case {
        name: name.into(),
        setup,
        steps: steps.to_vec(),
        measure: Measure::SinceFirst,
        known: None,
    }
}

/// A keepalive probe, by which the kernel's timer wheel is found.
pub(super) fn one_keepalive(idle: u64) -> Case {
    let setup = Setup {
        keepalive: Some([idle, 1000, 9]),
        ..PLAIN
    };
    let watch = watch(idle + idle / 8 + 200);
    Case {
        measure: Measure::SinceMark,
        ..case("keepalive", setup, &[Step::Open, Step::Mark, watch])
    }
}

/// The schedules that take seconds; `long`: also those that take minutes.
pub fn cases(long: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    opening(&mut cases, long);
    retransmission(&mut cases, long);
    samples(&mut cases);
    tail(&mut cases);
    acks(&mut cases);
    small(&mut cases);
    idle(&mut cases, long);
    closing(&mut cases, long);
    cases
}

fn opening(cases: &mut Vec<Case>, long: bool) {
    let time = if long { 160_000 } else { 7300 };
    let steps = [Step::Mark, Step::Call, watch(time)];
    cases.push(case("SYN", PLAIN, &steps));
    let time = if long { 80_000 } else { 3300 };
    let passive = Setup {
        passive: true,
        ..PLAIN
    };
    let steps = [Step::Mark, Step::Call, watch(time)];
    cases.push(case("SYN,ACK", passive, &steps));
    let timeout = Setup {
        user_timeout: Some(2500),
        ..PLAIN
    };
    cases.push(case(
        "SYN, user timeout 2.5 s",
        timeout,
        &[Step::Mark, Step::Call, watch(4200)],
    ));
}

const FIRST: [Step; 4] = [Step::Open, Step::Mark, Step::Write(10), watch(3000)];

fn retransmission(cases: &mut Vec<Case>, long: bool) {
    for rtt in [0, 20, 100, 300] {
        for stamps in [false, true] {
            let setup = Setup {
                rtt,
                stamps,
                ..PLAIN
            };
            cases.push(case("RTO", setup, &FIRST));
        }
        let passive = Setup {
            rtt,
            passive: true,
            ..PLAIN
        };
        cases.push(case("RTO", passive, &FIRST));
    }
    let cap = Setup {
        rto_max: Some(1000),
        ..PLAIN
    };
    cases.push(case(
        "RTO, capped at 1 s",
        cap,
        &[Step::Open, Step::Mark, Step::Write(10), watch(4100)],
    ));
    let timeout = Setup {
        user_timeout: Some(1500),
        ..PLAIN
    };
    cases.push(case("RTO, user timeout 1.5 s", timeout, &FIRST));
    let timeout = Setup {
        user_timeout: Some(1500),
        sack: true,
        rtt: 20,
        ..PLAIN
    };
    cases.push(case("RTO, user timeout 1.5 s", timeout, &FIRST));
    for (lost, stamps) in [(1, false), (1, true), (2, true)] {
        for passive in [false, true] {
            let setup = Setup {
                lost,
                stamps,
                passive,
                rtt: 100,
                ..PLAIN
            };
            cases.push(case(
                "RTO after lost SYNs",
                setup,
                &[Step::Open, Step::Mark, Step::Write(10), watch(3300)],
            ));
        }
    }
    if long {
        let far = Setup { rtt: 100, ..PLAIN };
        let steps = [Step::Open, Step::Mark, Step::Write(10), watch(340_000)];
        cases.push(case("RTO up to its cap", far, &steps));
    }
}

/// Round-trip times that vary, losses, pauses.
fn samples(cases: &mut Vec<Case>) {
    let trips: [(&str, &'static [u64]); 6] = [
        ("RTO, 100 ms ten times", &[100; 10]),
        (
            "RTO, 20 ms nine times, then 150",
            &[20, 20, 20, 20, 20, 20, 20, 20, 20, 150],
        ),
        (
            "RTO, 20 ms, 150 and 20 six times",
            &[20, 20, 20, 150, 20, 20, 20, 20, 20, 20],
        ),
        (
            "RTO, 10 and 160 in turn",
            &[10, 160, 10, 160, 10, 160, 10, 160],
        ),
        (
            "RTO, 180 ms, then 20 eight times",
            &[180, 20, 20, 20, 20, 20, 20, 20, 20],
        ),
        ("RTO, 0 to 180 growing", &[0, 30, 60, 90, 120, 150, 180]),
    ];
    for (name, trips) in trips {
        for (stamps, sack) in [(false, false), (true, false), (true, true)] {
            let setup = Setup {
                rtt: trips[0],
                stamps,
                sack,
                ..PLAIN
            };
            let steps = [
                Step::Open,
                Step::Exchange(trips),
                Step::Mark,
                Step::Write(10),
                watch(2000),
            ];
            cases.push(case(name, setup, &steps));
        }
    }
    for stamps in [false, true] {
        let setup = Setup {
            rtt: 20,
            stamps,
            ..PLAIN
        };
        // The first transmission is lost, the retransmission acknowledged.
        let loss = [
            Step::Open,
            Step::Write(10),
            Step::Hear,
            Step::Hear,
            Step::Ack(20),
            Step::Pause(10),
            Step::Mark,
            Step::Write(10),
            watch(2500),
        ];
        cases.push(case("RTO after a retransmission", setup, &loss));
        let steps = [
            Step::Open,
            Step::Write(10),
            Step::Hear,
            Step::Hear,
            Step::Hear,
            Step::Ack(20),
            Step::Write(10),
            Step::Hear,
            Step::Ack(20),
            Step::Pause(10),
            Step::Mark,
            Step::Write(10),
            watch(2500),
        ];
        cases.push(case("RTO after two, and a sample", setup, &steps));
        let steps = [
            Step::Open,
            Step::Exchange(&[20, 20]),
            Step::Pause(1500),
            Step::Mark,
            Step::Write(10),
            watch(2000),
        ];
        cases.push(case("RTO after a pause", setup, &steps));
    }
}

/// Tail-loss probes.
fn tail(cases: &mut Vec<Case>) {
    for rtt in [0, 20, 100, 300] {
        for (name, len) in [
            ("TLP, one segment", 10),
            ("TLP, four segments", 4 * 1460),
            ("TLP, two segments", 1500),
        ] {
            let setup = Setup {
                rtt,
                sack: true,
                ..PLAIN
            };
            cases.push(case(
                name,
                setup,
                &[Step::Open, Step::Mark, Step::Write(len), watch(2500)],
            ));
        }
        let stamped = Setup {
            rtt,
            sack: true,
            stamps: true,
            ..PLAIN
        };
        cases.push(case("TLP, one segment", stamped, &FIRST));
    }
    let lost = Setup {
        lost: 1,
        rtt: 20,
        sack: true,
        ..PLAIN
    };
    cases.push(case(
        "TLP without SRTT",
        lost,
        &[Step::Open, Step::Mark, Step::Write(10), watch(4000)],
    ));
    let near = Setup {
        rtt: 20,
        sack: true,
        ..PLAIN
    };
    let steps = [
        Step::Open,
        Step::Exchange(&[20, 20, 180, 20, 180]),
        Step::Mark,
        Step::Write(3000),
        watch(2500),
    ];
    cases.push(case("TLP, varied round trips", near, &steps));
    let fin = Setup {
        rtt: 20,
        sack: true,
        ..PLAIN
    };
    cases.push(case(
        "TLP of a FIN",
        fin,
        &[Step::Open, Step::Mark, Step::Shutdown, watch(2500)],
    ));
    let partial = [
        Step::Open,
        Step::Exchange(&[20; 4]),
        Step::Write(3000),
        Step::Hear,
        Step::Ack(20),
        Step::Mark,
        watch(2000),
    ];
    cases.push(Case {
        measure: Measure::SinceMark,
        ..case("TLP after an ACK of the first part", fin, &partial)
    });
}

/// Delayed ACKs.
fn acks(cases: &mut Vec<Case>) {
    let mut add = |name: &str, rtt: u64, steps: Vec<Step>| {
        let setup = Setup {
            rtt,
            no_delay: true,
            ..PLAIN
        };
        let mut all = vec![Step::Open, Step::Mark];
        all.extend(steps);
        all.push(watch(300));
        cases.push(Case {
            measure: Measure::Acks,
            ..case(name, setup, &all)
        });
    };
    let say = |after| Step::Say {
        after,
        len: 1,
        push: true,
    };
    for (pace, rtt) in [(5, 2), (25, 2), (60, 2), (60, 150), (110, 150), (150, 250)] {
        add(
            &format!("ACK, byte each {pace} ms, unread"),
            rtt,
            vec![say(pace); 24],
        );
    }
    add(
        "ACK, byte each 25 ms, read",
        2,
        [say(25), Step::Read].repeat(20),
    );
    add(
        "ACK, answered at once",
        2,
        [
            say(30),
            Step::Read,
            Step::Write(5),
            Step::Hear,
            Step::Ack(2),
        ]
        .repeat(10),
    );
    add("ACK, dialogue, then no answer", 2, {
        let mut steps = [
            say(30),
            Step::Read,
            Step::Write(5),
            Step::Hear,
            Step::Ack(2),
        ]
        .repeat(4);
        steps.extend([
            say(30),
            Step::Read,
            Step::Pause(100),
            say(0),
            Step::Read,
            Step::Pause(100),
            say(0),
        ]);
        steps
    });
    add("ACK of a FIN", 2, vec![Step::Fin]);
    add(
        "ACK of a FIN after text",
        2,
        vec![say(5), Step::Read, Step::Pause(50), Step::Fin],
    );
    add(
        "ACK of a FIN, far",
        150,
        vec![say(5), Step::Read, Step::Pause(50), Step::Fin],
    );
    add("ACK, pause of 1 s", 2, {
        let mut steps = vec![say(5); 20];
        steps.push(Step::Pause(1000));
        steps.extend([say(0); 4]);
        steps
    });
}

/// Nagle's algorithm and small windows.
fn small(cases: &mut Vec<Case>) {
    let setup = Setup {
        rtt: 30,
        no_delay: false,
        ..PLAIN
    };
    let answered = Step::Watch {
        time: 600,
        answer: Some(30),
    };
    for (name, first, second) in [
        ("Nagle, two small writes", 10, 10),
        ("Nagle, full and small, then small", 1500, 10),
        ("Nagle, small, then full and small", 10, 1500),
        ("Nagle, small, then two full", 10, 2920),
    ] {
        let steps = [
            Step::Open,
            Step::Mark,
            Step::Write(first),
            Step::Write(second),
            answered,
        ];
        cases.push(case(name, setup, &steps));
    }
    let narrow = Setup {
        rtt: 20,
        window: 1000,
        ..PLAIN
    };
    let steps = [
        Step::Open,
        Step::Mark,
        Step::Write(2500),
        Step::Watch {
            time: 2500,
            answer: Some(20),
        },
    ];
    cases.push(Case {
        known: Some("half of the window that a connection begins with does not limit a segment"),
        ..case("window of 1000 bytes", narrow, &steps)
    });
    let steps = [
        Step::Open,
        Step::Exchange(&[20]),
        Step::Window(100),
        Step::Write(10),
        Step::Hear,
        Step::Ack(20),
        Step::Pause(10),
        Step::Mark,
        Step::Write(2000),
        Step::Watch {
            time: 2500,
            answer: Some(20),
        },
    ];
    cases.push(Case {
        measure: Measure::SinceMark,
        ..case("window shrinks to 100 bytes", setup, &steps)
    });
}

/// Keepalive and zero windows.
fn idle(cases: &mut Vec<Case>, long: bool) {
    let keep = Setup {
        keepalive: Some([1000, 1000, 3]),
        ..PLAIN
    };
    let since = |case: Case| Case {
        measure: Measure::SinceMark,
        ..case
    };
    cases.push(since(case(
        "keepalive 1 s, 1 s, 3",
        keep,
        &[Step::Open, Step::Mark, watch(5500)],
    )));
    let answered = Step::Watch {
        time: 4500,
        answer: Some(20),
    };
    cases.push(since(case(
        "keepalive, answered",
        keep,
        &[Step::Open, Step::Mark, answered],
    )));
    let steps = [
        Step::Open,
        Step::Pause(600),
        Step::Write(10),
        Step::Hear,
        Step::Mark,
        watch(4000),
    ];
    cases.push(since(case("keepalive, text in flight", keep, &steps)));
    let steps = [
        Step::Open,
        Step::Pause(600),
        Step::Mark,
        Step::Say {
            after: 0,
            len: 10,
            push: true,
        },
        watch(2700),
    ];
    cases.push(since(case("keepalive after text", keep, &steps)));
    let timeout = Setup {
        user_timeout: Some(2500),
        ..keep
    };
    cases.push(since(case(
        "keepalive, user timeout 2.5 s",
        timeout,
        &[Step::Open, Step::Mark, watch(5500)],
    )));
    for rtt in [0, 20, 100, 300] {
        let setup = Setup { rtt, ..PLAIN };
        let zero = [
            Step::Open,
            Step::Window(0),
            Step::Write(10),
            Step::Hear,
            Step::Ack(rtt),
            Step::Pause(10),
            Step::Mark,
            Step::Write(10),
            watch(4000),
        ];
        cases.push(since(case("probes of a zero window", setup, &zero)));
    }
    let setup = Setup { rtt: 20, ..PLAIN };
    let answered = Step::Watch {
        time: 4000,
        answer: Some(20),
    };
    let zero = [
        Step::Open,
        Step::Window(0),
        Step::Write(10),
        Step::Hear,
        Step::Ack(20),
        Step::Pause(10),
        Step::Mark,
        Step::Write(10),
        answered,
    ];
    cases.push(since(case("probes, answered", setup, &zero)));
    cases.push(since(case(
        "probes, answered",
        Setup {
            stamps: true,
            sack: true,
            ..setup
        },
        &zero,
    )));
    let cap = Setup {
        rto_max: Some(1000),
        ..setup
    };
    cases.push(since(case("probes, capped at 1 s", cap, &zero)));
    let timeout = Setup {
        user_timeout: Some(1500),
        ..setup
    };
    let zero = [
        Step::Open,
        Step::Window(0),
        Step::Write(10),
        Step::Hear,
        Step::Ack(20),
        Step::Pause(10),
        Step::Mark,
        Step::Write(10),
        watch(4000),
    ];
    cases.push(since(case("probes, user timeout 1.5 s", timeout, &zero)));
    if long {
        let zero = [
            Step::Open,
            Step::Window(0),
            Step::Write(10),
            Step::Hear,
            Step::Ack(20),
            Step::Pause(10),
            Step::Mark,
            Step::Write(10),
            watch(340_000),
        ];
        cases.push(since(case("probes up to their cap", setup, &zero)));
    }
}

/// FINs.
fn closing(cases: &mut Vec<Case>, long: bool) {
    for rtt in [0, 100] {
        let setup = Setup { rtt, ..PLAIN };
        cases.push(case(
            "FIN",
            setup,
            &[Step::Open, Step::Mark, Step::Shutdown, watch(3000)],
        ));
        let time = if long { 140_000 } else { 3000 };
        let steps = [Step::Open, Step::Mark, Step::Close, watch(time)];
        cases.push(case("FIN of an orphan", setup, &steps));
        let steps = [
            Step::Open,
            Step::Mark,
            Step::Write(10),
            Step::Close,
            watch(3000),
        ];
        cases.push(case("text and FIN of an orphan", setup, &steps));
    }
    let last = [
        Step::Open,
        Step::Fin,
        Step::Pause(60),
        Step::Mark,
        Step::Close,
        watch(3000),
    ];
    cases.push(case("FIN in LAST-ACK", Setup { rtt: 20, ..PLAIN }, &last));
}
