//! One run of an experiment, with every name resolved: each host's settings and script, and the
//! expected result.

use super::expectation::{self, Expectation};
use super::mistake::Wrong;
use super::{Arm, Experiment, Host, Text, Tolerance, inject};
use crate::end::{ADDRESSES, End};
use crate::oracle::Oracle;
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;
use tcpx_proto::knob::{self, Given, Settings};
use tcpx_proto::lexer::{Mistake, Word, did_you_mean, duration, nearest};
use tcpx_proto::script::{Addresses, Connect, Script, Step};
use tcpx_proto::wire::{ChecksumPolicy, Segment};
use toml::Spanned;

/// The delayed ACK of RFC 9293's profile, 200 ms, would come together with the retransmission
/// timeout that most experiments have on a wire.
const SCALED_DELAYED_ACK: &str = "--delayed-ack 40ms";

/// Which values the constants have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// The real ones.
    Real,
    /// Shorter ones for the wire.
    Wire,
    /// Those beside Linux, which has its own.
    Kernel,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The values of the constants.
    pub scale: Scale,
    /// What each host does.
    pub hosts: [HostPlan; 2],
    /// How long an end may wait for the other before it counts as stuck.
    pub patience: Duration,
    /// When the run ends at the latest.
    pub limit: Duration,
    /// How many segments both ends together may send.
    pub budget: Option<u32>,
    /// Injected segments.
    pub inject: Vec<Injection>,
    /// What is seen in this order.
    pub ladder: Vec<Expectation>,
    /// The oracles that break.
    pub breaks: Vec<Oracle>,
    /// The oracles that hold.
    pub holds: Vec<Oracle>,
    /// What may differ from the prediction.
    pub tolerance: Vec<Tolerance>,
    /// In the fewest words.
    pub expected: String,
}

impl Plan {
    /// IP identification and SEG.SEQ of the packets that the laboratory forges for this end.
    pub fn forged(&self, to: End) -> HashSet<(u16, u32)> {
        let named = |packet: &Vec<u8>| {
            let header = Segment::parse(packet, ChecksumPolicy::Ignore).ok()?.header;
            Some((header.id, header.seq.0))
        };
        self.inject
            .iter()
            .filter(|inject| inject.to == to)
            .flat_map(|inject| &inject.packets)
            .filter_map(named)
            .collect()
    }
}

/// A host's settings and script.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Its address and port.
    pub address: SocketAddr,
    /// Its peer's.
    pub peer: SocketAddr,
    /// What its application does.
    pub script: Script,
    /// The same as text.
    pub script_text: String,
    /// The pair's flags.
    pub flags: Vec<String>,
    /// The settings that the flags give.
    pub settings: Settings,
}

impl HostPlan {
    /// Where its script is played.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            port: self.address.port(),
            peer: Some(self.peer),
        }
    }

    /// It only waits for connections: the server is the binary that plays it.
    pub fn serves(&self) -> bool {
        !self
            .script
            .steps
            .iter()
            .any(|step| matches!(step, Step::Connect(_)))
    }

    /// It connects to its own address.
    pub fn speaks_to_itself(&self) -> bool {
        let own = |connect: &Connect| connect.to.is_some_and(|to| to.ip() == self.address.ip());
        self.script
            .steps
            .iter()
            .any(|step| matches!(step, Step::Connect(connect) if own(connect)))
    }

    /// The command line that does the same by hand, with its script in this file.
    pub fn command(&self, script: &str) -> Vec<String> {
        let mut words = match self.serves() {
            true => vec!["tcpx-server".to_owned(), self.address.to_string()],
            false => vec![
                "tcpx-client".to_owned(),
                self.peer.to_string(),
                "--bind".to_owned(),
                self.address.to_string(),
            ],
        };
        words.extend(["--script".to_owned(), script.to_owned()]);
        words.extend(self.flags.iter().cloned());
        words
    }
}

/// Injected segments.
#[derive(Clone, Debug)]
pub struct Injection {
    /// Who receives them.
    pub to: End,
    /// How long after that line of the ladder, or after the start.
    pub after: Duration,
    /// What is waited for.
    pub on: Option<Expectation>,
    /// The IP packets.
    pub packets: Vec<Vec<u8>>,
    /// What they are made of.
    pub(super) forged: Vec<inject::Forged>,
}

