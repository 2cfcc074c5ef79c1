//! The table of removable rules: one row each, with what it removes, what breaks, and the knobs
//! that remove it.

use crate::config::{
    Config, Congestion, Detour, FinRepeats, HeldOutput, Isn, Nagle, Overflow, ResetChecks, Samples,
    SequenceCheck, SillyWindow, SynAcknowledged, TimeWaitRestart,
};
use crate::fault::Rule;
use crate::lexer::nearest;
use crate::state::{State, Trigger};
use crate::wire::ChecksumPolicy;
use alloc::vec::Vec;

/// One removable rule.
#[derive(Debug)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// The rule that it removes, as a sentence without a stop.
    pub removes: &'static str,
    /// RFC section and requirement number.
    pub requirement: &'static str,
    /// What breaks without it, as a sentence without a stop.
    pub breaks: &'static str,
    /// The experiment of tcpx-lab that shows it, without the rule and with it.
    pub experiment: &'static str,
    /// How it is removed.
    pub knobs: &'static [Knob],
}

/// One turn of a knob. There are no others: the engine's body knows nothing of presets.
#[derive(Debug)]
pub enum Knob {
    /// A parameter or policy gets another value.
    Parameter(fn(&mut Config)),
    /// An edge of the state table leads elsewhere.
    Detour(Detour),
    /// A line of the fault language.
    Fault(&'static str),
}

const TIME_WAIT: &str = "RFC 9293 3.6.1, MUST-13";
const THREE_WAY: &str = "RFC 9293 3.5, 3.10.7.4";

const fn skip_time_wait(from: State, on: Trigger) -> Knob {
    Knob::Detour(Detour {
        from,
        on,
        to: State::Closed,
        rule: "time-wait",
        requirement: TIME_WAIT,
    })
}

/// Every removable rule.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "time-wait",
        removes: "the active closer stays in TIME-WAIT for 2 MSL",
        requirement: TIME_WAIT,
        breaks: "the peer's repeated FIN meets a RST, and an old segment can land in the next connection on the same ports",
        experiment: "last-ack-lost-no-time-wait",
        knobs: &[
            skip_time_wait(State::FinWait2, Trigger::Fin),
            skip_time_wait(State::Closing, Trigger::AckOfFin),
            skip_time_wait(State::FinWait1, Trigger::FinAckOfFin),
        ],
    },
    Preset {
        name: "third-ack",
        removes: "the active opener acknowledges the peer's SYN",
        requirement: "RFC 9293 3.5, 3.10.7.3",
        breaks: "the client believes in a connection that the server never has: half-open until the server gives up without a word",
        experiment: "third-ack-suppressed",
        knobs: &[
            Knob::Parameter(|config| config.conn.held_output = HeldOutput::DataAndFin),
            Knob::Fault("drop out third-ack"),
        ],
    },
    Preset {
        name: "three-way",
        removes: "a connection is established only when each side's SYN has been acknowledged",
        requirement: THREE_WAY,
        breaks: "an old SYN opens a connection that nobody wants, and a lost SYN,ACK leaves both ends waiting for good",
        experiment: "two-way-handshake-deadlock",
        knobs: &[
            Knob::Detour(Detour {
                from: State::Listen,
                on: Trigger::Syn,
                to: State::Established,
                rule: "three-way",
                requirement: THREE_WAY,
            }),
            Knob::Parameter(|config| config.conn.syn_acknowledged = SynAcknowledged::WhenSent),
        ],
    },
    Preset {
        name: "2msl-restart",
        removes: "the peer's repeated FIN restarts TIME-WAIT's 2 MSL",
        requirement: "RFC 9293 3.10.7.4",
        breaks: "TIME-WAIT ends while the peer still repeats its FIN, and the next one meets a RST",
        experiment: "last-ack-lost",
        knobs: &[Knob::Parameter(|config| {
            config.conn.time_wait_restart = TimeWaitRestart::Never
        })],
    },
    Preset {
        name: "random-isn",
        removes: "initial sequence numbers cannot be computed from outside",
        requirement: "RFC 9293 3.4.1, MUST-9, SHLD-1; RFC 6528",
        breaks: "whoever knows the clock completes a handshake in another's name without seeing an answer",
        experiment: "predictable-isn",
        knobs: &[Knob::Parameter(|config| config.conn.isn = Isn::Clock)],
    },
    Preset {
        name: "paws",
        removes: "a segment with an old timestamp is dropped",
        requirement: "RFC 7323 5",
        breaks: "once the sequence numbers have wrapped, an old duplicate is taken for new text",
        experiment: "old-duplicate-after-wrap",
        knobs: &[Knob::Parameter(|config| config.conn.paws = false)],
    },
    Preset {
        name: "challenge-ack",
        removes: "only an exact RST resets; any other, and a SYN, is answered with a challenge ACK",
        requirement: "RFC 5961 3.2, 4.2",
        breaks: "a blind attacker needs to hit the window, not one number, to kill a connection",
        experiment: "blind-rst-or-syn",
        knobs: &[Knob::Parameter(|config| {
            config.conn.reset_checks = ResetChecks::Rfc793
        })],
    },
    Preset {
        name: "window-probe",
        removes: "a sender goes on probing a zero window",
        requirement: "RFC 9293 3.8.6.1, MUST-36",
        breaks: "when the window update is lost, both ends wait for each other for good",
        experiment: "lost-window-update",
        knobs: &[Knob::Parameter(|config| config.conn.persist = None)],
    },
    Preset {
        name: "silly-window-avoidance",
        removes: "a window opens by a full segment at least, and a small one does not cut a segment short",
        requirement: "RFC 9293 3.8.6.2, MUST-38, MUST-39",
        breaks: "a reader of single octets is offered, and sent, single octets: a segment for each, for as long as the connection lasts",
        experiment: "silly-window",
        knobs: &[Knob::Parameter(|config| {
            config.conn.silly_window = SillyWindow::Allow
        })],
    },
    Preset {
        name: "nagle",
        removes: "a small segment waits while earlier text, in Linux an earlier small segment, is unacknowledged",
        requirement: "RFC 9293 3.7.4, SHLD-7",
        breaks: "many small writes become as many small segments, forty octets of header for one of text",
        experiment: "many-small-writes",
        knobs: &[Knob::Parameter(|config| config.conn.nagle = Nagle::Off)],
    },
    Preset {
        name: "delayed-ack",
        removes: "an ACK waits a moment for something to travel with",
        requirement: "RFC 9293 3.8.6.3, SHLD-18, MUST-40",
        breaks: "every segment is answered by a bare ACK: twice the packets for the same text",
        experiment: "ack-for-every-segment",
        knobs: &[Knob::Parameter(|config| config.conn.delayed_ack = None)],
    },
    Preset {
        name: "backoff",
        removes: "each timeout doubles the next one",
        requirement: "RFC 6298 5.5; RFC 9293 3.8.2, MUST-19",
        breaks: "retransmissions go on at full pace into a network that already loses them, and R2 comes within seconds",
        experiment: "retransmissions-without-backoff",
        knobs: &[Knob::Parameter(|config| config.conn.rto.backoff = 1)],
    },
    Preset {
        name: "karn",
        removes: "no round-trip time is taken from a segment that was sent again, unless a timestamp tells the two apart",
        requirement: "RFC 6298 3; RFC 9293 3.8.1, MUST-18",
        breaks: "an ACK of the first copy is counted from the second: the timeout stays below the real round-trip time, and every segment is sent twice",
        experiment: "karn-ambiguity",
        knobs: &[
            Knob::Parameter(|config| config.conn.timestamps = false),
            Knob::Parameter(|config| config.conn.rto.samples = Samples::All),
        ],
    },
    Preset {
        name: "congestion-control",
        removes: "a sender keeps less in flight when the network loses segments",
        requirement: "RFC 5681 3.1; RFC 9293 3.8.2, MUST-19",
        breaks: "a whole window goes into a narrow path at once, most of it is lost, and so it goes again: congestion collapse",
        experiment: "congestion-collapse",
        knobs: &[Knob::Parameter(|config| {
            config.conn.congestion = Congestion::Off
        })],
    },
    Preset {
        name: "keepalive",
        removes: "an idle connection is probed (where it was switched on)",
        requirement: "RFC 9293 3.8.4, MUST-24 to MUST-29",
        breaks: "a peer that lost its power leaves an ESTABLISHED connection that nothing ever ends",
        experiment: "peer-vanishes-keepalive",
        knobs: &[Knob::Parameter(|config| config.conn.keepalive = None)],
    },
    Preset {
        name: "rst-on-closed",
        removes: "a segment for a closed port is answered with a RST",
        requirement: "RFC 9293 3.5.2, 3.10.7.1",
        breaks: "a peer cannot tell a closed port, or a host that has restarted, from a lost segment, and waits for its timeouts",
        experiment: "closed-port",
        knobs: &[Knob::Parameter(|config| config.rst_on_closed = false)],
    },
    Preset {
        name: "fin-retransmit",
        removes: "a FIN is sent again until it is acknowledged, as everything that uses a sequence number",
        requirement: "RFC 9293 3.6, 3.8.1",
        breaks: "one lost FIN: the closer gives up in FIN-WAIT-1, and its peer never learns that there was a close",
        experiment: "fin-sent-once",
        knobs: &[Knob::Parameter(|config| {
            config.conn.fin_repeats = FinRepeats::Never
        })],
    },
    Preset {
        name: "checksum",
        removes: "a segment whose checksum is wrong is dropped",
        requirement: "RFC 9293 3.1, MUST-3",
        breaks: "text that a cable or a card changed on the way is delivered as if the peer had written it",
        experiment: "bad-checksum",
        knobs: &[Knob::Parameter(|config| {
            config.checksum = ChecksumPolicy::Ignore
        })],
    },
    Preset {
        name: "sequence-check",
        removes: "a segment with nothing in the receive window is not used",
        requirement: "RFC 9293 3.10.7.4 (first check), 3.4",
        breaks: "an old copy is delivered as the next text, and so is every retransmission that follows",
        experiment: "old-segment-taken-as-new",
        knobs: &[Knob::Parameter(|config| {
            config.conn.sequence_check = SequenceCheck::None
        })],
    },
    Preset {
        name: "backlog-bound",
        removes: "the connections in SYN-RECEIVED are limited, and cookies serve past the limit",
        requirement: "RFC 4987 3",
        breaks: "a flood of SYNs fills the memory, and nobody else gets a connection",
        experiment: "syn-flood",
        knobs: &[Knob::Parameter(|config| {
            config.overflow = Overflow::Unbounded
        })],
    },
];

