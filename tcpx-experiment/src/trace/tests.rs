//! Records read back, and conversations made of two of them.

use super::sample::{conversation, handshake};
use super::*;
use tcpx_proto::event::TimerActionKind;
use tcpx_proto::state::State;

const ACK: (&str, u32, u32, u32) = ("A", 101, 301, 0);
const DATA: (&str, u32, u32, u32) = ("PA", 101, 301, 5);

/// Each flight as (flags, sent at, received at), times rounded to milliseconds since the
/// client's start.
fn flights(conversation: &Conversation) -> Vec<(String, Option<i64>, Vec<i64>)> {
    let millis = |step: usize| ((conversation.steps[step].at) * 1000.0).round() as i64;
    let flight = |f: &Flight| {
        (
            f.segment.flags.to_string(),
            f.sent.map(millis),
            f.received.iter().map(|step| millis(*step)).collect(),
        )
    };
    conversation.flights.iter().map(flight).collect()
}

fn last(conversation: &Conversation) -> (String, Option<i64>, Vec<i64>) {
    flights(conversation).pop().unwrap()
}

#[test]
fn handshake_of_two_clocks_is_aligned_by_the_time_since_boot() {
    let (client, server) = handshake();
    let conversation = conversation(&client.log(), &server.log());
    assert_eq!(
        flights(&conversation),
        [
            ("S".into(), Some(0), vec![1]),
            ("SA".into(), Some(2), vec![3])
        ]
    );
    assert_eq!(
        conversation.initial,
        [Some(State::Closed), Some(State::Listen)]
    );
    let states: Vec<&str> = conversation
        .steps
        .iter()
        .map(|step| step.state.unwrap().name())
        .collect();
    assert_eq!(
        states,
        ["SYN-SENT", "SYN-RECEIVED", "SYN-RECEIVED", "ESTABLISHED"]
    );
}

#[test]
fn clocks_of_two_machines_are_aligned_by_the_calendar() {
    let (client, server) = handshake();
    let client = client.log();
    let mut server = server.log();
    server.monotonic += 5000.0;
    let conversation = conversation(&client, &server);
    assert_eq!(
        flights(&conversation),
        [
            ("S".into(), Some(0), vec![1]),
            ("SA".into(), Some(2), vec![3])
        ]
    );
}

#[test]
fn segment_that_never_arrived_has_no_receipt() {
    let (client, server) = handshake();
    let conversation = conversation(
        &client.sends(0.004, ACK, "drop").log(),
        &server
            .line(1.0, "\"event\":\"r1\",\"retransmissions\":1")
            .log(),
    );
    let flight = conversation.flights.last().unwrap();
    assert_eq!(
        (
            flight.received.len(),
            flight.unwitnessed,
            flight.segment.fault()
        ),
        (0, false, Some("drop"))
    );
}

#[test]
fn segment_duplicated_on_the_way_has_two_receipts() {
    let (client, server) = handshake();
    let server = server
        .receives(0.105, ACK, 2, "pass")
        .receives(0.106, ACK, 2, "pass");
    assert_eq!(
        last(&conversation(
            &client.sends(0.004, ACK, "dup").log(),
            &server.log()
        )),
        ("A".into(), Some(4), vec![5, 6])
    );
}

#[test]
fn segment_delayed_past_its_retransmission_keeps_its_own_sending() {
    let (client, server) = handshake();
    let client = client
        .sends(0.004, DATA, "delay")
        .sends(0.204, DATA, "pass");
    let server = server
        .receives(0.305, DATA, 3, "pass")
        .receives(3.104, DATA, 2, "pass");
    let conversation = conversation(&client.log(), &server.log());
    assert_eq!(
        flights(&conversation)[2..],
        [
            ("PA".into(), Some(4), vec![3004]),
            ("PA".into(), Some(204), vec![205])
        ]
    );
}

#[test]
fn segment_that_the_receivers_gate_rewrote_keeps_its_sending() {
    let (client, server) = handshake();
    let server = server.receives(0.105, ("P", 101, 0, 5), 2, "rewrite");
    assert_eq!(
        last(&conversation(
            &client.sends(0.004, DATA, "pass").log(),
            &server.log()
        )),
        ("PA".into(), Some(4), vec![5])
    );
}

