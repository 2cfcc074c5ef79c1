//! Each oracle on records written by hand: what it lets pass, what it breaks on, and the line that
//! it gives.

use super::{Oracle, Run};
use crate::end::STRANGER;
use crate::trace::sample::File;
use crate::trace::{Body, Log};

const END: f64 = 100.0;
const PATIENCE: f64 = 10.0;

/// What an oracle says of these two records; `Ok`: it holds.
fn judge(oracle: Oracle, a: &File, b: &File) -> Result<(), String> {
    let finding = oracle.judge(&Run::new(&[a.log(), b.log()], END, PATIENCE));
    if finding.holds {
        Ok(())
    } else {
        Err(finding.said())
    }
}

/// The client of a connection that is established at once, on the same clock as the server.
fn client() -> File {
    File::new("client", 50.0)
        .app(0.0, "began", "connect")
        .state(0.0, "CLOSED", "SYN-SENT", "active OPEN")
        .state(0.1, "SYN-SENT", "ESTABLISHED", "SYN,ACK")
        .app(0.1, "done", "")
}

fn server() -> File {
    File::passive(50.0)
        .state(0.05, "LISTEN", "SYN-RECEIVED", "SYN")
        .state(0.15, "SYN-RECEIVED", "ESTABLISHED", "ACK of SYN")
}

fn closed_client(file: File) -> File {
    file.state(1.0, "ESTABLISHED", "FIN-WAIT-1", "CLOSE")
        .state(1.1, "FIN-WAIT-1", "FIN-WAIT-2", "ACK of FIN")
        .state(1.2, "FIN-WAIT-2", "TIME-WAIT", "FIN")
        .state(3.2, "TIME-WAIT", "CLOSED", "2 MSL timeout")
        .line(3.2, "\"event\":\"closed\",\"reason\":\"clean\"")
}

fn closed_server(file: File) -> File {
    file.state(1.05, "ESTABLISHED", "CLOSE-WAIT", "FIN")
        .state(1.1, "CLOSE-WAIT", "LAST-ACK", "CLOSE")
        .state(1.25, "LAST-ACK", "CLOSED", "ACK of FIN")
        .line(1.25, "\"event\":\"closed\",\"reason\":\"clean\"")
}

#[test]
fn connection_opened_and_closed_by_the_book_keeps_every_law() {
    let a = closed_client(client().app(0.2, "sent", "hello"));
    let b = closed_server(server().app(0.3, "received", "hello"));
    for oracle in Oracle::ALL
        .into_iter()
        .filter(|oracle| *oracle != Oracle::Economy)
    {
        assert_eq!(judge(oracle, &a, &b), Ok(()), "{oracle}");
    }
}

#[test]
fn octets_that_the_peer_did_not_send_are_found_and_their_origin_told() {
    let b = server().app(0.3, "received", "hullo");
    assert_eq!(
        judge(Oracle::Octets, &client().app(0.2, "sent", "hello"), &b).unwrap_err(),
        "b received \"ullo\" in incarnation 1, where its peer sent \"ello\""
    );
    assert_eq!(
        judge(Oracle::Octets, &client(), &b).unwrap_err(),
        "b received \"hullo\" in incarnation 1, which its peer never sent"
    );
    assert_eq!(
        judge(
            Oracle::Octets,
            &client().app(0.2, "sent", "hello"),
            &server().app(0.3, "received", "hel")
        ),
        Ok(())
    );
}

#[test]
fn octets_of_an_earlier_incarnation_are_told_as_such() {
    let a = closed_client(client().app(0.2, "sent", "OLD1"))
        .again()
        .app(5.2, "sent", "NEW2");
    let b = closed_server(server()).again().app(5.3, "received", "OLD1");
    let evidence = judge(Oracle::Octets, &a, &b).unwrap_err();
    assert_eq!(
        evidence,
        "b received \"OLD1\" in incarnation 2, which a sent in incarnation 1"
    );
}

#[test]
fn octets_after_an_old_syn_belong_to_the_connection_that_was_established() {
    let old = File::passive(50.0)
        .state(0.05, "LISTEN", "SYN-RECEIVED", "SYN")
        .state(0.08, "SYN-RECEIVED", "LISTEN", "RST");
    let b = old.again().app(5.2, "sent", "welcome");
    assert_eq!(
        judge(
            Oracle::Octets,
            &client().app(5.3, "received", "welcome"),
            &b
        ),
        Ok(())
    );
}

