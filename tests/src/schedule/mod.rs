//! When a host sends what nobody asked for: the schedules of its timers, the kernel's beside
//! tcpx's with profile linux.
//!
//! Both run on one TUN device against peers that this program plays. What a host got in a run, the
//! engine then gets without a wire at the same times, at the same place of its timer wheel: so
//! neither chance nor a busy machine makes two runs differ, only what the two hosts are.

mod cases;
mod end;
mod play;
mod recorded;
mod replay;
mod table;
mod wire;

pub use cases::{Case, Setup, cases};
pub use table::Row;

use crate::tun::Tun;
use end::End;
use play::{Played, play};
use std::io;
use std::rc::Rc;
use std::time::Duration;
use table::Side;
use tcpx::netns::Namespace;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use wire::Wire;

/// A jiffy where CONFIG_HZ is 250.
pub const JIFFY: Duration = Duration::from_millis(4);
const NANOS: u64 = JIFFY.as_nanos() as u64;
/// How often each schedule is measured.
const REPETITIONS: u64 = 5;
/// How often what differs is measured again: only what repeats is a difference.
const ATTEMPTS: usize = 4;

/// Where schedules are measured: a network namespace with a TUN device.
#[derive(Debug)]
pub struct Place {
    inside: Namespace,
    tun: Tun,
}

impl Place {
    /// Makes it.
    ///
    /// # Errors
    /// Those of making a namespace and a device: EPERM without CAP_SYS_ADMIN and CAP_NET_ADMIN.
    pub fn new() -> io::Result<Place> {
        let inside = Namespace::new()?;
        let tun = Tun::new(&inside, 1500)?;
        Ok(Place { inside, tun })
    }

    /// Measures schedules; a row for each.
    ///
    /// # Errors
    /// Those of opening sockets; a run whose peer heard nothing.
    pub fn measure(self, cases: Vec<Case>) -> io::Result<Vec<Row>> {
        let Place { inside, tun } = self;
        inside.run(|| {
            // A thread for our host, and this one for the kernel's applications and the peers.
            let hosts = Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            let tcpx = {
                let _inside = hosts.enter();
                End::tcpx()?
            };
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(LocalSet::new().run_until(measure(tun, tcpx, cases)))
        })
    }
}

async fn measure(tun: Tun, tcpx: End, cases: Vec<Case>) -> io::Result<Vec<Row>> {
    let bench = Bench {
        wire: Wire::new(tun)?,
        kernel: Rc::new(End::Kernel),
        tcpx: Rc::new(tcpx),
    };
    tokio::task::spawn_local(Rc::clone(&bench.wire).distribute());
    let cases: Vec<Rc<Case>> = cases.into_iter().map(Rc::new).collect();
    let mut rows = bench.measure(&cases).await?;
    for _ in 1..ATTEMPTS {
        let wrong: Vec<usize> = (0..rows.len())
            .filter(|nth| rows[*nth].is_wrong())
            .collect();
        if wrong.is_empty() {
            break;
        }
        let again: Vec<_> = wrong.iter().map(|nth| Rc::clone(&cases[*nth])).collect();
        for (nth, row) in wrong.into_iter().zip(bench.measure(&again).await?) {
            rows[nth] = row;
        }
    }
    Ok(rows)
}

/// The two hosts, and the device between them and their peers.
struct Bench {
    wire: Rc<Wire>,
    kernel: Rc<End>,
    tcpx: Rc<End>,
}

impl Bench {
    async fn measure(&self, cases: &[Rc<Case>]) -> io::Result<Vec<Row>> {
        let Bench { wire, kernel, tcpx } = self;
        let longest = cases.iter().map(|case| case.duration()).max();
        let (wheel, theirs, ours) = tokio::join!(
            wheel(wire, kernel, longest.unwrap_or_default()),
            run(wire, kernel, cases),
            run(wire, tcpx, cases)
        );
        let (wheel, theirs, ours) = (wheel?, theirs?, ours?);
        let row = |(case, (theirs, ours)): (&Rc<Case>, (&Vec<Played>, &Vec<Played>))| {
            let kernel = Side::new(case, theirs, wheel.origin);
            Row::new(case, kernel, Side::new(case, ours, 0), wheel)
        };
        let runs = theirs.iter().zip(&ours);
        Ok(cases.iter().zip(runs).map(row).collect())
    }
}

