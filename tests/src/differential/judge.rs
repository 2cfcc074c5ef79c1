//! The whole comparison: cases are drawn, played to both hosts and compared; what differs three
//! times is shrunk and reported.

use super::case::Case;
use super::compare::{Difference, What, difference};
use super::kernel::Kernel;
use super::known;
use super::shrink;
use super::side::{Followed, Pace, Run, SLOTS, Side, play_slowly};
use super::tcpx::Tcpx;
use crate::tun::Tun;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// Cases played at a time where no timer may expire.
const FAST: usize = 48;
/// The MTU of the devices.
const MTU: u16 = 1500;
/// Time between two steps, and after the last one, where timers may expire.
pub const SLOW: Pace = Pace::Slow(Duration::from_millis(100), Duration::from_millis(1500));
/// A difference counts if it shows this many times more.
const REPLAYS: usize = 3;
/// Of what follows a step so many segments tell its kind.
const OF_A_BURST: usize = 3;
/// Of each kind of difference so many are repeated and shrunk.
const OF_A_KIND: usize = 1;
/// Shrinking a case takes no longer, where each case is played fast, and where it is played slowly.
const SHRINKING: Duration = Duration::from_secs(4);
const SHRINKING_SLOWLY: Duration = Duration::from_secs(10);

/// Both hosts.
#[derive(Debug)]
pub struct Judge {
    kernel: Side<Kernel>,
    tcpx: Side<Tcpx>,
    /// Every round of a run leaves time to the timers, not only one in twenty.
    pub slow: bool,
    /// When a run ends, if it does not end before: nothing is shrunk any more.
    pub until: Option<Instant>,
    _runtime: tokio::runtime::Runtime,
}

/// What both hosts did in a case.
#[derive(Clone, Debug)]
pub struct Played {
    /// The case.
    pub case: Case,
    /// How fast.
    pub pace: Pace,
    /// The kernel's run.
    pub kernel: Run,
    /// The run of tcpx.
    pub tcpx: Run,
    /// Where they differ first.
    pub difference: Option<Difference>,
}

/// What is alike in differences of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Kind {
    what: What,
    /// The state before the step.
    before: String,
    /// Control bits of what the kernel sent, and its state after the step.
    kernel: Vec<String>,
    /// The same of tcpx.
    tcpx: Vec<String>,
}

/// A difference that shows every time, as short as it gets.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The case that was drawn.
    pub number: u64,
    /// The shortest one.
    pub played: Played,
    /// Cases that differ in this way.
    pub count: usize,
}

/// What a run of many cases gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Cases that were played.
    pub cases: u64,
    /// Differences that showed once and never again.
    pub passing: usize,
    /// Cases that are yet to be played slowly.
    pub doubtful: usize,
    /// Known differences, by name, with the number of cases.
    pub known: BTreeMap<&'static str, usize>,
    /// The others.
    pub findings: Vec<Finding>,
}

impl Judge {
    /// Both hosts in namespaces of their own. The calling thread enters that of the kernel.
    ///
    /// # Errors
    /// Those of making namespaces and devices.
    pub fn new() -> io::Result<Judge> {
        // The loop of tcpx has a thread of its own.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (kernels, kernels_tun) = Tun::alone(MTU)?;
        let (ours, our_tun) = Tun::alone(MTU)?;
        let inside = runtime.enter();
        let host = Tcpx::new(&ours)?;
        drop(inside);
        move_into_link_name_space(kernels.fd(), Some(LinkNameSpaceType::Network))?;
        Ok(Judge {
            kernel: Side::new(Kernel::new(&kernels)?, kernels_tun),
            tcpx: Side::new(host, our_tun),
            slow: false,
            until: None,
            _runtime: runtime,
        })
    }

