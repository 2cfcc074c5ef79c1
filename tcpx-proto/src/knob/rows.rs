//! The rows. Their order is that of the help, and the order in which they are applied.

use super::kinds::{bound, broken, choice, retries, timer};
use super::values::{count, delayed_ack, duration, keepalive, persist, put, text, window_shift};
use super::{Choice, Effect, Heading, Knob};
use crate::config::{
    Congestion, CwndReduction, Ecn, Isn, KeepAlive, Overflow, Persist, Recovery, SlowStart,
    SpuriousLoss, TimeWaitRst,
};
use crate::lexer::{number, size};
use crate::seq::Seq;
use crate::wire::{ChecksumPolicy, OptionLayout};
use alloc::format;
use alloc::string::ToString;

/// The most that a buffer has.
const MOST_BYTES: u32 = 1 << 30;

/// The options, in the order of a list of them. Each is applied after those above it, but for
/// [`Effect::Profile`], which comes first, and rules and faults, which come last.
pub const KNOBS: &[Knob] = &[
    PROFILE,
    WITHOUT,
    FAULT,
    broken(
        "skip-time-wait",
        "Skip TIME-WAIT: go straight to CLOSED; the same as --without time-wait",
        "",
        Effect::Shorthand("time-wait"),
    ),
    broken(
        "no-third-ack",
        "Never send the third ACK, and hold back data and FIN, until --hold ends, Ctrl-C or a \
         RST; =data sends data anyway",
        "",
        Effect::ThirdAck,
    ),
    broken(
        "no-delay",
        "Send small segments at once; the same as --without nagle",
        "",
        Effect::Shorthand("nagle"),
    ),
    broken(
        "no-timestamps",
        "Do not offer timestamps",
        "RFC 7323",
        Effect::Switch(|config| config.conn.timestamps = false),
    ),
    broken(
        "no-sack",
        "Do not offer SACK",
        "RFC 2018",
        Effect::Switch(|config| config.conn.sack = false),
    ),
    broken(
        "no-window-scaling",
        "Do not offer window scaling",
        "RFC 7323",
        Effect::Switch(|config| config.conn.window_scaling = false),
    ),
    broken(
        "no-syn-cookies",
        "Drop a SYN when the backlog is full, instead of answering with a SYN cookie",
        "RFC 4987",
        Effect::Switch(|config| config.overflow = Overflow::Drop),
    ),
    broken(
        "rfc1337",
        "Ignore a RST in TIME-WAIT",
        "RFC 1337",
        Effect::Switch(|config| config.conn.time_wait_rst = TimeWaitRst::Ignore),
    ),
    timer(
        "msl",
        "Set the maximum segment lifetime; TIME-WAIT lasts twice that",
        "RFC 9293 3.4.2",
        |config, word| put(&mut config.conn.msl, duration(word)),
        |config| text(config.conn.msl),
    ),
    Knob {
        name: "keepalive",
        heading: Heading::Timers,
        help: "Probe a silent peer after IDLE, then every INTERVAL, and give up after PROBES (at \
            least 2), such as 2h,75s,9",
        source: "RFC 9293 3.8.4",
        effect: Effect::Value {
            placeholder: "IDLE,INTERVAL,PROBES",
            range: "two durations and a number from 2",
            set: |config, word| put(&mut config.conn.keepalive, keepalive(word).map(Some)),
            get: |config| {
                let text = |keepalive: &KeepAlive| {
                    let KeepAlive {
                        idle,
                        interval,
                        probes,
                    } = keepalive;
                    format!("{idle:?},{interval:?},{probes}")
                };
                config.conn.keepalive.as_ref().map(text).unwrap_or_default()
            },
        },
    },
    timer(
        "user-timeout",
        "Give up when data stays unacknowledged for this long",
        "RFC 9293 3.9.1",
        |config, word| put(&mut config.conn.user_timeout, duration(word).map(Some)),
        |config| config.conn.user_timeout.map(text).unwrap_or_default(),
    ),
    timer(
        "rto-initial",
        "Set the retransmission timeout before the first round-trip sample",
        "RFC 6298 2.1",
        |config, word| {
            let rto = &mut config.conn.rto;
            rto.initial = duration(word)?;
            rto.min = rto.min.min(rto.initial);
            Ok(())
        },
        |config| text(config.conn.rto.initial),
    ),
    timer(
        "rto-max",
        "Set the maximum retransmission timeout",
        "RFC 6298 2.5",
        |config, word| {
            let rto = &mut config.conn.rto;
            rto.max = duration(word)?;
            rto.min = rto.min.min(rto.max);
            Ok(())
        },
        |config| text(config.conn.rto.max),
    ),
    // After the two that lower it: a value that was given stays.
    timer(
        "rto-min",
        "Set the minimum retransmission timeout; with profile linux, the minimum that it adds to \
         the round-trip time",
        "RFC 6298 2.4",
        |config, word| {
            let rto = &mut config.conn.rto;
            rto.min = duration(word)?;
            if rto.min > rto.max {
                return Err(word.wrong(
                    format!("the minimum timeout is above the maximum, {:?}", rto.max),
                    Some("give a minimum no larger than --rto-max".into()),
                ));
            }
            Ok(())
        },
        |config| text(config.conn.rto.min),
    ),
    retries(
        "r2",
        "Give up after N unanswered retransmissions of data, or zero-window probes",
        "RFC 9293 3.8.3",
        |config, word| put(&mut config.conn.r2, number(word, 0, 255)),
        |config| config.conn.r2.to_string(),
    ),
    retries(
        "orphan-retries",
        "Set R2 for a connection that the application has closed",
        "tcp_orphan_retries",
        |config, word| put(&mut config.conn.orphan_retries, number(word, 0, 255)),
        |config| config.conn.orphan_retries.to_string(),
    ),
    retries(
        "syn-retries",
        "Set R2 for a SYN",
        "RFC 9293 3.8.3",
        |config, word| put(&mut config.conn.syn_retries, number(word, 0, 255)),
        |config| config.conn.syn_retries.to_string(),
    ),
    retries(
        "synack-retries",
        "Set R2 for a SYN,ACK",
        "tcp_synack_retries",
        |config, word| put(&mut config.conn.synack_retries, number(word, 0, 255)),
        |config| config.conn.synack_retries.to_string(),
    ),
    timer(
        "fin-wait-2",
        "End FIN-WAIT-2 this long after the application has closed",
        "tcp_fin_timeout",
        |config, word| put(&mut config.conn.fin_wait_2, duration(word).map(Some)),
        |config| config.conn.fin_wait_2.map_or("<never>".into(), text),
    ),
    Knob {
        name: "persist",
        heading: Heading::Timers,
        help: "Probe a zero window at least MIN and at most MAX after the last probe",
        source: "RFC 9293 3.8.6.1",
        effect: Effect::Value {
            placeholder: "MIN,MAX",
            range: "two durations, the first no longer than the second",
            set: |config, word| put(&mut config.conn.persist, persist(word).map(Some)),
            get: |config| {
                let text = |persist: &Persist| format!("{:?},{:?}", persist.min, persist.max);
                config.conn.persist.as_ref().map(text).unwrap_or_default()
            },
        },
    },
    Knob {
        name: "delayed-ack",
        heading: Heading::Timers,
        help: "Delay an ACK at most this long, below 500ms, so that data can carry it",
        source: "RFC 9293 3.8.6.3",
        effect: Effect::Value {
            placeholder: "DUR",
            range: "a duration above 0, below 500ms",
            set: |config, word| put(&mut config.conn.delayed_ack, delayed_ack(word).map(Some)),
            get: |config| config.conn.delayed_ack.map(text).unwrap_or_default(),
        },
    },
    timer(
        "challenge-interval",
        "Send at most one challenge ACK, or other answer to a segment without data and FIN, per \
         connection in this time",
        "RFC 5961 7",
        |config, word| put(&mut config.conn.challenge_interval, duration(word)),
        |config| text(config.conn.challenge_interval),
    ),
    Knob {
        name: "isn",
        heading: Heading::Connection,
        help: "Set the initial sequence number of every connection",
        source: "RFC 9293 3.4.1",
        effect: Effect::Value {
            placeholder: "N",
            range: "0 to 4294967295",
            set: |config, word| {
                let isn = number(word, 0, u32::MAX).map(|isn| Isn::Fixed(Seq(isn)));
                put(&mut config.conn.isn, isn)
            },
            get: |config| match config.conn.isn {
                Isn::Fixed(isn) => isn.0.to_string(),
                Isn::Rfc6528 => "<RFC 6528>".into(),
                Isn::Clock => "<the clock>".into(),
            },
        },
    },
    Knob {
        name: "mss",
        heading: Heading::Connection,
        help: "Set the maximum segment size to offer, in bytes; with profile linux also the \
            largest to send",
        source: "RFC 9293 3.7.1",
        effect: Effect::Value {
            placeholder: "BYTES",
            range: "88 to 65495 bytes",
            set: |config, word| {
                let mss = number(word, 88, 65_495)?;
                config.conn.mss = u16::try_from(mss).ok();
                Ok(())
            },
            get: |config| {
                config
                    .conn
                    .mss
                    .map_or("<the link's MTU less 40>".into(), |mss| mss.to_string())
            },
        },
    },
    Knob {
        name: "window",
        heading: Heading::Connection,
        help: "Set the receive buffer, the largest window to offer, such as 64k or 1M",
        source: "RFC 9293 3.8.6",
        effect: Effect::Value {
            placeholder: "BYTES",
            range: "1 to 1024M bytes",
            set: |config, word| {
                let bytes = size(word, MOST_BYTES).map(|bytes| bytes as usize);
                put(&mut config.conn.receive_buffer, bytes)?;
                config.conn.receive_limit = None;
                Ok(())
            },
            get: |config| match config.conn.receive_buffer {
                bytes if bytes % 1024 == 0 => format!("{}k", bytes / 1024),
                bytes => bytes.to_string(),
            },
        },
    },
    Knob {
        name: "window-shift",
        heading: Heading::Connection,
        help: "Set the shift of the window scale option; auto is the smallest with which a window \
            as large as the receive buffer can be offered",
        source: "RFC 7323 2.3",
        effect: Effect::Value {
            placeholder: "SHIFT",
            range: "auto, or 0 to 14",
            set: |config, word| put(&mut config.conn.window_shift, window_shift(word)),
            get: |config| match config.conn.window_shift {
                Some(shift) => shift.to_string(),
                None => "auto".into(),
            },
        },
    },
    choice(
        "syn-options",
        "Choose the order and the padding of the options of a SYN and SYN,ACK",
        "RFC 7323 Appendix A",
        &[
            Choice {
                name: "linux",
                help: "mss, sackOK, ts, nop, ws: as Linux",
                set: |config| config.conn.syn_options = OptionLayout::Linux,
            },
            Choice {
                name: "padded",
                help: "mss, nop, ws, nop, nop, ts, nop, nop, sackOK: each padded to four bytes",
                set: |config| config.conn.syn_options = OptionLayout::Padded,
            },
            Choice {
                name: "freebsd",
                help: "mss, nop, ws, sackOK, ts, end of list: as FreeBSD",
                set: |config| config.conn.syn_options = OptionLayout::FreeBsd,
            },
        ],
    ),
    bound(
        "max-connections",
        "Limit concurrent connections, including half-open ones and those in TIME-WAIT",
        "",
        |config, word| put(&mut config.max_connections, count(word)),
        |config| config.max_connections.to_string(),
    ),
    bound(
        "max-orphans",
        "Limit the connections that the application has closed and the peer has not; past it, \
         closing resets a connection",
        "tcp_max_orphans",
        |config, word| put(&mut config.max_orphans, count(word)),
        |config| config.max_orphans.to_string(),
    ),
    bound(
        "max-time-wait",
        "Limit the connections in TIME-WAIT; past it, TIME-WAIT ends at once",
        "tcp_max_tw_buckets",
        |config, word| put(&mut config.max_time_wait, count(word)),
        |config| config.max_time_wait.to_string(),
    ),
    choice(
        "congestion",
        "Choose how the congestion window grows and shrinks",
        "RFC 9293 3.8.2",
        &[
            Choice {
                name: "newreno",
                help: "RFC 5681",
                set: |config| config.conn.congestion = Congestion::NewReno,
            },
            Choice {
                name: "cubic",
                help: "RFC 9438",
                set: |config| config.conn.congestion = Congestion::Cubic,
            },
            Choice {
                name: "off",
                help: "None: only the peer's window limits",
                set: |config| config.conn.congestion = Congestion::Off,
            },
        ],
    ),
    choice(
        "recovery",
        "Choose how lost segments are detected if the peer permits SACK",
        "RFC 9293 3.8.2",
        &[
            Choice {
                name: "newreno",
                help: "By duplicate ACKs alone (RFC 6582)",
                set: |config| config.conn.recovery = Recovery::NewReno,
            },
            Choice {
                name: "rfc6675",
                help: "By SACK blocks",
                set: |config| config.conn.recovery = Recovery::Rfc6675,
            },
            Choice {
                name: "rack",
                help: "By time, with tail-loss probes (RFC 8985)",
                set: |config| config.conn.recovery = Recovery::Rack,
            },
        ],
    ),
    choice(
        "cwnd-reduction",
        "Choose how fast the congestion window falls after a loss or a mark",
        "RFC 9937",
        &[
            Choice {
                name: "at-once",
                help: "To the threshold (RFC 5681)",
                set: |config| config.conn.cwnd_reduction = CwndReduction::AtOnce,
            },
            Choice {
                name: "prr",
                help: "In proportion to what is delivered (RFC 9937)",
                set: |config| config.conn.cwnd_reduction = CwndReduction::Proportional,
            },
        ],
    ),
    choice(
        "spurious-loss",
        "Choose what to do when a lost segment proves to be only late",
        "RFC 4015",
        &[
            Choice {
                name: "ignore",
                help: "Nothing (RFC 5681)",
                set: |config| config.conn.spurious_loss = SpuriousLoss::Ignore,
            },
            Choice {
                name: "undo",
                help: "Restore the window, on proof by timestamps, D-SACK or F-RTO",
                set: |config| config.conn.spurious_loss = SpuriousLoss::Undo,
            },
        ],
    ),
    choice(
        "slow-start",
        "Choose by how much an ACK opens the congestion window in slow start",
        "RFC 5681 3.1",
        &[
            Choice {
                name: "per-ack",
                help: "By one segment at most (RFC 5681)",
                set: |config| config.conn.slow_start = SlowStart::PerAck,
            },
            Choice {
                name: "per-byte",
                help: "By all it acknowledges (RFC 3465)",
                set: |config| config.conn.slow_start = SlowStart::PerByte,
            },
        ],
    ),
    Knob {
        name: "ecn",
        heading: Heading::Connection,
        help: "Ask for explicit congestion notification, and grant it",
        source: "RFC 3168",
        effect: Effect::Switch(|config| config.conn.ecn = Ecn::On),
    },
    Knob {
        name: "fast-open",
        heading: Heading::Connection,
        help: "Use TCP Fast Open: a client puts the first text that it sends on its SYN once the \
            peer has given it a cookie, and a listener gives cookies and delivers that text before \
            the third ACK; the text may arrive twice, so use it only for requests that are \
            idempotent",
        source: "RFC 7413",
        effect: Effect::Switch(|config| config.conn.fast_open = true),
    },
    Knob {
        name: "fast-open-pending",
        heading: Heading::Connection,
        help: "Serve at most N connections of a listener before their third ACK with --fast-open; \
            beyond that a SYN gets an ordinary handshake",
        source: "RFC 7413 5.1",
        effect: Effect::Value {
            placeholder: "N",
            range: "0 to 65535",
            set: |config, word| {
                let most = number(word, 0, 65_535).map(|most| most as usize);
                put(&mut config.conn.fast_open_pending, most)
            },
            get: |config| config.conn.fast_open_pending.to_string(),
        },
    },
    choice(
        "checksum",
        "Choose which checksums to accept; partial also accepts those that a kernel on this \
         machine left to its network card",
        "RFC 9293 3.1",
        &[
            Choice {
                name: "partial",
                help: "Correct ones, and those left to a network card",
                set: |config| config.checksum = ChecksumPolicy::Partial,
            },
            Choice {
                name: "strict",
                help: "Correct ones only",
                set: |config| config.checksum = ChecksumPolicy::Strict,
            },
            Choice {
                name: "ignore",
                help: "Any",
                set: |config| config.checksum = ChecksumPolicy::Ignore,
            },
        ],
    ),
];

pub(super) const PROFILE: Knob = broken(
    "profile",
    "Start from the replies, timers and limits of this profile",
    "",
    Effect::Profile,
);

pub(super) const WITHOUT: Knob = broken(
    "without",
    "Remove this rule of TCP (repeatable); see the list below",
    "",
    Effect::Without,
);

pub(super) const FAULT: Knob = broken(
    "fault",
    "Apply a fault to segments, as a bad network would (repeatable, the first match wins), such as \
     'drop out fin#1'; see docs/faults.md",
    "",
    Effect::Fault,
);