/// The most bytes in the texts of one run.
const MOST_TEXT: usize = 4 << 20;

/// The constants of one run.
pub(super) struct Names {
    values: BTreeMap<String, String>,
    /// How much text they have made so far.
    made: Cell<usize>,
}

impl Names {
    fn new(experiment: &Experiment, arm: &Arm, scale: Scale) -> Names {
        let constants = experiment.constants.iter().chain(&arm.constants);
        let mut names: BTreeMap<String, String> = constants
            .map(|(name, constant)| (name.get_ref().clone(), constant.at(scale).to_owned()))
            .collect();
        let [a, b] = ADDRESSES;
        names.extend([
            ("a".to_owned(), a.to_string()),
            ("b".to_owned(), b.to_string()),
        ]);
        Names {
            values: names,
            made: Cell::new(0),
        }
    }

    /// The text with each `$name` replaced.
    fn resolve(&self, text: &Text) -> Result<String, Wrong> {
        let mut resolved = String::new();
        let mut rest = text.get_ref().as_str();
        while let Some((before, after)) = rest.split_once('$') {
            let length = after
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
                .unwrap_or(after.len());
            let (name, behind) = after.split_at(length);
            let value = self
                .values
                .get(name)
                .ok_or_else(|| self.unknown(text, name))?;
            resolved += before;
            resolved += value;
            rest = behind;
            self.made.set(self.made.get() + before.len() + value.len());
            if self.made.get() > MOST_TEXT {
                let most = MOST_TEXT >> 20;
                return Err(Wrong::of(
                    text,
                    format!(
                        "with its constants, what is written for one run comes to more than {most} MiB, the most"
                    ),
                ));
            }
        }
        Ok(resolved + rest)
    }