    /// Plays at most [`SLOTS`] cases at a time to both hosts.
    ///
    /// # Errors
    /// A host or a device fails.
    pub fn play(&mut self, cases: &[Case], pace: Pace) -> io::Result<Vec<Played>> {
        let Judge { kernel, tcpx, .. } = self;
        let (kernel, tcpx) = match pace {
            // One after the other, so that less time passes between two steps.
            Pace::Fast => (kernel.play(cases)?, tcpx.play(cases)?),
            Pace::Slow(apart, rest) => play_slowly((kernel, tcpx), cases, (apart, rest))?,
        };
        Ok(cases
            .iter()
            .zip(kernel.into_iter().zip(tcpx))
            .map(|(case, (kernel, tcpx))| Played {
                difference: difference(case, pace, &kernel, &tcpx),
                case: case.clone(),
                pace,
                kernel,
                tcpx,
            })
            .collect())
    }

    /// Plays these cases in as many rounds as it takes.
    fn play_all(&mut self, cases: &[Case], pace: Pace) -> io::Result<Vec<Played>> {
        let mut played = Vec::new();
        for some in cases.chunks(at_a_time(pace)) {
            played.extend(self.play(some, pace)?);
        }
        Ok(played)
    }

    /// Those of these that differ each time, and how the last time. All are repeated at a time,
    /// since each repetition may wait for timers.
    fn confirmed(&mut self, mut differ: Vec<(u64, Played)>) -> io::Result<Vec<(u64, Played)>> {
        let Some(pace) = differ.first().map(|(_, played)| played.pace) else {
            return Ok(differ);
        };
        for _ in 0..REPLAYS {
            let cases: Vec<Case> = differ.iter().map(|(_, it)| it.case.clone()).collect();
            let again = self.play_all(&cases, pace)?;
            let numbers = differ.iter().map(|(number, _)| *number);
            differ = numbers.zip(again).collect();
            differ.retain(|(_, played)| played.difference.is_some() && !played.waits_for_a_timer());
        }
        Ok(differ)
    }

    /// Whether a case differs each time, and how the last time.
    fn again(&mut self, case: &Case, pace: Pace) -> io::Result<Option<Played>> {
        let mut last = None;
        for _ in 0..REPLAYS {
            let played = self.play(std::slice::from_ref(case), pace)?.pop();
            last = played.filter(|played| played.difference.is_some());
            if last.is_none() {
                break;
            }
        }
        Ok(last)
    }

    /// The shortest case that still differs, without becoming a known difference, as far as the
    /// time goes.
    fn shrunk(&mut self, mut best: Played) -> io::Result<Played> {
        let time = match best.pace {
            Pace::Fast => SHRINKING,
            Pace::Slow(..) => SHRINKING_SLOWLY,
        };
        let until = Instant::now() + time;
        let until = self.until.map_or(until, |end| end.min(until));
        for simpler in [
            shrink::fewer_steps as fn(&Case) -> Vec<Case>,
            shrink::plainer_steps,
        ] {
            while Instant::now() < until
                && let Some(next) = self.simplified(&best, simpler, until)?
            {
                best = next;
            }
        }
        Ok(best)
    }

    /// A simpler one that differs as this one does, on three connections at a time: the simplest
    /// of those that are played together.
    fn simplified(
        &mut self,
        best: &Played,
        simpler: fn(&Case) -> Vec<Case>,
        until: Instant,
    ) -> io::Result<Option<Played>> {
        let mut simpler = simpler(&best.case);
        if let Some(at) = &best.difference {
            let mut less = best.case.clone();
            less.steps.truncate(at.step + 1);
            simpler.push(less);
        }
        let weight = shrink::weight(&best.case);
        simpler.retain(|case| shrink::weight(case) < weight);
        simpler.sort_by_key(shrink::weight);
        let kind = best.alike();
        for some in simpler.chunks(at_a_time(best.pace) / REPLAYS) {
            if Instant::now() >= until {
                break;
            }
            let copies: Vec<Case> = some
                .iter()
                .flat_map(|case| std::iter::repeat_n(case.clone(), REPLAYS))
                .collect();
            let played = self.play(&copies, best.pace)?;
            let found = played
                .chunks(REPLAYS)
                .filter(|copies| copies.iter().all(|played| played.alike() == kind))
                .find_map(<[Played]>::last);
            if found.is_some() {
                return Ok(found.cloned());
            }
        }
        Ok(None)
    }

