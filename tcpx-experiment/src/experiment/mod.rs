//! An experiment as data: a question, two hosts, the rule that is removed, and what must happen
//! with and without it.

mod check;
mod constant;
mod expectation;
mod inject;
mod mistake;
mod plan;
mod world;

pub use constant::Constant;
pub use expectation::{Expectation, Wanted};
pub use mistake::Mistake;
pub use plan::{HostPlan, Injection, Plan, Scale};
pub use world::World;

use crate::end::End;
use crate::oracle::Oracle;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// A text with its place in the file, so that a mistake in it can be shown there.
pub type Text = Spanned<String>;

/// One experiment, as its file has it. `experiments/README.md` describes every field.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Experiment {
    /// As its file is called.
    pub name: String,
    /// A line.
    pub title: String,
    /// What it answers.
    pub question: String,
    /// What happens, in three or four sentences.
    pub story: String,
    /// The chapter that it belongs to.
    pub group: Group,
    /// The failure modes of the catalogue that it shows.
    #[serde(default)]
    pub modes: Vec<String>,
    /// `article`: a question of the article; `quick`: fast enough for every check.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whose replies, timers and limits both hosts have where tcpx plays them.
    pub profile: Spanned<String>,
    /// What the textbook says.
    pub textbook: String,
    /// What RFC 9293 says, with the section.
    pub rfc: String,
    /// What Linux 6.18 does.
    pub linux: String,
    /// The same in Chinese.
    pub zh: Option<Prose>,
    /// Values that differ between the worlds: `$name` stands for one in all other texts.
    #[serde(default)]
    pub constants: BTreeMap<Text, Constant>,
    /// How long an end may wait for the other before it counts as stuck.
    pub patience: Text,
    /// When a run ends at the latest.
    pub limit: Text,
    /// How many segments both ends together may send: the oracle `economy`.
    pub budget: Option<Text>,
    /// What may differ between the simulation and the wire.
    #[serde(default)]
    pub tolerance: Vec<Tolerance>,
    /// The first host: 10.77.0.1, port 40000.
    pub a: Host,
    /// The second one: 10.77.0.2, port 7000.
    pub b: Host,
    /// Injected segments, in every arm.
    #[serde(default)]
    pub inject: Vec<Inject>,
    /// The runs: without the rule, and with it.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
    /// The simulation, where it cannot be shown.
    pub sim: Option<Unsupported>,
    /// The wire, where it cannot be shown.
    pub wire: Option<Unsupported>,
    /// Linux at one end.
    pub kernel: Kernel,
    /// The walked edges of the state diagram are counted over all arms, and none may be missing.
    #[serde(default)]
    pub every_edge: bool,
    /// The file's text.
    #[serde(skip)]
    pub source: String,
    /// By what a command line finds it: its name, or the path of its file.
    #[serde(skip)]
    pub place: String,
}

/// A chapter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The article's own questions.
    Article,
    /// How a connection begins.
    Establish,
    /// How it ends.
    Close,
    /// Whether the peer is still there.
    Alive,
    /// What happens to the text.
    Data,
    /// What a third host can do to it.
    Attack,
}

impl Group {
    /// As in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Article => "article",
            Group::Establish => "establish",
            Group::Close => "close",
            Group::Alive => "alive",
            Group::Data => "data",
            Group::Attack => "attack",
        }
    }
}

/// An experiment's words in another language.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Prose {
    /// A line.
    pub title: String,
    /// What it answers.
    pub question: String,
    /// What happens.
    pub story: String,
    /// What the textbook says.
    pub textbook: String,
    /// What RFC 9293 says.
    pub rfc: String,
    /// What Linux 6.18 does.
    pub linux: String,
    /// Why it cannot be shown beside Linux, where that is so.
    pub kernel: Option<String>,
}

/// An arm's words in another language.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct ArmProse {
    /// What is different.
    pub name: String,
    /// What it is expected to show.
    #[serde(rename = "says")]
    pub expected: String,
    /// The same against Linux, or why it cannot run there, where the arm states it.
    pub kernel: Option<String>,
}

/// One host, or what an arm changes of it.
#[derive(Clone, Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// What its application does (`docs/scripts.md`).
    pub script: Option<Text>,
    /// More flags of the pair's.
    pub options: Option<Text>,
    /// Rules that it goes without.
    #[serde(default)]
    pub without: Vec<Text>,
    /// What its network does to segments (`docs/faults.md`).
    #[serde(default)]
    pub fault: Vec<Text>,
}

