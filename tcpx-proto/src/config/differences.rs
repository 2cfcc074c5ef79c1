//! Where the profiles differ: one row for each parameter or policy. `--help` and
//! `docs/profiles.md` are made from this table.

use super::{ConnConfig, Profile};
use crate::time::Duration;
use alloc::format;
use alloc::string::String;
use core::fmt::Debug;

/// A parameter or policy whose value depends on the profile.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The field of [`ConnConfig`].
    pub field: &'static str,
    /// The requirement that a profile departs from.
    pub requirement: &'static str,
    /// How it departs: `linux` where that differs from `rfc9293`, otherwise `rfc793`.
    pub text: &'static str,
    show: fn(&ConnConfig) -> String,
    copy: fn(&ConnConfig, &mut ConnConfig),
}

impl Difference {
    /// Its value in a profile.
    pub fn value(&self, profile: Profile) -> String {
        (self.show)(&profile.config().conn)
    }

    /// Whether a profile departs from `rfc9293` here.
    pub fn is_in(&self, profile: Profile) -> bool {
        self.value(profile) != self.value(Profile::Rfc9293)
    }

    /// Gives this one field the value of a profile.
    pub fn set(&self, profile: Profile, config: &mut ConnConfig) {
        (self.copy)(&profile.config().conn, config);
    }
}

/// A value as the tables print it: `60s` instead of `Some(60s)`.
fn shown(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text
        .strip_prefix("Some(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        Some(inner) => inner.into(),
        None => text,
    }
}

fn range(min: Duration, max: Duration) -> String {
    format!("{min:?} to {max:?}")
}

macro_rules! row {
    ($($field:ident).+, $requirement:literal, $text:literal) => {
        row!($($field).+, $requirement, $text, |config| shown(&config.$($field).+))
    };
    ($($field:ident).+, $requirement:literal, $text:literal, $show:expr) => {
        Difference {
            field: stringify!($($field).+),
            requirement: $requirement,
            text: $text,
            show: $show,
            copy: |from, to| to.$($field).+ = from.$($field).+,
        }
    };
}