impl Preset {
    /// The row with this name.
    pub fn find(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The row whose name is most like `name`, if any is.
    pub fn nearest(name: &str) -> Option<&'static Preset> {
        nearest(name, PRESETS.iter().map(|preset| preset.name)).and_then(Preset::find)
    }

    /// Turns all its knobs. The first rule that matches wins: call it before `rules` gets the
    /// user's own.
    pub fn apply(&'static self, config: &mut Config, rules: &mut Vec<Rule>) {
        for knob in self.knobs {
            match knob {
                Knob::Parameter(set) => set(config),
                Knob::Detour(detour) => config.conn.detours.push(*detour),
                Knob::Fault(line) => rules.extend(Rule::parse(line).ok().map(|mut rule| {
                    rule.preset = Some(self.name);
                    rule
                })),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeepAlive, Profile};
    use crate::state::TRANSITIONS;

    #[test]
    fn every_preset_applied_changes_something_and_all_its_lines_parse() {
        for preset in PRESETS {
            let mut start = Profile::Linux.config();
            start.conn.keepalive = Some(KeepAlive::default());
            let (mut config, mut rules) = (start.clone(), Vec::new());
            preset.apply(&mut config, &mut rules);
            assert!(config != start, "{} changes nothing", preset.name);
            let lines: Vec<_> = preset
                .knobs
                .iter()
                .filter_map(|knob| {
                    if let Knob::Fault(line) = knob {
                        Some(*line)
                    } else {
                        None
                    }
                })
                .collect();
            assert_eq!(
                rules
                    .iter()
                    .map(|rule| rule.text.as_str())
                    .collect::<Vec<_>>(),
                lines
            );
            assert!(rules.iter().all(|rule| rule.preset == Some(preset.name)));
        }
    }

    #[test]
    fn every_detour_leaves_an_edge_of_the_table_and_names_its_preset() {
        for preset in PRESETS {
            for knob in preset.knobs {
                let Knob::Detour(detour) = knob else { continue };
                assert!(TRANSITIONS.iter().any(|edge| edge.from == detour.from
                    && edge.on == detour.on
                    && edge.to != detour.to));
                assert_eq!(
                    (detour.rule, detour.requirement),
                    (preset.name, preset.requirement)
                );
            }
        }
    }

    #[test]
    fn every_edge_into_time_wait_has_its_detour() {
        let mut config = Profile::Linux.config();
        Preset::find("time-wait")
            .unwrap()
            .apply(&mut config, &mut Vec::new());
        for edge in TRANSITIONS.iter().filter(|edge| edge.to == State::TimeWait) {
            assert!(
                config
                    .conn
                    .detours
                    .iter()
                    .any(|detour| detour.from == edge.from && detour.on == edge.on),
                "{edge:?}"
            );
        }
    }

    #[test]
    fn rows_are_told_apart_and_written_as_sentences_without_a_stop() {
        for (index, preset) in PRESETS.iter().enumerate() {
            assert!(
                PRESETS
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.name != preset.name)
            );
            for text in [
                preset.removes,
                preset.breaks,
                preset.requirement,
                preset.experiment,
            ] {
                assert!(
                    !text.is_empty() && !text.ends_with('.'),
                    "{}: {text}",
                    preset.name
                );
            }
        }
    }

    #[test]
    fn nearest_of_a_slip_is_the_row_that_was_meant() {
        for (slip, meant) in [
            ("timewait", "time-wait"),
            ("third_ack", "third-ack"),
            ("time", "time-wait"),
            ("nagel", "nagle"),
            ("pwas", "paws"),
        ] {
            assert_eq!(Preset::nearest(slip).map(|preset| preset.name), Some(meant));
        }
        assert!(Preset::nearest("zzzzzzzz").is_none());
        assert!(Preset::nearest("").is_none());
    }
}