    /// Repeats and shrinks what differs among these.
    fn report(&mut self, played: Vec<(u64, Played)>, report: &mut Report) -> io::Result<()> {
        let mut unknown = Vec::new();
        for (number, played) in played {
            report.cases += 1;
            match (&played.difference, played.known()) {
                (None, _) => {}
                (_, Some(name)) => *report.known.entry(name).or_default() += 1,
                _ => unknown.push((number, played)),
            }
        }
        let all = unknown.len();
        let confirmed = self.confirmed(unknown)?;
        report.passing += all - confirmed.len();
        for (number, played) in confirmed {
            let kind = played.kind();
            let like = |finding: &&mut Finding| finding.played.kind() == kind;
            if report.findings.iter_mut().filter(like).count() >= OF_A_KIND {
                if let Some(finding) = report.findings.iter_mut().find(like) {
                    finding.count += 1;
                }
                continue;
            }
            let shrunk = self.shrunk(played)?;
            match self.again(&shrunk.case, shrunk.pace)? {
                Some(again) => report.add(number, again),
                None => report.passing += 1,
            }
        }
        Ok(())
    }

    /// Draws and plays cases from a seed until `more`, which is asked before each round, says no.
    ///
    /// # Errors
    /// A host or a device fails.
    pub fn run(&mut self, seed: u64, mut more: impl FnMut(&Report) -> bool) -> io::Result<Report> {
        let mut report = Report::default();
        let mut next = 0;
        let mut doubtful = Vec::new();
        for round in 0.. {
            let going_on = more(&report);
            // One round in twenty, which holds more cases, leaves time to the timers; so does one
            // with all cases in which only the ACKs differed.
            let fresh = (self.slow || round % 20 == 19) && going_on;
            if doubtful.len() >= SLOTS / 2 || fresh || !going_on {
                let mut some: Vec<u64> = std::mem::take(&mut doubtful);
                report.cases -= some.len() as u64;
                if fresh {
                    let count = (SLOTS - some.len()) as u64;
                    some.extend(next..next + count);
                    next += count;
                }
                self.round(seed, &some, SLOW, &mut report)?;
            }
            if !going_on {
                break;
            }
            if self.slow {
                continue;
            }
            let numbers: Vec<u64> = (next..).take(FAST).collect();
            next += FAST as u64;
            doubtful.extend(self.round(seed, &numbers, Pace::Fast, &mut report)?);
            report.doubtful = doubtful.len();
        }
        Ok(report)
    }

    /// Plays the cases with these numbers and reports on them, except on those in which only the
    /// ACKs differ while no timer had the time to expire: their numbers are returned.
    fn round(
        &mut self,
        seed: u64,
        numbers: &[u64],
        pace: Pace,
        report: &mut Report,
    ) -> io::Result<Vec<u64>> {
        let cases: Vec<Case> = numbers
            .iter()
            .map(|number| super::generate::case(seed, *number))
            .collect();
        let played = self.play(&cases, pace)?;
        let (doubtful, rest): (Vec<_>, Vec<_>) = (numbers.iter().copied().zip(played))
            .partition(|(_, played)| played.waits_for_a_timer());
        report.cases += doubtful.len() as u64;
        self.report(rest, report)?;
        Ok(doubtful.into_iter().map(|(number, _)| number).collect())
    }
}

/// Cases that are played at a time.
fn at_a_time(pace: Pace) -> usize {
    if pace == Pace::Fast { FAST } else { SLOTS }
}

impl Report {
    /// Takes in what differs in a case, as short as it gets.
    fn add(&mut self, number: u64, shrunk: Played) {
        if let Some(name) = shrunk.known() {
            *self.known.entry(name).or_default() += 1;
            return;
        }
        let same = |finding: &&mut Finding| finding.played.case == shrunk.case;
        if let Some(finding) = self.findings.iter_mut().find(same) {
            finding.count += 1;
            return;
        }
        println!("\n== case {number} of the seed, as short as it gets\n{shrunk}");
        self.findings.push(Finding {
            number,
            played: shrunk,
            count: 1,
        });
    }
}