/// Runs each case as often as it takes.
async fn run(wire: &Rc<Wire>, end: &Rc<End>, cases: &[Rc<Case>]) -> io::Result<Vec<Vec<Played>>> {
    let mut runs = JoinSet::new();
    for (nth, case) in cases.iter().enumerate() {
        for repetition in 0..REPETITIONS {
            let (wire, end, case) = (Rc::clone(wire), Rc::clone(end), Rc::clone(case));
            // All over a wheel's slots, and not all at once.
            let pause = Duration::from_millis((11 * nth as u64 + 53 * repetition) % 1024);
            runs.spawn_local(async move {
                tokio::time::sleep(pause).await;
                let played = play(&wire, &end, &case).await;
                (
                    nth,
                    repetition,
                    played.map_err(|error| named(&end, &case, &error)),
                )
            });
        }
    }
    let mut all: Vec<(usize, u64, Played)> = Vec::new();
    while let Some(done) = runs.join_next().await {
        let (nth, repetition, played) = done.map_err(io::Error::other)?;
        all.push((nth, repetition, played?));
    }
    all.sort_unstable_by_key(|(nth, repetition, _)| (*nth, *repetition));
    let mut grouped: Vec<Vec<Played>> = cases.iter().map(|_| Vec::new()).collect();
    for (nth, _, played) in all {
        grouped[nth].push(played);
    }
    Ok(grouped)
}

fn named(end: &End, case: &Case, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}, {}: {error}", case.name, end.name()))
}

/// Where the kernel's timer wheel is on the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct Wheel {
    /// What a clock on which it began at zero reads less, at least, in nanoseconds.
    origin: u64,
    /// The step of its ring that counts.
    step: u64,
}

/// Finds it: a keepalive timer of one second comes up at a multiple of 8 jiffies, one of three
/// seconds at a multiple of 64, one of seventeen at a multiple of 512. Any may come late.
async fn wheel(wire: &Rc<Wire>, kernel: &Rc<End>, longest: Duration) -> io::Result<Wheel> {
    let long = longest > Duration::from_secs(16);
    let (idle, step) = if long { (17_000, 512) } else { (3000, 64) };
    let (fine, coarse) = tokio::join!(
        comes_up(wire, kernel, 1000, 8),
        comes_up(wire, kernel, idle, step)
    );
    let (fine, coarse) = (fine?, coarse?);
    Ok(Wheel {
        origin: (coarse - (coarse - fine % 8) % 8) % step * NANOS,
        step: step * NANOS,
    })
}

/// The number of a jiffy, on the monotonic clock, at which timers of `idle` ms come up: the
/// earliest of several, as the others come a multiple of `step` apart.
async fn comes_up(wire: &Rc<Wire>, kernel: &Rc<End>, idle: u64, step: u64) -> io::Result<u64> {
    let case = Rc::new(cases::one_keepalive(idle));
    let mut runs = JoinSet::new();
    for nth in 0..12 {
        let (wire, kernel, case) = (Rc::clone(wire), Rc::clone(kernel), Rc::clone(&case));
        runs.spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(40 * nth)).await;
            play(&wire, &kernel, &case).await
        });
    }
    let mut jiffies = Vec::new();
    while let Some(played) = runs.join_next().await {
        let played = played.map_err(io::Error::other)??;
        let probe = played.moments.first().zip(played.marked());
        let (moment, mark) = probe.ok_or_else(|| io::Error::other("no keepalive probe"))?;
        jiffies.push((mark + moment.after).0 / NANOS);
    }
    // The one before which the circle is empty for longest.
    let gap = |jiffy: &u64| {
        let before = jiffies
            .iter()
            .map(|other| (jiffy + step - other % step) % step);
        before.filter(|gap| *gap > 0).min().unwrap_or(step)
    };
    Ok(jiffies.iter().copied().max_by_key(gap).unwrap_or_default())
}