    /// That there is no such constant, and the nearest that there is.
    fn unknown(&self, text: &Text, name: &str) -> Wrong {
        let start = text.get_ref().find(&format!("${name}")).unwrap_or_default();
        let known = || {
            self.values
                .keys()
                .map(|name| format!("${name}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let help = nearest(name, self.values.keys().map(String::as_str)).map_or_else(
            || format!("there are {}", known()),
            |name| did_you_mean(&format!("${name}")),
        );
        let mistake = Mistake {
            span: start..start + name.len() + 1,
            message: format!("there is no constant ${name}"),
            help: Some(help),
        };
        Wrong::part(text, text.get_ref(), mistake)
    }

    pub(super) fn duration(&self, text: &Text) -> Result<Duration, Wrong> {
        let resolved = self.resolve(text)?;
        duration(Word::whole(&resolved), expectation::LONGEST)
            .map_err(|mistake| Wrong::part(text, &resolved, mistake))
    }

    fn count(&self, text: &Text) -> Result<u32, Wrong> {
        let resolved = self.resolve(text)?;
        let count = resolved.trim().parse().ok().filter(|count| *count > 0);
        count.ok_or_else(|| Wrong::of(text, format!("'{resolved}' is no number of segments")))
    }

    pub(super) fn expectation(&self, text: &Text) -> Result<Expectation, Wrong> {
        let resolved = self.resolve(text)?;
        Expectation::parse(&resolved).map_err(|mistake| Wrong::part(text, &resolved, mistake))
    }
}

impl Experiment {
    /// What an arm is at a scale.
    ///
    /// # Errors
    /// The first mistake in it.
    pub(super) fn plan(&self, arm: &Arm, scale: Scale) -> Result<Plan, Wrong> {
        let names = Names::new(self, arm, scale);
        let own =
            |oracles: &[Spanned<Oracle>]| oracles.iter().map(|oracle| *oracle.get_ref()).collect();
        let (breaks, holds) = arm.oracles(scale);
        let hosts = [End::A, End::B].map(|end| self.host_plan(arm, end, scale, &names));
        let [a, b] = hosts;
        Ok(Plan {
            scale,
            hosts: [a?, b?],
            patience: names.duration(&self.patience)?,
            limit: names.duration(&self.limit)?,
            budget: self
                .budget
                .as_ref()
                .map(|text| names.count(text))
                .transpose()?,
            inject: inject::injections(self.inject.iter().chain(&arm.inject), &names)?,
            ladder: arm
                .ladder(scale)
                .iter()
                .map(|line| names.expectation(line))
                .collect::<Result<_, _>>()?,
            breaks: own(breaks),
            holds: own(holds),
            tolerance: self.tolerance.clone(),
            expected: arm.expected(scale).to_owned(),
        })
    }

    /// The plan of an arm whose file has been checked.
    ///
    /// # Errors
    /// There is none: every plan was made once when the file was read.
    pub fn checked_plan(&self, arm: &Arm, scale: Scale) -> anyhow::Result<Plan> {
        self.plan(arm, scale)
            .map_err(|wrong| wrong.at(&self.name, &self.source).into())
    }

    fn host_plan(
        &self,
        arm: &Arm,
        end: End,
        scale: Scale,
        names: &Names,
    ) -> Result<HostPlan, Wrong> {
        let base = self.host(end);
        let change = arm.host(end);
        let script = change.script.as_ref().or(base.script.as_ref());
        let script = script.ok_or_else(|| {
            Wrong::everywhere("a host has no script: write script = \"...\" under [a] and [b]")
        })?;
        let script_text = names.resolve(script)?;
        let profile = arm.profile.as_ref().unwrap_or(&self.profile);
        let mut pieces = pieces(base, names)?;
        pieces.extend(self::pieces(change, names)?);
        let (flags, settings) = options(profile, &pieces, scale)?;
        let address = *end.of(&ADDRESSES);
        Ok(HostPlan {
            address,
            peer: *end.other().of(&ADDRESSES),
            script: Script::parse(&script_text)
                .map_err(|mistake| Wrong::part(script, &script_text, mistake))?,
            script_text,
            flags,
            settings,
        })
    }
}

/// A text of the file about a host's TCP.
struct Piece<'a> {
    text: &'a Text,
    /// With its constants.
    resolved: String,
    key: Key,
}

/// The key that a text is the value of.
#[derive(Clone, Copy)]
enum Key {
    Options,
    Without,
    Fault,
}

impl Piece<'_> {
    fn given(&self) -> Result<Vec<Given<'_>>, Wrong> {
        match self.key {
            Key::Options => knob::options(&self.resolved)
                .map_err(|mistake| Wrong::part(self.text, &self.resolved, mistake)),
            Key::Without => Ok(vec![Given::without(&self.resolved)]),
            Key::Fault => Ok(vec![Given::fault(&self.resolved)]),
        }
    }
}

/// A host's options, text by text.
fn pieces<'a>(host: &'a Host, names: &Names) -> Result<Vec<Piece<'a>>, Wrong> {
    let options = host.options.iter().map(|text| (Key::Options, text));
    let without = host.without.iter().map(|text| (Key::Without, text));
    let faults = host.fault.iter().map(|text| (Key::Fault, text));
    options
        .chain(without)
        .chain(faults)
        .map(|(key, text)| {
            let resolved = names.resolve(text)?;
            Ok(Piece {
                text,
                resolved,
                key,
            })
        })
        .collect()
}

/// The command line of a host's options, and what they set.
fn options(
    profile: &Text,
    pieces: &[Piece<'_>],
    scale: Scale,
) -> Result<(Vec<String>, Settings), Wrong> {
    let mut given = vec![Given::profile(profile.get_ref())];
    // The piece that each option comes from; the profile comes from none.
    let mut owners = vec![None];
    for piece in pieces {
        given.extend(piece.given()?);
        owners.resize(given.len(), Some(piece));
    }
    let delayed_ack = knob::options(SCALED_DELAYED_ACK).unwrap_or_default();
    if scale != Scale::Real && !given.iter().any(|option| option.knob.name == "delayed-ack") {
        given.extend(delayed_ack);
    }
    let flags = given.iter().flat_map(Given::words).collect();
    match knob::settings(&given) {
        Ok(settings) => Ok((flags, settings)),
        Err(wrong) => Err(match owners.get(wrong.given).copied().flatten() {
            Some(piece) => Wrong::part(piece.text, &piece.resolved, wrong.mistake),
            None => Wrong::part(profile, profile.get_ref(), wrong.mistake),
        }),
    }
}
