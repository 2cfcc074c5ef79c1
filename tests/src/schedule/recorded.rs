//! Runs of the kernel as lines of text: what the engine must do with the same inputs on any
//! machine.
//!
//! A line has, separated by tabs, the case's name and setup, the inputs, when the host did
//! something, what of it counts, and the end. Times are microseconds on a clock on which the
//! kernel's timer wheel began at zero.

use super::cases::Case;
use super::play::{Input, Played};
use super::wire::ISS;
use std::fmt::Write as _;
use tcpx_proto::time::Instant;

/// A run as a line. `origin`: what the clock of the wheel reads less; `step`: that of its ring that
/// counts.
pub(super) fn line(case: &Case, run: &Played, [origin, step]: [u64; 2]) -> String {
    let first = run.inputs.first().map_or(run.end, |(at, _)| *at);
    let base = origin + (first.0 - origin) / step * step;
    let time = |at: Instant| (at.0 - base) / 1000;
    let mut line = format!("{}\t{}\t", case.name, case.setup);
    let mut word = |at: Instant, text: String| {
        // Writing into a String does not fail.
        _ = write!(line, "{}:{text} ", time(at));
    };
    for (at, input) in &run.inputs {
        word(*at, token(input));
    }
    let mut rest = String::from("\t");
    for at in &run.times {
        _ = write!(rest, "{} ", time(*at));
    }
    rest.push('\t');
    for moment in &run.moments {
        let since = time(moment.at);
        _ = write!(rest, "{since}:{} ", moment.what.replace(' ', "_"));
    }
    _ = write!(rest, "\t{}", time(run.end));
    line + &rest
}

fn token(input: &Input) -> String {
    match input {
        Input::Connect => "connect".into(),
        Input::Listen => "listen".into(),
        Input::Write(len) => format!("write={len}"),
        Input::Read => "read".into(),
        Input::Shutdown => "shutdown".into(),
        Input::Close => "close".into(),
        Input::Mark => "mark".into(),
        Input::Segment {
            header, ack, len, ..
        } => {
            let seq = header.seq.since(ISS);
            let stamp = header.options.timestamps.map_or(0, |stamps| stamps.value);
            format!(
                "{}={seq},{ack},{len},{},{stamp}",
                header.flags, header.window
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::play::Moment;
    use super::super::replay::replay;
    use super::super::wire::MSS;
    use super::super::{JIFFY, cases};
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tcpx_proto::seq::Seq;
    use tcpx_proto::wire::{Flags, Header, Options, Timestamps};

    const PEER: ([u8; 4], u16) = ([10, 78, 1, 1], 9000);
    /// What a host on a busy machine may be late by, apart from its timers.
    const LATE: i64 = 8000;

    /// Reads what [`line`] writes; `None`: it is none.
    fn read(line: &str, cases: &[Case]) -> Option<(Case, Played)> {
        let [name, setup, inputs, times, moments, end] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let is = |case: &&Case| case.name == name && case.setup.to_string() == setup;
        let case = cases.iter().find(is)?.clone();
        let timed = |word: &str| {
            let (at, rest) = word.split_once(':')?;
            Some((Instant(at.parse::<u64>().ok()? * 1000), rest.to_owned()))
        };
        let inputs = inputs.split_whitespace().map(|word| {
            let (at, text) = timed(word)?;
            Some((at, input(&text, &case)?))
        });
        let moments = moments.split_whitespace().map(|word| {
            let (at, what) = timed(word)?;
            let what = what.replace('_', " ");
            Some(Moment {
                what,
                at,
                after: Duration::ZERO,
            })
        });
        let instant = |word: &str| Some(Instant(word.parse::<u64>().ok()? * 1000));
        let played = Played {
            peer: SocketAddr::from(PEER),
            inputs: inputs.collect::<Option<_>>()?,
            moments: moments.collect::<Option<_>>()?,
            times: times
                .split_whitespace()
                .map(instant)
                .collect::<Option<_>>()?,
            end: instant(end)?,
        };
        Some((case, played))
    }

    fn input(text: &str, case: &Case) -> Option<Input> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Some(match name {
            "connect" => Input::Connect,
            "listen" => Input::Listen,
            "write" => Input::Write(value.parse().ok()?),
            "read" => Input::Read,
            "shutdown" => Input::Shutdown,
            "close" => Input::Close,
            "mark" => Input::Mark,
            flags => {
                let flags = Flags::from_letters(&flags.replace('.', ""))?;
                let numbers: Option<Vec<i64>> =
                    value.split(',').map(|word| word.parse().ok()).collect();
                let [seq, ack, len, window, stamp] = numbers?[..] else {
                    return None;
                };
                let syn = flags.contains(Flags::SYN);
                let timestamps = case.setup.stamps.then_some(Timestamps {
                    value: stamp as u32,
                    echo: 0,
                });
                let options = Options {
                    mss: syn.then_some(MSS),
                    sack_permitted: syn && case.setup.sack,
                    timestamps,
                    ..Options::default()
                };
                let header = Header {
                    source: SocketAddr::from(PEER),
                    destination: SocketAddr::from(PEER),
                    seq: ISS + seq as u32,
                    ack: Seq(0),
                    flags,
                    window: window as u16,
                    urgent: 0,
                    options,
                    ttl: 64,
                    tos: 0,
                    id: 1,
                };
                let len = len as usize;
                let end = header.seq + len as u32 + header.control_len();
                Input::Segment {
                    header,
                    ack,
                    len,
                    end,
                }
            }
        })
    }

    #[test]
    fn engine_does_what_linux_6_18_did_within_a_jiffy() {
        let cases = cases(true);
        let jiffy = JIFFY.as_micros() as i64;
        let mut wrong = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for line in include_str!("../../data/linux_6_18_schedules.tsv").lines() {
            if line.starts_with('#') {
                continue;
            }
            let (case, run) = read(line, &cases).unwrap();
            let engine = replay(&case, &run, 0);
            let same = engine.len() == run.moments.len()
                && engine.iter().zip(&run.moments).all(|(ours, theirs)| {
                    let late = theirs.at.0 as i64 / 1000 - ours.at.0 as i64 / 1000;
                    ours.what == theirs.what && (-jiffy..=jiffy + LATE).contains(&late)
                });
            if !same {
                let show = |moments: &[Moment]| -> String {
                    let one = |moment: &Moment| format!(" {} @{}", moment.what, moment.at.micros());
                    moments.iter().map(one).collect()
                };
                wrong.push(format!(
                    "{}, {}\n  linux{}\n  tcpx {}",
                    case.name,
                    case.setup,
                    show(&run.moments),
                    show(&engine)
                ));
            }
            names.push(format!("{}\t{}", case.name, case.setup));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(names.len() >= 95, "{} recorded", names.len());
    }
}
