//! Shorter cases: steps left out, fields made plain.

use super::case::{Arrival, Base, Case, Place, Stamp, Step};
use tcpx_proto::wire::Flags;

/// The case with fewer steps, or all of them plain at once.
pub fn fewer_steps(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    let count = case.steps.len();
    for size in [count / 2, count / 4, 1] {
        for from in (0..count).step_by(size.max(1)) {
            let mut less = case.clone();
            less.steps.drain(from..(from + size).min(count));
            cases.push(less);
        }
    }
    let mut plain = case.clone();
    for step in &mut plain.steps {
        if let Step::Arrive(arrival) = step {
            *arrival = Arrival {
                flags: arrival.flags,
                seq: arrival.seq,
                ack: arrival.ack,
                text: arrival.text,
                stamp: case.offers.stamps.then(Stamp::default),
                ..Arrival::default()
            };
        }
    }
    cases.push(plain);
    cases
}

/// The case with one thing made plain.
pub fn plainer_steps(case: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut offers = |change: fn(&mut Case)| {
        let mut less = case.clone();
        change(&mut less);
        if less != *case {
            cases.push(less);
        }
    };
    offers(|case| case.offers.mss = Some(1460));
    offers(|case| case.offers.sack = false);
    offers(|case| case.offers.scale = None);
    offers(|case| case.no_delay = true);
    offers(|case| {
        case.offers.stamps = false;
        for step in &mut case.steps {
            if let Step::Arrive(arrival) = step {
                arrival.stamp = None;
            }
        }
    });
    for at in 0..case.steps.len() {
        let Some(Step::Arrive(arrival)) = case.steps.get(at) else {
            continue;
        };
        for plain in plainer(arrival, case.offers.stamps) {
            let mut less = case.clone();
            less.steps[at] = Step::Arrive(plain);
            cases.push(less);
        }
    }
    cases
}

/// How complicated a case is; shrinking never makes it more so.
pub fn weight(case: &Case) -> usize {
    let arrival = |arrival: &Arrival| {
        let default = Arrival::default();
        usize::from(arrival.text > 0)
            + usize::from(arrival.text > 20)
            + usize::from(arrival.window != default.window)
            + usize::from(arrival.stamp.is_some_and(|stamp| stamp != Stamp::default()))
            + arrival.sack.len()
            + usize::from(arrival.urgent > 0)
            + usize::from(arrival.tos > 0)
            + usize::from(!arrival.extra.is_empty())
            + usize::from(arrival.seq.offset != 0 || arrival.seq.base != Base::RcvNxt)
            + usize::from(arrival.ack.offset != 0 || arrival.ack.base != Base::SndNxt)
            + arrival.flags.bits().count_ones() as usize
    };
    let steps = case.steps.iter().map(|step| match step {
        Step::Arrive(what) => 100 + arrival(what),
        Step::Call(_) => 100,
    });
    steps.sum::<usize>()
        + usize::from(case.offers.sack)
        + usize::from(case.offers.stamps)
        + usize::from(case.offers.scale.is_some())
        + usize::from(case.offers.mss != Some(1460))
        + usize::from(!case.no_delay)
}

fn plainer(arrival: &Arrival, stamps: bool) -> Vec<Arrival> {
    let changes: [fn(&mut Arrival); 14] = [
        |arrival| arrival.text = 0,
        |arrival| arrival.text = arrival.text.min(10),
        |arrival| arrival.window = 65_535,
        |arrival| arrival.sack.clear(),
        |arrival| {
            arrival.sack.pop();
        },
        |arrival| arrival.urgent = 0,
        |arrival| arrival.tos = 0,
        |arrival| arrival.extra.clear(),
        |arrival| arrival.seq = Place::at(Base::RcvNxt),
        |arrival| arrival.ack = Place::at(Base::SndNxt),
        |arrival| arrival.flags -= Flags::PSH,
        |arrival| arrival.flags -= Flags::ECE | Flags::CWR,
        |arrival| arrival.flags -= Flags::URG,
        |arrival| arrival.flags -= Flags::FIN,
    ];
    let mut plainer: Vec<Arrival> = changes
        .iter()
        .map(|change| {
            let mut plain = arrival.clone();
            change(&mut plain);
            plain
        })
        .collect();
    plainer.push(Arrival {
        stamp: stamps.then(Stamp::default),
        ..arrival.clone()
    });
    plainer.retain(|plain| plain != arrival);
    plainer
}