/// A run: with a rule or without it.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// What is different, in a few words.
    pub name: Text,
    /// The failure is expected here: a rule is missing, or the protection that another arm has.
    #[serde(default)]
    pub treatment: bool,
    /// What this arm is expected to show, in the fewest words.
    #[serde(rename = "says")]
    pub expected: String,
    /// The same in Chinese.
    pub zh: Option<ArmProse>,
    /// What it changes at A.
    #[serde(default)]
    pub a: Host,
    /// What it changes at B.
    #[serde(default)]
    pub b: Host,
    /// Injected segments.
    #[serde(default)]
    pub inject: Vec<Inject>,
    /// The oracles that this run breaks.
    #[serde(default)]
    pub breaks: Vec<Spanned<Oracle>>,
    /// Those that hold in it.
    #[serde(default)]
    pub holds: Vec<Spanned<Oracle>>,
    /// States and segments that are seen in this order.
    #[serde(default)]
    pub ladder: Vec<Text>,
    /// What is different beside Linux.
    pub kernel: Option<Beside>,
    /// Another value for some constants.
    #[serde(default)]
    pub constants: BTreeMap<Text, Constant>,
    /// The profile of this arm alone.
    pub profile: Option<Spanned<String>>,
}

/// What is expected of an arm when one end is Linux's.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Beside {
    /// Why this arm cannot run there.
    #[serde(rename = "no")]
    pub reason: Option<String>,
    /// In the fewest words.
    #[serde(rename = "says")]
    pub expected: Option<String>,
    /// The oracles that it breaks there.
    pub breaks: Option<Vec<Spanned<Oracle>>>,
    /// Those that hold there.
    pub holds: Option<Vec<Spanned<Oracle>>>,
    /// States and segments that are seen there in this order.
    pub ladder: Option<Vec<Text>>,
    /// More settings of Linux's end, inside its namespace.
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
}

/// Why a world cannot show it.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Unsupported {
    /// The physical reason.
    #[serde(rename = "no")]
    pub reason: String,
}

/// The world in which one end is Linux's TCP.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Why it cannot show it.
    #[serde(rename = "no")]
    pub reason: Option<String>,
    /// Which end is Linux's: `a` or `b`.
    pub end: Option<Side>,
    /// Its settings, inside its namespace.
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
}

/// A host's name.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl From<Side> for End {
    fn from(side: Side) -> End {
        match side {
            Side::A => End::A,
            Side::B => End::B,
        }
    }
}

/// What may differ between what the simulation foretold and what the wire showed.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// How many bare ACKs there are, however many.
    Acks,
    /// How often something is sent again where the network has a hand in it.
    Retransmissions,
    /// Segments at all: only states and bytes are compared.
    Segments,
}

/// Injected segments.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// Who receives it.
    pub to: Side,
    /// When: so long after `on`, or after the start.
    pub after: Option<Text>,
    /// The line of the ladder to wait for.
    pub on: Option<Text>,
    /// Control bits as letters, in the order FSRPAUEW.
    pub flags: Spanned<String>,
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK.
    #[serde(default)]
    pub ack: u32,
    /// SEG.WND.
    #[serde(default = "window")]
    pub window: u16,
    /// Its text.
    #[serde(default)]
    pub text: String,
    /// How many, each from the next port of the forged host.
    #[serde(default = "one")]
    pub count: Spanned<u16>,
    /// They seem to come from a third host, 10.77.0.66, rather than from the peer.
    #[serde(default)]
    pub stranger: bool,
    /// To what SEG.SEQ is added up, each of `count`.
    #[serde(default)]
    pub step: u32,
    /// Timestamps, TSval and TSecr.
    pub stamps: Option<[u32; 2]>,
    /// An ICMP error of this type and code instead. What it quotes is described by the rest: a
    /// segment that its receiver sent to the peer.
    pub icmp: Option<[u8; 2]>,
    /// The MTU that it reports.
    pub mtu: Option<Spanned<u16>>,
}

fn window() -> u16 {
    65_535
}

fn one() -> Spanned<u16> {
    Spanned::new(0..0, 1)
}