/// Both ends of connections that follow each other within a tenth of a millisecond: all on one
/// clock, and each end's stamps late by less than what a batch may take. With what the gate does to
/// the SYNs at the server.
fn in_a_row(isn: impl Fn(u16) -> u32, verdict: &str) -> (File, File) {
    let mut a = File::new("client", 50.0);
    let mut b = File::passive(50.0);
    for nth in 1..=5_u16 {
        let t = 0.0001 * f64::from(nth);
        let text = nth.to_string();
        let syn = ("S", isn(nth), 0, 0);
        a = if nth > 1 { a.next(t) } else { a };
        a = a.sends(t, syn, "pass").app(t, "sent", &text);
        // Of the first the sample has opened the connection before.
        b = if nth > 1 {
            b.receives(0.05 + t, syn, nth, verdict).next(0.05 + t)
        } else {
            b.receives(0.05, syn, nth, verdict)
        };
        b = b.app(0.05 + t, "received", &text);
    }
    (a, b)
}

#[test]
fn connections_that_follow_each_other_at_once_are_paired_by_their_syns() {
    for (isn, verdict) in [
        (
            &(|nth: u16| 1000 * u32::from(nth)) as &dyn Fn(u16) -> u32,
            "pass",
        ),
        (&|_| 100, "pass"),
        (&|nth| 7 * u32::from(nth), "rewrite"),
    ] {
        let (a, b) = in_a_row(isn, verdict);
        assert_eq!(judge(Oracle::Octets, &a, &b), Ok(()), "{verdict}");
    }
}

#[test]
fn agreement_with_a_stranger_counts_once_an_application_hears_of_it() {
    let run = |file: File| {
        let mut log = file.log();
        for entry in &mut log.entries {
            if let Body::Opened { remote, .. } = &mut entry.body {
                remote.set_ip(STRANGER.into());
            }
        }
        Run::new(&[Log::none(&log), log], END, PATIENCE)
    };
    let evidence = Oracle::Agreement.judge(&run(server())).said();
    assert_eq!(
        evidence,
        "b is ESTABLISHED with 10.77.0.66:40000, which knows nothing of it, for 99.8 s"
    );
    assert!(
        run(File::passive(50.0).state(0.05, "LISTEN", "SYN-RECEIVED", "SYN"))
            .conns
            .is_empty()
    );
}

#[test]
fn agreement_breaks_when_one_end_counts_on_what_the_other_does_not_have() {
    let gone = server().state(2.0, "ESTABLISHED", "CLOSED", "restart");
    assert_eq!(
        judge(Oracle::Agreement, &client(), &gone).unwrap_err(),
        "a is ESTABLISHED and b is CLOSED, for 98.0 s"
    );
    let late = server().state(95.0, "ESTABLISHED", "CLOSED", "restart");
    assert_eq!(
        judge(Oracle::Agreement, &client(), &late),
        Ok(()),
        "within the patience"
    );
    assert_eq!(judge(Oracle::Agreement, &client(), &server()), Ok(()));
}

#[test]
fn agreement_with_a_host_that_went_silent_is_none() {
    let silent = server().app(2.0, "began", "go silent");
    assert_eq!(
        judge(Oracle::Agreement, &client(), &silent).unwrap_err(),
        "a is ESTABLISHED and b is gone, for 98.0 s"
    );
}

#[test]
fn progress_breaks_in_a_state_that_only_the_peer_can_end() {
    let stuck = server().state(1.0, "ESTABLISHED", "LAST-ACK", "CLOSE");
    assert_eq!(
        judge(Oracle::Progress, &client(), &stuck).unwrap_err(),
        "b is in LAST-ACK for 99.0 s"
    );
    let ended = stuck.state(31.0, "LAST-ACK", "CLOSED", "timeout").line(
        31.0,
        "\"event\":\"closed\",\"reason\":\"retransmission-timeout\"",
    );
    assert_eq!(
        judge(Oracle::Progress, &client(), &ended).unwrap_err(),
        "b is in LAST-ACK for 30.0 s, then ends: retransmission-timeout"
    );
}

#[test]
fn progress_breaks_where_an_application_waits_and_not_where_it_sleeps() {
    let waits = client().app(1.0, "began", "receive to end");
    assert_eq!(
        judge(Oracle::Progress, &waits, &server()).unwrap_err(),
        "a waits in \"receive to end\" for 99.0 s, ESTABLISHED"
    );
    assert_eq!(
        judge(
            Oracle::Progress,
            &client().app(1.0, "began", "sleep 99s"),
            &server()
        ),
        Ok(())
    );
    assert_eq!(
        judge(Oracle::Progress, &waits.app(5.0, "done", ""), &server()),
        Ok(())
    );
}