/// Every parameter and policy in which two profiles differ.
pub const DIFFERENCES: &[Difference] = &[
    row!(
        syn_retries,
        "MUST-23",
        "gives up a SYN after 10 retransmissions (134 s) instead of 8 (3 min or more)"
    ),
    row!(
        syn_linear,
        "RFC 6298 5.5",
        "the first 4 retransmissions of a SYN come without back-off"
    ),
    row!(
        synack_retries,
        "RFC 9293 3.8.3",
        "gives up a SYN,ACK after 5 retransmissions instead of 8"
    ),
    row!(
        lost_syns,
        "RFC 5681 3.1",
        "one lost SYN leaves the initial window as it is"
    ),
    row!(
        syn_text,
        "RFC 9293 3.10.7.2",
        "drops text or a FIN on a SYN or SYN,ACK instead of queueing it; a listener drops all of a \
         SYN,FIN"
    ),
    row!(
        fast_open_refused,
        "RFC 7413 4.1.3.1",
        "tries Fast Open again with a peer that did not take part in it the last time"
    ),
    row!(
        syn_sent_ack,
        "RFC 9293 3.10.7.3",
        "answers an unacceptable ACK in SYN-SENT with a RST and, the first time, also with another \
         SYN at once"
    ),
    row!(
        syn_echo,
        "RFC 7323 3.2",
        "answers a SYN,ACK with a RST, and a third ACK with an ACK, if its TSecr is none that our \
         SYNs or SYN,ACKs carried"
    ),
    row!(
        repeated_syn,
        "RFC 9293 3.10.7.4",
        "answers a retransmitted SYN in SYN-RECEIVED with the SYN,ACK again instead of an ACK"
    ),
    row!(
        request_ack,
        "RFC 7323 5.3",
        "a passive opener in SYN-RECEIVED answers a wrong ACK with a RST, whatever its timestamp \
         and sequence number"
    ),
    row!(
        request_syn,
        "RFC 9293 3.10.7.4",
        "a passive opener in SYN-RECEIVED answers another SYN in its window with a RST instead of \
         nothing"
    ),
    row!(
        handshake_icmp,
        "MUST-56",
        "any ICMP error, not only a hard one, ends a connection in SYN-SENT or SYN-RECEIVED"
    ),
    row!(
        listener_end,
        "RFC 9293 3.10.5",
        "closing a listener sends no RST for its connections in SYN-RECEIVED"
    ),
    row!(
        unacknowledging,
        "RFC 9293 3.10.7.4",
        "drops a segment without ACK, RST and SYN before any other check"
    ),
    row!(
        window_edges,
        "RFC 9293 3.10.7.4",
        "processes the ACK field of a duplicate that ends at RCV.NXT, and of an ACK at the right \
         edge of the window"
    ),
    row!(
        missing_timestamp,
        "RFC 7323 3.2",
        "accepts a segment without the negotiated timestamp"
    ),
    row!(
        old_timestamp,
        "RFC 7323 5.3",
        "a timestamp that is older by one tick is not old; a bare ACK with an old one that repeats \
         the last ACK is accepted, and one before RCV.NXT gets no answer"
    ),
    row!(
        old_ack_timestamp,
        "RFC 7323 5.3",
        "the timestamp of an ACK before SND.UNA is not taken"
    ),
    row!(
        simultaneous_options,
        "RFC 7323 2.2",
        "the SYN,ACK of a simultaneous open offers every option that our SYN offered, and our \
         windows are scaled, even if the peer does not offer these options"
    ),
    row!(
        window_update,
        "RFC 9293 3.10.7.4",
        "an ACK with the same sequence and acknowledgment numbers as the last one changes the \
         window only to 0 or to a larger one; an ACK that changes the window is not a duplicate \
         ACK"
    ),
    row!(
        beyond_window,
        "RFC 9293 3.10.7.4",
        "text that ends beyond the window counts whole while no text or FIN is unread, and is \
         unacceptable otherwise, instead of being cut"
    ),
    row!(
        unread_text,
        "RFC 9293 3.10.7.4",
        "a reset leaves what was not read to the application instead of flushing it"
    ),
    row!(
        syn_sent_shutdown,
        "RFC 9293 3.10.4",
        "a shutdown in SYN-SENT ends the attempt instead of waiting for ESTABLISHED"
    ),
    row!(
        reset_tos,
        "not in the RFC",
        "a RST that answers a segment has the DSCP of that segment"
    ),
    row!(
        reset_checks,
        "RFC 5961 3.2, 4.2",
        "resets the connection on any RST in the window, answers a SYN in the window with a RST, \
         and sends no challenge ACK"
    ),
    row!(
        reset_place,
        "RFC 5961 3.2",
        "a RST right behind the last text that SACK reports also resets, and after the peer's FIN \
         one at RCV.NXT-1"
    ),
    row!(
        overlap,
        "RFC 9293 3.10.7.4",
        "of two held segments that begin at the same place the longer one counts instead of the \
         first; a held FIN counts when its turn comes, whatever is held behind it"
    ),
    row!(
        text_over_fin,
        "RFC 9293 3.10.7.4",
        "text that begins before the peer's FIN and continues behind it resets the connection \
         instead of being ignored"
    ),
    row!(
        urgent,
        "RFC 6093 3.1",
        "the last byte of urgent data is taken out of the stream, as without SO_OOBINLINE; an \
         urgent pointer of 0 means 1"
    ),
    row!(
        delayed_ack,
        "SHLD-18",
        "an ACK is delayed by 40 ms or more, as the peer's pace suggests, instead of 200 ms"
    ),
    row!(
        ack_pace,
        "SHLD-18, SHLD-19",
        "an ACK waits until the application has read, goes with its answer, or goes 40 to 200 ms \
         later; more than a full segment is acknowledged at once; the ACK of a FIN waits too, 2 ms \
         where no text came before it"
    ),
    row!(
        quick_acks,
        "SHLD-18",
        "the first 16 ACKs of a connection are not delayed"
    ),
    row!(
        nagle,
        "SHLD-7",
        "Nagle's algorithm in Minshall's variant: a small segment waits only for an unacknowledged \
         small one"
    ),
    row!(
        receive_window,
        "RFC 9293 3.8.6.2.2",
        "the window is whole segments at first, grows as large segments arrive, and counts the \
         memory that packets take"
    ),
    row!(
        user_timeout_from,
        "MUST-21",
        "the user timeout counts from the first retransmission or zero-window probe, and a new \
         value from the next one"
    ),
    row!(
        sws_override,
        "MUST-38",
        "silly-window avoidance is overridden after one RTO instead of 500 ms",
        |config| config
            .sws_override
            .map_or("one RTO".into(), |time| shown(&time))
    ),
    row!(
        persist,
        "SHLD-29, SHLD-30",
        "zero-window probes come 200 ms to 120 s apart instead of 1 s to 60 s",
        |config| config.persist.map_or(String::from("None"), |persist| range(
            persist.min,
            persist.max
        ))
    ),
    row!(
        probe_interval,
        "SHLD-29",
        "the interval to the next zero-window probe, or to the override of silly-window \
         avoidance, counts from the last ACK"
    ),
    row!(
        probe_timer,
        "RFC 8985 7.2",
        "new text starts the timer of tail-loss probes also while one is on its way, in the place \
         of the retransmission timer; it counts from the oldest segment"
    ),
    row!(
        shrunk_window,
        "MAY-7, MUST-35",
        "what was sent into a window that was taken back is sent again instead of probed for, and \
         ACKs lie in that window"
    ),
    row!(
        zero_window_probe,
        "RFC 9293 3.8.6.1",
        "a zero-window probe has no text and SEG.SEQ = SND.UNA-1"
    ),
    row!(
        orphan_probes,
        "MUST-37",
        "a closed connection whose peer keeps its window at zero ends once the doubled timeout \
         reaches 120 s (after 5 to 6 min) instead of being probed for ever"
    ),
    row!(
        rto.variance,
        "RFC 6298 2.3",
        "the retransmission timeout is SRTT plus the largest deviation of the last round trips \
         instead of SRTT + 4 RTTVAR; its lower bound applies to that deviation"
    ),
    row!(
        rto.samples,
        "MUST-18",
        "in a simultaneous open the ACK of our SYN gives a round-trip time, measured from our \
         SYN,ACK, even if the ACK echoes a timestamp"
    ),
    row!(
        rto.min,
        "RFC 6298 2.4",
        "the lower bound of the retransmission timeout is 200 ms instead of 1 s"
    ),
    row!(
        timer_granularity,
        "not in the RFC",
        "timers fire at the slots of a timer wheel: up to 4 ms late below 252 ms, up to 32 ms \
         below 2 s, up to an eighth of their time in all"
    ),
    row!(
        give_up,
        "MUST-20",
        "R2 is the time that as many retransmissions take which begin at 200 ms, counted from the \
         first one; a user timeout takes its place, and that of the number of keepalive probes"
    ),
    row!(
        congestion,
        "RFC 5681",
        "congestion control is CUBIC (RFC 9438) instead of NewReno"
    ),
    row!(
        recovery,
        "RFC 6675",
        "losses are detected by time (RACK-TLP, RFC 8985) where the peer permits SACK"
    ),
    row!(
        cwnd_reduction,
        "RFC 6675 5",
        "the congestion window falls in proportion to what is delivered (PRR, RFC 9937) instead \
         of at once"
    ),
    row!(
        spurious_loss,
        "RFC 5681 3.2",
        "a reduction of the congestion window is undone when timestamps (RFC 3522), D-SACK (RFC \
         3708) or F-RTO (RFC 5682) prove that nothing was lost"
    ),
    row!(
        slow_start,
        "RFC 5681 3.1",
        "slow start opens the congestion window by all bytes that an ACK acknowledges instead of \
         one segment"
    ),
    row!(
        window_use,
        "RFC 5681 3.1, 4.1",
        "a congestion window that is not used does not grow, and falls by half for each \
         retransmission timeout without text; a loss leaves a part of it instead of FlightSize; \
         the initial window is 10 segments of any size"
    ),
    row!(
        timeout_sack,
        "RFC 2018 8",
        "after a retransmission timeout, what SACK reported as held is not sent again before \
         SND.UNA has reached it; SND.UNA at such a range brings the timeout forward"
    ),
    row!(
        ecn,
        "RFC 3168 6.1.1",
        "ECN is granted to a peer that asks for it"
    ),
    row!(
        mss_limits,
        "RFC 9293 3.7.1",
        "the configured MSS also limits what is sent; an active opener sends segments of that size \
         to a peer that offers no MSS, instead of 536"
    ),
    row!(
        small_path,
        "RFC 1191 3",
        "a path with an MTU below 552 gets packets of 552 bytes that routers may fragment, instead \
         of smaller ones"
    ),
    row!(
        abort_rst,
        "RFC 9293 3.10.5",
        "the RST of an ABORT also carries an ACK, and is sent in CLOSING and LAST-ACK too, if the \
         FIN was not"
    ),
    row!(
        orphan_retries,
        "RFC 9293 3.8.3",
        "after CLOSE, data and FIN are given up after 8 retransmissions instead of 15"
    ),
    row!(
        orphan,
        "RFC 9293 3.10.7.4",
        "after CLOSE in FIN-WAIT-2, any RST or SYN in the window ends the connection, and no ACK \
         is checked"
    ),
    row!(
        fin_wait_2,
        "not in the RFC",
        "FIN-WAIT-2 ends 60 s after CLOSE"
    ),
    row!(
        msl,
        "RFC 9293 3.4.2",
        "the MSL is 30 s, so that TIME-WAIT lasts 60 s instead of 4 min"
    ),
    row!(
        time_wait_ack,
        "RFC 7323 5.3",
        "in TIME-WAIT the ACK field is not checked, only a bare ACK at RCV.NXT moves TS.Recent, \
         and anything else is answered with an ACK"
    ),
    row!(
        time_wait_old_rst,
        "RFC 7323 5.3",
        "in TIME-WAIT, and at a passive opener in SYN-RECEIVED, a RST with an old timestamp is \
         dropped"
    ),
    row!(
        time_wait_challenge,
        "RFC 5961 3.2",
        "in TIME-WAIT a RST that is not at RCV.NXT gets no challenge ACK"
    ),
    row!(
        time_wait_reopen,
        "RFC 6191 2",
        "a SYN at RCV.NXT does not reopen TIME-WAIT, nor does one only because it has a timestamp \
         where the old connection had none"
    ),
    row!(
        time_wait_refused,
        "RFC 6191 2",
        "a SYN that does not reopen TIME-WAIT is answered with an ACK instead of dropped"
    ),
    row!(
        time_wait_syn,
        "MAY-2",
        "a SYN that reopens TIME-WAIT ends it, even if it proves to be an old duplicate"
    ),
    row!(
        timestamps,
        "RFC 7323 3",
        "timestamps are neither offered nor used"
    ),
    row!(paws, "RFC 7323 5", "old timestamps are not rejected"),
    row!(sack, "RFC 2018", "SACK is neither offered nor used"),
    row!(
        window_scaling,
        "RFC 7323 2",
        "window scaling is neither offered nor used"
    ),
];

