//! The table of removable rules: one row each, with what it removes, what breaks, and the changes
//! that remove it.

use crate::config::{
    Config, Congestion, Detour, FastOpenRepeats, FinRepeats, HeldOutput, Isn, Overflow,
    ResetChecks, Samples, SequenceCheck, SillyWindow, SynAcknowledged, TimeWaitRestart,
};
use crate::fault::FaultRule;
use crate::state::{State, Trigger};
use crate::wire::ChecksumPolicy;
use alloc::vec::Vec;

/// One removable rule.
#[derive(Debug)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// The rule that it removes, as a sentence without a full stop.
    pub removes: &'static str,
    /// RFC section and requirement number.
    pub requirement: &'static str,
    /// What breaks without it, as a sentence without a full stop.
    pub breaks: &'static str,
    /// The experiment of tcpx-lab that shows it, without the rule and with it.
    pub experiment: &'static str,
    /// How it is removed.
    pub changes: &'static [Change],
}

/// One change. There are no others: the engine's body knows nothing of presets.
#[derive(Debug)]
pub enum Change {
    /// A parameter or policy gets another value.
    Parameter(fn(&mut Config)),
    /// An edge of the state table leads to another state.
    Detour(Detour),
    /// A line of the fault language.
    Fault(&'static str),
}

const TIME_WAIT: &str = "RFC 9293 3.6.1, MUST-13";
const THREE_WAY: &str = "RFC 9293 3.5, 3.10.7.4";

const fn skip_time_wait(from: State, on: Trigger) -> Change {
    Change::Detour(Detour {
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
        breaks: "the peer's retransmitted FIN gets a RST, and an old segment can land in the next \
            connection on the same ports",
        experiment: "last-ack-lost-no-time-wait",
        changes: &[
            skip_time_wait(State::FinWait2, Trigger::Fin),
            skip_time_wait(State::Closing, Trigger::AckOfFin),
            skip_time_wait(State::FinWait1, Trigger::FinAckOfFin),
        ],
    },
    Preset {
        name: "third-ack",
        removes: "the active opener acknowledges the peer's SYN",
        requirement: "RFC 9293 3.5, 3.10.7.3",
        breaks: "the client has a connection that the server never establishes: it is half-open \
            until the server silently gives up",
        experiment: "third-ack-suppressed",
        changes: &[
            Change::Parameter(|config| config.conn.held_output = HeldOutput::DataAndFin),
            Change::Fault("drop out third-ack"),
        ],
    },
    Preset {
        name: "three-way",
        removes: "a connection is ESTABLISHED only when each side's SYN has been acknowledged",
        requirement: THREE_WAY,
        breaks: "an old SYN opens an unwanted connection, and after a lost SYN,ACK both ends wait \
            forever",
        experiment: "two-way-handshake-deadlock",
        changes: &[
            Change::Detour(Detour {
                from: State::Listen,
                on: Trigger::Syn,
                to: State::Established,
                rule: "three-way",
                requirement: THREE_WAY,
            }),
            Change::Parameter(|config| config.conn.syn_acknowledged = SynAcknowledged::WhenSent),
        ],
    },
    Preset {
        name: "2msl-restart",
        removes: "the peer's retransmitted FIN restarts TIME-WAIT's 2 MSL",
        requirement: "RFC 9293 3.10.7.4",
        breaks: "TIME-WAIT ends while the peer is still retransmitting its FIN, and the next one \
            gets a RST",
        experiment: "last-ack-lost",
        changes: &[Change::Parameter(|config| {
            config.conn.time_wait_restart = TimeWaitRestart::Never
        })],
    },
    Preset {
        name: "random-isn",
        removes: "an outsider cannot compute the initial sequence numbers",
        requirement: "RFC 9293 3.4.1, MUST-9, SHLD-1; RFC 6528",
        breaks: "an attacker who knows the clock completes a handshake in another host's name \
            without seeing an answer",
        experiment: "predictable-isn",
        changes: &[Change::Parameter(|config| config.conn.isn = Isn::Clock)],
    },
    Preset {
        name: "paws",
        removes: "a segment with an old timestamp is dropped",
        requirement: "RFC 7323 5",
        breaks: "once the sequence numbers have wrapped, an old duplicate is accepted as new data",
        experiment: "old-duplicate-after-wrap",
        changes: &[Change::Parameter(|config| config.conn.paws = false)],
    },
    Preset {
        name: "challenge-ack",
        removes: "only an exact RST resets; any other RST, and any SYN, gets a challenge ACK",
        requirement: "RFC 5961 3.2, 4.2",
        breaks: "to kill a connection, a blind attacker needs to hit only the window instead of \
            one number",
        experiment: "blind-rst-or-syn",
        changes: &[Change::Parameter(|config| {
            config.conn.reset_checks = ResetChecks::Rfc793
        })],
    },
    Preset {
        name: "window-probe",
        removes: "a sender keeps probing a zero window",
        requirement: "RFC 9293 3.8.6.1, MUST-36",
        breaks: "when the window update is lost, both ends wait for each other forever",
        experiment: "lost-window-update",
        changes: &[Change::Parameter(|config| config.conn.persist = None)],
    },
    Preset {
        name: "silly-window-avoidance",
        removes: "a window opens by at least a full segment, and a small window does not cut a \
            segment short",
        requirement: "RFC 9293 3.8.6.2, MUST-38, MUST-39",
        breaks: "a receiver that reads single bytes offers single bytes: one segment for each, \
            for the rest of the connection",
        experiment: "silly-window",
        changes: &[Change::Parameter(|config| {
            config.conn.silly_window = SillyWindow::Allow
        })],
    },
    Preset {
        name: "nagle",
        removes: "a small segment waits while earlier data (in Linux an earlier small segment) is \
            unacknowledged",
        requirement: "RFC 9293 3.7.4, SHLD-7",
        breaks: "each small write becomes a small segment, with forty bytes of headers for one \
            byte of data",
        experiment: "many-small-writes",
        changes: &[Change::Parameter(|config| config.conn.no_delay = true)],
    },
    Preset {
        name: "delayed-ack",
        removes: "an ACK waits briefly for data that can carry it",
        requirement: "RFC 9293 3.8.6.3, SHLD-18, MUST-40",
        breaks: "every segment gets a bare ACK: twice the packets for the same data",
        experiment: "ack-for-every-segment",
        changes: &[Change::Parameter(|config| config.conn.delayed_ack = None)],
    },
    Preset {
        name: "backoff",
        removes: "each timeout doubles the next one",
        requirement: "RFC 6298 5.5; RFC 9293 3.8.2, MUST-19",
        breaks: "the sender retransmits at full rate into a network that is already losing \
            segments, and reaches R2 within seconds",
        experiment: "retransmissions-without-backoff",
        changes: &[Change::Parameter(|config| config.conn.rto.backoff = 1)],
    },
    Preset {
        name: "karn",
        removes: "a retransmitted segment gives no round-trip time sample, unless a timestamp \
            tells the copies apart",
        requirement: "RFC 6298 3; RFC 9293 3.8.1, MUST-18",
        breaks: "an ACK of the first copy is timed from the second: the timeout stays below the \
            real round-trip time, and every segment is sent twice",
        experiment: "karn-ambiguity",
        changes: &[
            Change::Parameter(|config| config.conn.timestamps = false),
            Change::Parameter(|config| config.conn.rto.samples = Samples::All),
        ],
    },
    Preset {
        name: "congestion-control",
        removes: "a sender keeps less in flight when the network loses segments",
        requirement: "RFC 5681 3.1; RFC 9293 3.8.2, MUST-19",
        breaks: "a full window goes into a narrow path at once, most of it is lost, and the same \
            happens again: congestion collapse",
        experiment: "congestion-collapse",
        changes: &[Change::Parameter(|config| {
            config.conn.congestion = Congestion::Off
        })],
    },
    Preset {
        name: "keepalive",
        removes: "an idle connection is probed (if keepalive is on)",
        requirement: "RFC 9293 3.8.4, MUST-24 to MUST-29",
        breaks: "a peer that lost power leaves an ESTABLISHED connection that nothing ever ends",
        experiment: "peer-vanishes-keepalive",
        changes: &[Change::Parameter(|config| config.conn.keepalive = None)],
    },
    Preset {
        name: "rst-on-closed",
        removes: "a segment for a closed port is answered with a RST",
        requirement: "RFC 9293 3.5.2, 3.10.7.1",
        breaks: "a peer cannot tell a closed port, or a restarted host, from a lost segment, and \
            waits for its timeouts",
        experiment: "closed-port",
        changes: &[Change::Parameter(|config| config.rst_on_closed = false)],
    },
    Preset {
        name: "fin-retransmit",
        removes: "a FIN is retransmitted until it is acknowledged, like everything that uses a \
            sequence number",
        requirement: "RFC 9293 3.6, 3.8.1",
        breaks: "after one lost FIN the closer gives up in FIN-WAIT-1, and its peer never learns \
            of the close",
        experiment: "fin-sent-once",
        changes: &[Change::Parameter(|config| {
            config.conn.fin_repeats = FinRepeats::Never
        })],
    },
    Preset {
        name: "checksum",
        removes: "a segment with a wrong checksum is dropped",
        requirement: "RFC 9293 3.1, MUST-3",
        breaks: "data that a cable or a network card corrupted is delivered as if the peer had \
            sent it",
        experiment: "bad-checksum",
        changes: &[Change::Parameter(|config| {
            config.checksum = ChecksumPolicy::Ignore
        })],
    },
    Preset {
        name: "sequence-check",
        removes: "a segment with nothing in the receive window is dropped",
        requirement: "RFC 9293 3.10.7.4 (first check), 3.4",
        breaks: "an old copy is delivered as the next data, and so is every retransmission that \
            follows",
        experiment: "old-segment-taken-as-new",
        changes: &[Change::Parameter(|config| {
            config.conn.sequence_check = SequenceCheck::None
        })],
    },
    Preset {
        name: "fast-open-fallback",
        removes: "a SYN that is retransmitted carries neither the Fast Open option nor data",
        requirement: "RFC 7413 4.1.3",
        breaks: "a client whose network drops such SYNs never connects, although an ordinary SYN \
            would pass",
        experiment: "fast-open-swallowed",
        changes: &[Change::Parameter(|config| {
            config.conn.fast_open_repeats = FastOpenRepeats::EverySyn
        })],
    },
    Preset {
        name: "backlog-bound",
        removes: "the number of connections in SYN-RECEIVED is limited, and cookies serve clients \
            beyond the limit",
        requirement: "RFC 4987 3",
        breaks: "a flood of SYNs fills the memory, and no other client gets a connection",
        experiment: "syn-flood",
        changes: &[Change::Parameter(|config| {
            config.overflow = Overflow::Unbounded
        })],
    },
];

impl Preset {
    /// The row with this name.
    pub fn find(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Makes all its changes. The first rule that matches wins: call it before `rules` gets the
    /// user's own.
    pub fn apply(&'static self, config: &mut Config, rules: &mut Vec<FaultRule>) {
        for change in self.changes {
            match change {
                Change::Parameter(set) => set(config),
                Change::Detour(detour) => config.conn.detours.push(*detour),
                Change::Fault(line) => rules.extend(FaultRule::parse(line).ok().map(|mut rule| {
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
                .changes
                .iter()
                .filter_map(|change| {
                    if let Change::Fault(line) = change {
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
            for change in preset.changes {
                let Change::Detour(detour) = change else {
                    continue;
                };
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
}