#[test]
fn connect_breaks_when_one_fails_or_never_ends_or_nobody_tries() {
    let failed = File::new("client", 50.0)
        .app(0.0, "began", "connect")
        .app(1.0, "failed", "refused");
    assert_eq!(
        judge(Oracle::Connect, &failed, &server()).unwrap_err(),
        "connect 1 fails: refused"
    );
    let hangs = File::new("client", 50.0).app(0.0, "began", "connect");
    assert_eq!(
        judge(Oracle::Connect, &hangs, &server()).unwrap_err(),
        "connect 1 never completes"
    );
    assert_eq!(
        judge(Oracle::Connect, &server(), &server()).unwrap_err(),
        "no script connects"
    );
}

#[test]
fn clean_close_breaks_on_a_reset_and_on_octets_that_were_lost() {
    let reset = server()
        .state(1.0, "ESTABLISHED", "CLOSED", "RST")
        .line(1.0, "\"event\":\"closed\",\"reason\":\"reset\"");
    assert_eq!(
        judge(Oracle::CleanClose, &client(), &reset).unwrap_err(),
        "b in ESTABLISHED ended: reset"
    );
    let a = closed_client(client().app(0.2, "sent", "hello"));
    let b = closed_server(server().app(0.3, "received", "hel"));
    assert_eq!(
        judge(Oracle::CleanClose, &a, &b).unwrap_err(),
        "b closed clean and missed \"lo\""
    );
    assert_eq!(
        judge(Oracle::CleanClose, &client(), &server()).unwrap_err(),
        "no connection has ended"
    );
}

#[test]
fn clean_close_does_not_count_what_was_never_established() {
    let refused = File::passive(50.0)
        .state(0.05, "LISTEN", "SYN-RECEIVED", "SYN")
        .line(1.0, "\"event\":\"closed\",\"reason\":\"reset\"");
    assert_eq!(
        judge(Oracle::CleanClose, &closed_client(client()), &refused),
        Ok(())
    );
}

#[test]
fn time_wait_breaks_where_the_wrong_end_waits_or_the_right_one_does_not() {
    let skips = client()
        .state(1.0, "ESTABLISHED", "FIN-WAIT-1", "CLOSE")
        .line(1.2, "\"event\":\"closed\",\"reason\":\"clean\"");
    assert_eq!(
        judge(Oracle::TimeWait, &skips, &closed_server(server())).unwrap_err(),
        "a closed first and is never in TIME-WAIT"
    );
    let waits = closed_server(server()).state(1.3, "LAST-ACK", "TIME-WAIT", "FIN");
    assert_eq!(
        judge(Oracle::TimeWait, &closed_client(client()), &waits).unwrap_err(),
        "b is in TIME-WAIT and did not close first"
    );
    assert_eq!(
        judge(Oracle::TimeWait, &client(), &server()).unwrap_err(),
        "neither end closed"
    );
    let killed = client()
        .state(1.0, "ESTABLISHED", "FIN-WAIT-1", "CLOSE")
        .state(1.2, "FIN-WAIT-1", "TIME-WAIT", "FIN");
    let killed = killed
        .state(1.7, "TIME-WAIT", "CLOSED", "RST")
        .line(1.7, "\"event\":\"closed\",\"reason\":\"clean\"");
    assert_eq!(
        judge(Oracle::TimeWait, &killed, &closed_server(server())).unwrap_err(),
        "a RST ends TIME-WAIT of a after 500 ms"
    );
}

#[test]
fn segments_beyond_the_budget_are_counted_lost_ones_too() {
    let segment = |file: File, direction: &str, verdict: &str| {
        let numbers = r#""seq":1,"ack":1,"len":1,"win":1,"id":1"#;
        file.line(0.2, &format!(r#""event":"segment","dir":"{direction}","flags":"A",{numbers},"verdict":"{verdict}""#))
    };
    let a = segment(
        segment(
            segment(client().app(0.2, "sent", "xy"), "out", "pass"),
            "out",
            "drop",
        ),
        "in",
        "pass",
    );
    let b = segment(server(), "out", "pass");
    let with = |budget| {
        Oracle::Economy.judge(&Run {
            budget,
            ..Run::new(&[a.log(), b.log()], END, PATIENCE)
        })
    };
    assert_eq!(
        with(Some(2)).said(),
        "a sends 2 segments and b 1 for 2 bytes of text, where 2 are enough"
    );
    assert_eq!((with(Some(3)).holds, with(None).holds), (true, false));
}