/// Where the `linux` profile still differs from Linux 6.18, as measured against it. `--help` prints
/// it.
pub const LINUX_DIFFERENCES: &[&str] = &[
    "the congestion window counts bytes; Linux counts segments, a small one as a whole",
    "slow start ends at the first loss or mark; Linux's CUBIC also ends it where round trips get \
     longer (HyStart)",
    "text that was offered a place is never refused; Linux drops it, and closes the window, when \
     its packets take more memory than there is",
    "a connection has a receive buffer of 256 KiB, as if SO_RCVBUF had set it; Linux begins with \
     64 KiB at a shift of 10, and lets it grow",
    "a received packet is charged the memory of one from a TUN device, on every kind of link",
    "half of a small window does not limit a segment",
    "the MSS follows the interface's MTU, not the route's; the MSS that a SYN cookie keeps is \
     rounded to other values",
    "the bits of AccECN are ignored",
    "the IP identification counts the packets of all connections, and is never 0; Linux counts \
     those of each connection from a random number on, and has 0 in the SYN,ACK of a passive \
     opener, in TIME-WAIT and in a RST without a connection",
];

/// Differences from Linux that stay, by the name that `make differential` gives to what it finds, with
/// the reason.
pub const NAMED_DIFFERENCES: &[(&str, &str)] = &[
    (
        "send-before-established",
        "SEND before ESTABLISHED queues the text, as RFC 9293 3.10.2 has it; Linux waits",
    ),
    (
        "early-socket",
        "a SYN,ACK with text or a FIN leaves a passive opener in SYN-RECEIVED as it is; Linux \
         makes a socket of it that can be accepted, and has checks and limits of its own",
    ),
    (
        "listener-end",
        "a connection in SYN-RECEIVED ends with its listener; Linux keeps it until its timer \
         expires, and answers its ACK with a RST",
    ),
    (
        "simultaneous-ack",
        "in a simultaneous open an ACK must acknowledge our SYN; Linux takes SEG.ACK = ISS, too",
    ),
    (
        "simultaneous-shutdown",
        "a shutdown in the SYN-RECEIVED of a simultaneous open sends a FIN (RFC 9293 3.10.4), and \
         the SYN,ACK goes out again until it is acknowledged; Linux sends no FIN before the \
         socket is closed, and then repeats only that",
    ),
    (
        "error-kind",
        "an error says who ended the connection: refused in SYN-RECEIVED of an active open, as \
         RFC 9293 3.10.7.4 has it, aborted after a call of our own, and as anywhere after \
         CLOSE-WAIT; Linux says reset, or broken pipe. And every call says so; in Linux the first \
         one does",
    ),
    (
        "sack-of-purged",
        "the ACK of a FIN does not report the text held behind it, which counts no more; Linux's \
         does, for the last time",
    ),
    (
        "bursts",
        "a segment reports a D-SACK once, and has PSH where the text ends; Linux builds several \
         segments at once, each with the same D-SACK, the last with PSH",
    ),
    (
        "window-in-bytes",
        "the congestion window counts bytes, so that more segments fit where some are small; \
         Linux counts segments, and waits until there is room for two of them",
    ),
    (
        "rest-of-a-window",
        "text is not cut to fill a window that is not a multiple of the segment size (SHLD-28); \
         Linux without Nagle's algorithm fills it when it builds several segments at once",
    ),
    (
        "syn-fin-in-time-wait",
        "a SYN,FIN leaves TIME-WAIT as it is; Linux ends it, and then drops the segment",
    ),
    (
        "old-ack",
        "a segment whose ACK is too old to be believed is dropped (RFC 5961 5.2); Linux's header \
         prediction takes text in order with one, if there is memory at hand, and a timestamp",
    ),
    (
        "second-fin",
        "text in the place of the peer's FIN with another FIN behind it is ignored; Linux counts \
         that FIN, too",
    ),
    (
        "abort-in-last-ack",
        "ABORT in CLOSING or LAST-ACK sends no RST, as RFC 9293 3.10.5 has it; Linux sends one \
         while text is unread",
    ),
    (
        "request-tos",
        "an ACK of SYN-RECEIVED has the DSCP of the connection; Linux's that of the segment it \
         answers",
    ),
    (
        "late-window",
        "without window scaling the ACKs of TIME-WAIT, and of FIN-WAIT-2 after CLOSE, offer \
         65,535 bytes where the window is larger; Linux's offer its lower 16 bits",
    ),
    (
        "ack-before-fin",
        "a FIN that waited for a window acknowledges the peer's FIN that opens it; Linux sends an \
         ACK of its own before it",
    ),
    (
        "part-of-a-segment",
        "an ACK of a part of a segment restarts the retransmission timer, as RFC 6298 5.3 has it, \
         and gives a round-trip time; in Linux one of a whole segment does",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies all rows of a profile to `rfc9293`.
    fn applied(profile: Profile) -> ConnConfig {
        let mut config = Profile::Rfc9293.config().conn;
        for row in DIFFERENCES {
            row.set(profile, &mut config);
        }
        config
    }

    #[test]
    fn rows_applied_to_rfc9293_give_each_profile() {
        for profile in Profile::ALL {
            assert_eq!(
                applied(profile),
                profile.config().conn,
                "a row is missing for {}",
                profile.name()
            );
        }
    }

    #[test]
    fn rows_differ_between_profiles_and_occur_once() {
        for (at, row) in DIFFERENCES.iter().enumerate() {
            let differs = Profile::ALL.iter().any(|profile| row.is_in(*profile));
            assert!(differs, "{} is the same in all profiles", row.field);
            let again = DIFFERENCES
                .iter()
                .skip(at + 1)
                .any(|other| other.field == row.field);
            assert!(!again, "{} occurs twice", row.field);
        }
    }

    #[test]
    fn row_set_alone_changes_nothing_else() {
        let rfc = Profile::Rfc9293.config().conn;
        for row in DIFFERENCES {
            let mut config = rfc.clone();
            row.set(Profile::Linux, &mut config);
            assert_eq!(config == rfc, !row.is_in(Profile::Linux), "{}", row.field);
            for other in DIFFERENCES.iter().filter(|other| other.field != row.field) {
                let before = (other.show)(&rfc);
                assert_eq!(
                    (other.show)(&config),
                    before,
                    "{} by {}",
                    other.field,
                    row.field
                );
            }
        }
    }
}