/// An arm's name as a directory has it.
pub fn folder(arm: &str) -> String {
    arm.chars()
        .map(|c| {
            if c.is_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect()
}

/// The experiments that are built in, by name.
pub fn built_in() -> Result<Vec<Experiment>, Mistake> {
    BUILT_IN
        .iter()
        .map(|(path, source)| Experiment::parse(path, source))
        .collect()
}

/// The names of those that are built in.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN
        .iter()
        .filter_map(|(path, _)| path.strip_prefix("experiments/")?.strip_suffix(".toml"))
}

/// The one that is built in under this name.
///
/// # Errors
/// A mistake in its file.
pub fn named(name: &str) -> Result<Option<Experiment>, Mistake> {
    let found = names().zip(BUILT_IN).find(|(known, _)| *known == name);
    found
        .map(|(_, (path, source))| Experiment::parse(path, source))
        .transpose()
}

include!(concat!(env!("OUT_DIR"), "/experiments.rs"));

impl Experiment {
    /// Reads a file's text and checks all of it, in every world.
    ///
    /// # Errors
    /// The first mistake, shown in its line.
    pub fn parse(path: &str, source: &str) -> Result<Experiment, Mistake> {
        let mut experiment: Experiment =
            toml::from_str(source).map_err(|error| Mistake::of_toml(path, source, &error))?;
        source.clone_into(&mut experiment.source);
        experiment.place.clone_from(&experiment.name);
        experiment.check().map_err(|wrong| wrong.at(path, source))?;
        Ok(experiment)
    }

    /// The host of this end, without an arm's changes.
    fn host(&self, end: End) -> &Host {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }

    /// Why a world cannot show it.
    pub fn unsupported(&self, world: World) -> Option<String> {
        match world {
            World::Sim => self.sim.as_ref().map(|world| world.reason.clone()),
            World::Wire => self.wire.as_ref().map(|world| world.reason.clone()),
            World::Kernel => self.kernel.reason.clone(),
        }
    }

    /// What is set at Linux's end for an arm: the arm's own settings win.
    pub fn sysctl(&self, arm: &Arm) -> BTreeMap<String, String> {
        let own = arm.kernel.iter().flat_map(|beside| &beside.sysctl);
        self.kernel
            .sysctl
            .iter()
            .chain(own)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The rules that its arms remove, each once.
    pub fn removed(&self) -> Vec<String> {
        let hosts = self
            .arms
            .iter()
            .flat_map(|arm| [&arm.a, &arm.b])
            .chain([&self.a, &self.b]);
        let mut names: Vec<String> = hosts
            .flat_map(|host| &host.without)
            .map(|name| name.get_ref().clone())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Why an arm cannot run against Linux.
    pub fn unsupported_by_kernel(&self, arm: &Arm) -> Option<String> {
        let reason = |beside: &Beside| beside.reason.clone();
        if let Some(reason) = arm.kernel.as_ref().and_then(reason) {
            return Some(reason);
        }
        self.rule_that_linux_keeps(arm)
            .map(|rule| format!("Linux cannot go without {rule}"))
    }

    /// A rule that Linux's end is to go without, and that no setting of Linux's removes.
    pub fn rule_that_linux_keeps<'a>(&'a self, arm: &'a Arm) -> Option<&'a str> {
        let end = End::from(self.kernel.end?);
        // An application may ask the kernel to go without these.
        let optional = |name: &&Text| ["keepalive", "nagle"].contains(&name.get_ref().as_str());
        let removed = self
            .host(end)
            .without
            .iter()
            .chain(&arm.host(end).without)
            .find(|name| !optional(name))?;
        Some(removed.get_ref())
    }
}

impl Arm {
    /// What is different beside Linux, at that scale.
    fn beside(&self, scale: Scale) -> Option<&Beside> {
        self.kernel.as_ref().filter(|_| scale == Scale::Kernel)
    }

    /// The oracles that break, and those that hold.
    fn oracles(&self, scale: Scale) -> (&[Spanned<Oracle>], &[Spanned<Oracle>]) {
        let beside = self.beside(scale);
        let breaks = beside
            .and_then(|beside| beside.breaks.as_ref())
            .unwrap_or(&self.breaks);
        (
            breaks,
            beside
                .and_then(|beside| beside.holds.as_ref())
                .unwrap_or(&self.holds),
        )
    }

    /// The lines of its ladder.
    fn ladder(&self, scale: Scale) -> &[Text] {
        self.beside(scale)
            .and_then(|beside| beside.ladder.as_ref())
            .unwrap_or(&self.ladder)
    }

    /// What it shows.
    pub fn expected(&self, scale: Scale) -> &str {
        self.beside(scale)
            .and_then(|beside| beside.expected.as_ref())
            .unwrap_or(&self.expected)
    }

    /// What it changes of a host.
    pub fn host(&self, end: End) -> &Host {
        match end {
            End::A => &self.a,
            End::B => &self.b,
        }
    }
}
