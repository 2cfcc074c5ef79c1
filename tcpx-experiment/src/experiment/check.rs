//! What a file says of itself that cannot be: refused when it is read, before anything is run.

use super::expectation::Wanted;
use super::mistake::Wrong;
use super::{Arm, Experiment, HostPlan, Inject, Plan, Scale, World, folder};
use crate::end::End;
use crate::oracle::{Oracle, seconds};
use std::collections::BTreeMap;
use std::time::Duration;
use tcpx_proto::lexer::{Mistake, did_you_mean, nearest};
use tcpx_proto::script::{Script, Step};
use tcpx_proto::state::{State, TRANSITIONS};

/// The most arms: each is a run in each world.
const MOST_ARMS: usize = 100;

impl Experiment {
    /// All of it, in every world.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.name.is_empty() || self.name.starts_with('.') || self.name.contains(['/', '\0']) {
            return Err(Wrong::everywhere(
                "the name is a directory's with --keep: it cannot be empty, begin with a dot or have a slash",
            ));
        }
        if self.kernel.reason.is_none() == self.kernel.end.is_none() {
            return Err(Wrong::everywhere(
                "[kernel] says which end is Linux's (end = \"b\"), or why it cannot be (no = \"...\")",
            ));
        }
        if World::ALL
            .into_iter()
            .all(|world| self.unsupported(world).is_some())
        {
            return Err(Wrong::everywhere(
                "it can be run in no world: [sim], [wire] and [kernel] all say no",
            ));
        }
        self.check_sides()?;
        self.check_names()?;
        self.check_constants()?;
        for arm in &self.arms {
            self.check_arm(arm)?;
        }
        Ok(())
    }

    /// Without the rule and with it: one alone compares nothing.
    fn check_sides(&self) -> Result<(), Wrong> {
        if let Some(more) = self.arms.get(MOST_ARMS) {
            return Err(Wrong::of(
                &more.name,
                format!("an experiment has {MOST_ARMS} arms at the most"),
            ));
        }
        let what = match (
            self.arms.iter().any(|arm| arm.treatment),
            self.arms.iter().any(|arm| !arm.treatment),
        ) {
            (true, true) => return Ok(()),
            (false, false) => "there is no [[arm]]",
            (false, true) => "no arm has treatment = true",
            (true, false) => "every arm has treatment = true",
        };
        let help = "the run without the rule has treatment = true, and the one with it is its control; the two may be identical";
        Err(Wrong::everywhere(format!(
            "{what}: an experiment that does not compare two runs shows nothing"
        ))
        .help(help))
    }

    /// A report, a document and a directory tell arms by their names.
    fn check_names(&self) -> Result<(), Wrong> {
        let mut known: BTreeMap<String, &str> = BTreeMap::new();
        for arm in &self.arms {
            let name = arm.name.get_ref();
            if name.trim().is_empty() {
                return Err(Wrong::of(&arm.name, "an arm without a name"));
            }
            match known.insert(folder(name), name) {
                Some(other) if other == name => {
                    return Err(Wrong::of(
                        &arm.name,
                        format!("two arms are called \"{name}\""),
                    ));
                }
                Some(other) => {
                    return Err(Wrong::of(
                        &arm.name,
                        format!(
                            "--keep has one directory for \"{other}\" and \"{name}\": name one of them differently"
                        ),
                    ));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn check_arm(&self, arm: &Arm) -> Result<(), Wrong> {
        let name = &arm.name;
        if arm.breaks.is_empty() && arm.holds.is_empty() && arm.ladder.is_empty() {
            return Err(Wrong::of(
                name,
                format!("the arm \"{name}\" judges nothing: it needs breaks, holds or a ladder"),
            ));
        }
        for (scale, world) in [
            (Scale::Real, World::Sim),
            (Scale::Wire, World::Wire),
            (Scale::Kernel, World::Kernel),
        ] {
            let plan = self.plan(arm, scale)?;
            if self.unsupported(world).is_some() {
                continue;
            }
            self.check_verdicts(arm, &plan)?;
            self.check_times(arm, &plan)?;
            self.check_injections(arm, &plan)?;
            self.check_ladder(arm, &plan)?;
        }
        Ok(())
    }

    /// What the hosts are called is no constant, and what an arm gives another value is one.
    fn check_constants(&self) -> Result<(), Wrong> {
        let own = || self.arms.iter().flat_map(|arm| arm.constants.keys());
        if let Some(taken) = self
            .constants
            .keys()
            .chain(own())
            .find(|name| ["a", "b"].contains(&name.get_ref().as_str()))
        {
            return Err(Wrong::of(taken, "$a and $b are the hosts' addresses"));
        }
        let stands = |name: &str| {
            let name_goes_on = |rest: &str| {
                rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            };
            let places = self
                .source
                .split('$')
                .skip(1)
                .filter_map(|place| place.strip_prefix(name));
            places.into_iter().any(|rest| !name_goes_on(rest))
        };
        let Some(unknown) =
            own().find(|name| !self.constants.contains_key(*name) && !stands(name.get_ref()))
        else {
            return Ok(());
        };
        let nearest = nearest(
            unknown.get_ref(),
            self.constants.keys().map(|name| name.get_ref().as_str()),
        );
        let help = nearest.map_or_else(
            || format!("${unknown} stands in no text of this file"),
            did_you_mean,
        );
        Err(Wrong::of(
            unknown,
            format!("there is no constant '{unknown}' that this arm could give another value"),
        )
        .help(help))
    }

    /// An oracle breaks or holds, and once.
    fn check_verdicts(&self, arm: &Arm, plan: &Plan) -> Result<(), Wrong> {
        let beside = if plan.scale == Scale::Kernel {
            " beside Linux"
        } else {
            ""
        };
        let (breaks, holds) = arm.oracles(plan.scale);
        let all = || breaks.iter().chain(holds);
        for (nth, oracle) in all().enumerate() {
            if let Some(before) = all().take(nth).find(|before| *before == oracle) {
                let both = nth >= breaks.len() && breaks.contains(before);
                // The one that this world alone has, or that comes later, is the mistake.
                let place = if before.span().start > oracle.span().start {
                    before
                } else {
                    oracle
                };
                let twice = format!("{oracle} is there twice");
                let cannot = format!(
                    "{oracle} is in breaks and in holds of the arm \"{}\"{beside}: it cannot do both",
                    arm.name
                );
                return Err(Wrong::of(place, if both { cannot } else { twice }));
            }
            match oracle.get_ref() {
                Oracle::Economy if self.budget.is_none() => {
                    return Err(Wrong::of(oracle, "economy needs a budget to judge by")
                        .help("such as: budget = \"30\", so many segments"));
                }
                Oracle::Connect
                    if !plan
                        .hosts
                        .iter()
                        .any(|host| host.script.steps.iter().any(connects)) =>
                {
                    return Err(Wrong::of(
                        oracle,
                        "connect judges the step 'connect', and no script has one",
                    ));
                }
                Oracle::Progress | Oracle::Agreement
                    if plan.patience >= plan.limit && nth < breaks.len() =>
                {
                    let [patience, limit] =
                        [plan.patience, plan.limit].map(|time| seconds(time.as_secs_f64()));
                    let message = format!(
                        "{oracle} cannot break: the run ends after {limit}, before a patience of {patience} is over"
                    );
                    return Err(Wrong::of(oracle, message));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_times(&self, arm: &Arm, plan: &Plan) -> Result<(), Wrong> {
        if plan.limit.is_zero() {
            return Err(Wrong::of(&self.limit, "a run of no time shows nothing"));
        }
        if plan.patience.is_zero() {
            return Err(Wrong::of(
                &self.patience,
                "no patience: every end would count as stuck at once",
            ));
        }
        let mut earliest = Duration::ZERO;
        for (expected, line) in plan.ladder.iter().zip(arm.ladder(plan.scale)) {
            earliest += expected
                .within
                .map_or(Duration::ZERO, |(least, _)| Duration::from_secs_f64(least));
            if earliest >= plan.limit {
                let [earliest, limit] =
                    [earliest, plan.limit].map(|time| seconds(time.as_secs_f64()));
                let message = format!(
                    "this line can be reached at {earliest} at the earliest, and the run ends after {limit}"
                );
                return Err(Wrong::of(line, message));
            }
        }
        Ok(())
    }

    fn check_injections(&self, arm: &Arm, plan: &Plan) -> Result<(), Wrong> {
        for (inject, planned) in self.inject.iter().chain(&arm.inject).zip(&plan.inject) {
            inject.check()?;
            let state = |wanted: &Wanted| matches!(wanted, Wanted::State(_));
            if let (Some(text), Some(expected)) = (&inject.on, &planned.on)
                && (!state(&expected.wanted) || expected.within.is_some())
            {
                return Err(Wrong::of(
                    text,
                    "an injection waits for a state of one end, and for nothing else",
                )
                .help("such as: on = \"b ESTABLISHED\""));
            }
            if let Some(after) = inject
                .after
                .as_ref()
                .filter(|_| planned.after >= plan.limit)
            {
                return Err(Wrong::of(
                    after,
                    format!(
                        "it is never sent: the run ends after {}",
                        seconds(plan.limit.as_secs_f64())
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Lines that no run can have in this order.
    fn check_ladder(&self, arm: &Arm, plan: &Plan) -> Result<(), Wrong> {
        let lines = arm.ladder(plan.scale);
        if let (Some(line), Some(expected)) = (
            lines.first(),
            plan.ladder
                .first()
                .filter(|expected| expected.within.is_some()),
        ) {
            let start = expected.text.rfind(" in ").map_or(0, |at| at + 1);
            let message =
                "a bound counts from the line before, and there is no line before it".to_owned();
            return Err(Wrong::part(
                line,
                &expected.text,
                Mistake {
                    span: start..expected.text.trim_end().len(),
                    message,
                    help: None,
                },
            ));
        }
        for end in End::BOTH
            .into_iter()
            .filter(|end| has_one_connection(&end.of(&plan.hosts).script))
        {
            let edges = edges(end.of(&plan.hosts));
            let mut before = State::Closed;
            for (line, expected) in lines
                .iter()
                .zip(&plan.ladder)
                .filter(|(_, expected)| expected.end == end)
            {
                let Wanted::State(state) = expected.wanted else {
                    continue;
                };
                if !leads(&edges, before, state) {
                    let message = format!(
                        "{end} has one connection, and there is no way from {before} to {state}"
                    );
                    return Err(Wrong::of(line, message));
                }
                before = state;
            }
        }
        Ok(())
    }
}

impl Inject {
    fn check(&self) -> Result<(), Wrong> {
        if *self.count.get_ref() == 0 {
            return Err(Wrong::of(&self.count, "count = 0: nothing would be sent"));
        }
        match &self.mtu {
            Some(mtu) if self.icmp.is_none() => Err(Wrong::of(mtu, "mtu belongs to an ICMP error")
                .help("icmp = [3, 4] is the one that has it")),
            _ => Ok(()),
        }
    }
}

/// A step that waits for a connection that it opens.
fn connects(step: &Step) -> bool {
    matches!(step, Step::Connect(connect) if connect.tries.is_some())
}

/// It connects once, and no other host opens a connection to it.
fn has_one_connection(script: &Script) -> bool {
    let tries = |step: &Step| match step {
        Step::Connect(connect) => Some(connect.tries.unwrap_or(1)),
        Step::Listen { .. } => Some(u32::MAX),
        _ => None,
    };
    script
        .steps
        .iter()
        .filter_map(tries)
        .fold(0_u32, u32::saturating_add)
        == 1
}

/// The state diagram of a host, with the detours of the rules that it goes without.
fn edges(host: &HostPlan) -> Vec<(State, State)> {
    let detours = host
        .settings
        .config
        .conn
        .detours
        .iter()
        .map(|detour| (detour.from, detour.to));
    TRANSITIONS
        .iter()
        .map(|edge| (edge.from, edge.to))
        .chain(detours)
        .collect()
}

/// Whether one connection can come from one state to another; once it is CLOSED it is over.
fn leads(edges: &[(State, State)], from: State, to: State) -> bool {
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(state) = reached.get(next).copied() {
        next += 1;
        for (_, after) in edges
            .iter()
            .filter(|(before, _)| *before == state && (*before != State::Closed || next == 1))
        {
            if *after == to {
                return true;
            }
            if !reached.contains(after) {
                reached.push(*after);
            }
        }
    }
    false
}