#[test]
fn id_that_wrapped_belongs_to_the_latest_sending() {
    let (client, server) = handshake();
    let client = client.sends(0.004, ACK, "pass").sends(9.004, ACK, "pass");
    let mut client = client.log();
    for entry in &mut client.entries {
        if let Body::Segment(segment) = &mut entry.body
            && segment.id == 3
        {
            segment.id = 2;
        }
    }
    let server = server
        .receives(0.105, ACK, 2, "pass")
        .receives(9.105, ACK, 2, "pass");
    let conversation = conversation(&client, &server.log());
    assert_eq!(
        flights(&conversation)[2..],
        [
            ("A".into(), Some(4), vec![5]),
            ("A".into(), Some(9004), vec![9005])
        ]
    );
}

#[test]
fn receiver_killed_leaves_the_rest_unwitnessed() {
    let (client, server) = handshake();
    let server = server.receives(0.105, ACK, 2, "pass");
    let conversation = conversation(
        &client
            .sends(0.004, ACK, "pass")
            .sends(5.0, DATA, "pass")
            .log(),
        &server.killed(),
    );
    let unwitnessed: Vec<bool> = conversation
        .flights
        .iter()
        .map(|flight| flight.unwitnessed)
        .collect();
    assert_eq!(unwitnessed, [false, false, true, true]);
}

#[test]
fn host_gone_silent_loses_what_is_sent_to_it() {
    let (client, server) = handshake();
    let server = server.app(0.105, "began", "go silent");
    let conversation = conversation(&client.sends(5.0, DATA, "pass").log(), &server.log());
    let flight = conversation.flights.last().unwrap();
    assert_eq!((flight.received.len(), flight.unwitnessed), (0, false));
}

#[test]
fn sender_killed_leaves_a_receipt_without_sending() {
    let (client, server) = handshake();
    let conversation = conversation(
        &client.sends(0.004, ACK, "pass").killed(),
        &server.receives(0.105, ACK, 2, "pass").log(),
    );
    assert_eq!(last(&conversation), ("A".into(), None, vec![5]));
}

#[test]
fn stranger_on_both_sides_is_paired_and_on_one_side_is_left_out() {
    let (client, server) = handshake();
    let stranger = |file: sample::File| {
        let mut log = file.log();
        log.entries
            .iter_mut()
            .rev()
            .take(2)
            .for_each(|entry| entry.conn = None);
        log
    };
    let client = stranger(client.receives(0.3, ("R", 9, 0, 0), 77, "pass").receives(
        0.4,
        ("R", 301, 0, 0),
        2,
        "pass",
    ));
    let conversation = conversation(
        &client,
        &server.sends(0.499, ("R", 301, 0, 0), "pass").log(),
    );
    assert_eq!(
        flights(&conversation)[2..],
        [("R".into(), Some(399), vec![400])]
    );
}

#[test]
fn host_that_speaks_to_itself_hears_what_it_said() {
    let text = concat!(
        r#"{"event":"start","version":1,"role":"client","profile":"linux","seed":1,"monotonic":50.0,"realtime":9.0}"#,
        "\n",
        r#"{"t":0,"conn":1,"event":"opened","local":"10.0.0.1:40000","remote":"10.0.0.1:40000"}"#,
        "\n",
        r#"{"t":0,"conn":1,"event":"segment","dir":"out","flags":"S","seq":1,"ack":0,"len":0,"win":9,"id":1,"verdict":"pass"}"#,
        "\n",
        r#"{"t":0.001,"conn":1,"event":"segment","dir":"in","flags":"S","seq":1,"ack":0,"len":0,"win":9,"id":1,"verdict":"pass"}"#,
        "\n",
    );
    let client = Log::parse(text).unwrap();
    let conversation = conversation(&client, &Log::none(&client));
    assert_eq!(flights(&conversation), [("S".into(), Some(0), vec![1])]);
}

#[test]
fn forged_segment_is_not_taken_for_the_one_that_it_copies() {
    let (client, server) = handshake();
    let client = client.sends(0.004, ACK, "pass");
    let server = server.receives(0.105, ACK, 2, "pass");
    let conversation = conversation(
        &client.log(),
        &server.receives(0.2, ACK, 2, "pass").forged().log(),
    );
    assert_eq!(
        flights(&conversation)[2..],
        [
            ("A".into(), Some(4), vec![5]),
            ("A".into(), None, vec![100])
        ]
    );
    assert_eq!(
        conversation
            .flights
            .iter()
            .map(|flight| flight.forged)
            .collect::<Vec<_>>(),
        [false, false, false, true]
    );
}