impl Played {
    /// The name of the known difference that this is.
    pub fn known(&self) -> Option<&'static str> {
        let difference = self.difference.as_ref()?;
        known::name(&self.case, difference, &self.kernel, &self.tcpx)
    }

    /// Whether only what may wait for a timer differs, where none had the time to expire.
    fn waits_for_a_timer(&self) -> bool {
        self.pace == Pace::Fast
            && self.difference.as_ref().map(|at| at.what) == Some(What::Timed)
            && self.known().is_none()
    }

    /// What shrinking must keep: the kind, whatever the state before, and the known name.
    fn alike(&self) -> Option<(Option<&'static str>, Kind)> {
        let kind = Kind {
            before: String::new(),
            ..self.kind()?
        };
        Some((self.known(), kind))
    }

    /// The kind of the difference.
    fn kind(&self) -> Option<Kind> {
        let Difference { step, what } = self.difference.clone()?;
        let replies = |run: &Run| -> Vec<String> {
            let Followed { replies, state, .. } = &run[step];
            let first = replies.iter().filter(|reply| !reply.repeated);
            let controls = first.map(|reply| reply.control().to_string());
            let shown = controls.take(OF_A_BURST);
            shown.chain([state.to_string()]).collect()
        };
        let before = step
            .checked_sub(1)
            .map_or_else(String::new, |before| self.kernel[before].state.to_string());
        Some(Kind {
            what,
            before,
            kernel: replies(&self.kernel),
            tcpx: replies(&self.tcpx),
        })
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |followed: Option<&Followed>| -> String {
            followed.map_or_else(String::new, |followed| {
                let outcome = followed.outcome.iter().map(ToString::to_string);
                let replies = followed.replies.iter().map(|reply| match self.pace {
                    Pace::Fast => reply.to_string(),
                    Pace::Slow(..) => format!("{reply} after {:.0?}", reply.after),
                });
                let parts: Vec<String> = outcome.chain(replies).collect();
                format!("{} {}", followed.state, parts.join("; "))
            })
        };
        writeln!(f, "{}", self.case.offers)?;
        if self.case.no_delay {
            writeln!(f, "nodelay")?;
        }
        for (nth, step) in self.case.steps.iter().enumerate() {
            writeln!(f, "{step}")?;
            let (kernel, tcpx) = (side(self.kernel.get(nth)), side(self.tcpx.get(nth)));
            writeln!(f, "    # kernel: {kernel}")?;
            let differs = self.difference.as_ref().filter(|at| at.step == nth);
            match differs {
                Some(Difference { what, .. }) => {
                    let known = self.known().map(|name| format!(" (known: {name})"));
                    let known = known.unwrap_or_default();
                    writeln!(f, "    # tcpx:   {tcpx}   <-- {what}{known}")?;
                }
                None if kernel != tcpx => writeln!(f, "    # tcpx:   {tcpx}")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// A line for each so many cases.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    next: Instant,
}

impl Default for Progress {
    fn default() -> Progress {
        let began = Instant::now();
        Progress {
            began,
            next: began + Duration::from_secs(10),
        }
    }
}

impl Progress {
    /// Seconds since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Prints how far it is, every ten seconds.
    pub fn show(&mut self, report: &Report) {
        if Instant::now() >= self.next {
            self.next += Duration::from_secs(10);
            eprintln!("{}", self.line(report));
        }
    }

    /// How far it is.
    pub fn line(&self, report: &Report) -> String {
        let seconds = self.elapsed().as_secs_f64();
        format!(
            "{} cases in {seconds:.0} s, {:.0}/s; {} unexplained differences, {} known, {} that did \
             not repeat",
            report.cases,
            report.cases as f64 / seconds,
            report.findings.len(),
            report.known.values().sum::<usize>(),
            report.passing
        )
    }
}