#[test]
fn end_without_a_record_is_known_to_have_none() {
    let (client, _) = handshake();
    let conversation = conversation(&client.log(), &Log::none(&client.log()));
    assert_eq!(
        (conversation.recorded, conversation.initial),
        ([true, false], [Some(State::Closed), None])
    );
    assert_eq!(conversation.flights.len(), 2);
}

#[test]
fn call_and_its_segment_are_one_step_and_a_timeout_is_its_own() {
    let (client, server) = handshake();
    let client =
        client
            .sends(0.4998, DATA, "pass")
            .state(0.5, "ESTABLISHED", "FIN-WAIT-1", "CLOSE");
    let client = client.sends(0.5001, ("FA", 106, 301, 0), "pass").state(
        3.0,
        "TIME-WAIT",
        "CLOSED",
        "2 MSL timeout",
    );
    let conversation = conversation(&client.log(), &server.log());
    let steps: Vec<_> = conversation
        .steps
        .iter()
        .skip(4)
        .map(|s| {
            (
                s.state.unwrap().name(),
                s.segment.is_some(),
                s.event().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        steps,
        [
            ("ESTABLISHED", true, ""),
            ("FIN-WAIT-1", true, "CLOSE"),
            ("CLOSED", false, "2 MSL timeout")
        ]
    );
}

const START: &str = r#"{"event":"start","version":1,"role":"client","profile":"linux","seed":7,"monotonic":12.5,"realtime":1000.25}"#;

#[test]
fn file_of_known_and_unknown_events_is_read_in_order() {
    let text = format!(
        "{START}\n{}\n{}\n{}\n{}\n",
        r#"{"event":"opened","t":0.1,"conn":1,"local":"10.0.0.1:40000","remote":"10.0.0.2:7000"}"#,
        r#"{"event":"timer","t":0.1,"conn":1,"timer":"retransmission","action":"started","until":1.1}"#,
        r#"{"event":"novelty","t":0.1,"conn":1,"seq":5,"text":0}"#,
        r#"{"event":"segment","t":0.2,"conn":1,"dir":"out","cause":"call","carries":["syn"],"flags":"S","seq":9,"ack":0,"len":0,"win":100,"id":3,"retransmission":0,"verdict":"pass"}"#,
    );
    let log = Log::parse(&text).unwrap();
    assert_eq!(
        (log.role, log.monotonic, log.truncated),
        (Role::Client, 12.5, false)
    );
    assert_eq!(log.connections()[&1].1, "10.0.0.2:7000".parse().unwrap());
    assert!(matches!(
        log.entries[1].body,
        Body::Timer {
            action: TimerActionKind::Started,
            ..
        }
    ));
    assert!(matches!(log.entries[2].body, Body::Unknown));
    let Body::Segment(segment) = &log.entries[3].body else {
        panic!("{:?}", log.entries[3])
    };
    assert_eq!(
        (
            segment.flags.control().as_str(),
            segment.id,
            segment.fault(),
            segment.forged
        ),
        ("SYN", 3, None, false)
    );
}

#[test]
fn time_is_read_to_the_last_bit() {
    let log = Log::parse(&format!(
        "{START}\n{{\"event\":\"closed\",\"t\":3.7199999999999998,\"reason\":\"reset\"}}\n"
    ))
    .unwrap();
    let written = std::time::Duration::from_micros(3_720_000).as_secs_f64();
    assert_eq!(
        log.entries[0].t.to_bits(),
        written.to_bits(),
        "what happens last happens before the end"
    );
}

#[test]
fn last_line_cut_off_is_left_out_and_told() {
    let log =
        Log::parse(&format!("{START}\n{{\"event\":\"closed\",\"t\":1.0,\"conn\":1,\"reason\":\"clean\"}}\n{{\"event\":\"sta")).unwrap();
    assert_eq!((log.entries.len(), log.truncated), (1, true));
}

#[test]
fn broken_line_in_the_middle_is_an_error_with_its_number() {
    let error = Log::parse(&format!("{START}\n{{\"event\":\n{{}}\n")).unwrap_err();
    assert!(
        format!("{error:#}").starts_with("line 2 is not an event"),
        "{error:#}"
    );
}

#[test]
fn other_version_or_no_start_is_refused() {
    assert!(Log::parse("").is_err());
    let other = START.replace("\"version\":1", "\"version\":2");
    assert!(format!("{:#}", Log::parse(&format!("{other}\n")).unwrap_err()).contains("version 2"));
}
