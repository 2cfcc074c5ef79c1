//! The machine with an executor made of prepared outcomes. Connections are numbers.

use super::*;
use alloc::string::String;
use alloc::vec;

type Record = Vec<(Option<u32>, AppAction)>;
type Prepared = Result<Outcome<u32>, StepError>;

fn script(text: &str) -> Arc<Script> {
    Arc::new(Script::parse(text).unwrap())
}

fn on(text: &str) -> Machine<u32> {
    Machine::on_connection(script(text), 1)
}

fn bytes(text: &str) -> Prepared {
    Ok(Outcome::Bytes(text.as_bytes().to_vec()))
}

fn ended(reason: CloseReason) -> StepError {
    StepError::Call(CallError::Ended(reason))
}

/// Plays a machine: the calls that it made, and what it recorded.
fn play(
    machine: &mut Machine<u32>,
    outcomes: impl IntoIterator<Item = Prepared>,
) -> (Vec<String>, Record) {
    let mut calls = Vec::new();
    let mut actions = Vec::new();
    let mut record = |connection: Option<&u32>, action| actions.push((connection.copied(), action));
    let mut outcomes = outcomes.into_iter();
    machine.advance(&mut record);
    while let Some(call) = machine.call() {
        let Some(outcome) = outcomes.next() else {
            break;
        };
        calls.push(format!("{call:?}"));
        match outcome {
            Ok(outcome) => machine.done(outcome, &mut record),
            Err(error) => machine.failed(error, &mut record),
        }
        machine.advance(&mut record);
    }
    assert!(outcomes.next().is_none(), "more outcomes than {calls:?}");
    (calls, actions)
}

fn began(step: &str) -> AppAction {
    AppAction::Began(step.into())
}

#[test]
fn steps_are_called_in_order_and_recorded_with_their_connection() {
    let addresses = Addresses {
        port: 7,
        peer: "10.0.0.2:80".parse().ok(),
    };
    let mut machine = Machine::new(script("listen; accept as a; open; a: close"), addresses);
    let outcomes = [
        Outcome::Done,
        Outcome::Opened(1),
        Outcome::Opened(2),
        Outcome::Done,
    ];
    let (calls, actions) = play(&mut machine, outcomes.map(Ok));
    let expected = [
        "Listen { port: 7, backlog: 8 }",
        "Accept",
        "Connect { to: 10.0.0.2:80, from: 7, data: [] }",
        "Close(1)",
    ];
    assert_eq!(calls, expected);
    let expected = [
        (None, began("listen backlog 8")),
        (None, AppAction::Done),
        (None, began("accept as a")),
        (Some(1), AppAction::Done),
        (Some(1), began("open")),
        (Some(2), AppAction::Done),
        (Some(2), began("a:")),
        (Some(1), AppAction::Done),
        (Some(1), began("close")),
        (Some(1), AppAction::Done),
        (Some(1), AppAction::Over),
    ];
    assert_eq!(actions, expected);
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn connect_is_tried_again_and_only_the_last_failure_ends_the_script() {
    let refused = || Err(ended(CloseReason::Refused));
    let text = "connect 10.0.0.2:80 tries 2; expect closed reset";
    let mut machine = Machine::new(script(text), Addresses::default());
    let outcomes = [
        Ok(Outcome::Opened(1)),
        refused(),
        Ok(Outcome::Opened(2)),
        refused(),
    ];
    let (calls, actions) = play(&mut machine, outcomes);
    assert_eq!(calls[1], "Established(1)");
    assert_eq!(calls[3], "Established(2)");
    let failed = || AppAction::Failed("the connection ended: refused".into());
    let expected = [
        (Some(1), failed()),
        (Some(2), failed()),
        (Some(2), AppAction::Over),
    ];
    assert_eq!(actions[1..], expected);
    assert_eq!(machine.end(), Some(&Err(ended(CloseReason::Refused))));
}

#[test]
fn call_that_is_refused_at_once_is_not_tried_again() {
    let mut machine = Machine::new(script("connect 10.0.0.2:80 tries 9"), Addresses::default());
    let error = StepError::Call(CallError::PortsExhausted);
    play(&mut machine, [Err(error.clone())]);
    assert_eq!(machine.end(), Some(&Err(error)));
}

#[test]
fn end_that_is_expected_continues_after_the_expectation() {
    let mut machine = on("receive 1; send \"x\"; expect closed reset; sleep 1s");
    let outcomes = [Err(ended(CloseReason::Reset)), Ok(Outcome::Done)];
    let (calls, _) = play(&mut machine, outcomes);
    assert_eq!(calls, ["Receive(1, 1)", "Sleep(1s, Some(1))"]);
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn step_without_what_it_needs_fails_without_a_call() {
    for (text, error) in [
        ("close", StepError::NoSuchConnection(None)),
        ("a: close", StepError::NoSuchConnection(Some("a".into()))),
        ("connect", StepError::NoPeer),
    ] {
        let mut machine: Machine<u32> = Machine::new(script(text), Addresses::default());
        assert_eq!(play(&mut machine, []).0, [""; 0], "{text}");
        assert_eq!(machine.end(), Some(&Err(error)), "{text}");
    }
}

#[test]
fn script_on_an_opening_connection_begins_when_that_is_established() {
    let mut machine = Machine::on_opening(script("close"), 1);
    let (calls, actions) = play(&mut machine, [Ok(Outcome::Done), Ok(Outcome::Done)]);
    assert_eq!(calls, ["Established(1)", "Close(1)"]);
    assert_eq!(actions[0], (Some(1), began("close")));

    let mut machine = Machine::on_opening(script("close"), 1);
    let (_, actions) = play(&mut machine, [Err(ended(CloseReason::Refused))]);
    assert!(matches!(actions[0].1, AppAction::Failed(_)), "{actions:?}");
}

#[test]
fn send_goes_on_after_what_was_taken() {
    let mut machine = on("send \"hello\"");
    let (calls, actions) = play(&mut machine, [2, 3].map(|sent| Ok(Outcome::Sent(sent))));
    assert_eq!(calls[1], format!("Send(1, {:?})", b"llo"));
    let sent = |text: &[u8]| (Some(1), AppAction::Sent(text.to_vec()));
    assert_eq!(actions[1..3], [sent(b"he"), sent(b"llo")]);
}

#[test]
fn receive_counts_what_came_and_the_end_is_enough() {
    let (calls, _) = play(&mut on("receive 5"), [bytes("hel"), bytes("lo")]);
    assert_eq!(calls, ["Receive(1, 5)", "Receive(1, 2)"]);
    let mut machine = on("receive 5");
    play(&mut machine, [bytes("hel"), bytes("")]);
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn received_bytes_are_written_where_there_is_an_output() {
    let outcomes = [bytes("hi"), Ok(Outcome::Done), bytes(""), Ok(Outcome::Done)];
    let mut machine = on("receive to end").with_streams();
    let (calls, _) = play(&mut machine, outcomes);
    assert_eq!(calls[1], format!("Output({:?})", b"hi"));
    assert_eq!(calls[3], "EndOutput");
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn receive_until_keeps_no_more_than_it_compares() {
    let mut machine = on("receive until \"abc\"");
    let long = "ab".repeat(5000) + "abc";
    let letters = long.chars().map(|letter| bytes(&String::from(letter)));
    let (calls, _) = play(&mut machine, letters.take(10_000));
    assert!(calls.iter().all(|call| call == "Receive(1, 1)"));
    assert!(machine.progress.held.len() <= 6);
    play(&mut machine, ["a", "b", "c"].map(bytes));
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn expected_text_is_compared_as_it_comes() {
    let mut machine = on("expect \"abc\"");
    let (calls, _) = play(&mut machine, [bytes("ab"), bytes("c")]);
    assert_eq!(calls, ["Receive(1, 3)", "Receive(1, 1)"]);
    assert_eq!(machine.end(), Some(&Ok(())));
    for (came, received) in [(["ab", "x"], "abx"), (["ab", ""], "ab")] {
        let mut machine = on("expect \"abc\"");
        play(&mut machine, came.map(bytes));
        let wrong = format!("expected \"abc\", received \"{received}\"");
        assert_eq!(machine.end(), Some(&Err(StepError::Unexpected(wrong))));
    }
}

#[test]
fn expected_end_is_compared_by_its_name() {
    let closed = || [Ok(Outcome::Closed(CloseReason::Reset))];
    for (text, holds) in [
        ("expect closed", true),
        ("expect closed reset", true),
        ("expect closed clean", false),
    ] {
        let mut machine = on(text);
        play(&mut machine, closed());
        assert_eq!(machine.end().unwrap().is_ok(), holds, "{text}");
    }
}

#[test]
fn echo_sends_back_all_before_it_receives_again() {
    let sent = |bytes| Ok(Outcome::Sent(bytes));
    let outcomes = [bytes("hello"), sent(1), sent(4), bytes("")];
    let mut machine = on("echo");
    let (calls, _) = play(&mut machine, outcomes);
    let receive = format!("Receive(1, {})", usize::MAX);
    assert_eq!(calls[2], format!("Send(1, {:?})", b"ello"));
    assert_eq!([&calls[0], &calls[3]], [&receive, &receive]);
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn input_is_sent_to_its_end_and_relay_is_the_executors() {
    let mut machine = on("send input; relay").with_streams();
    let outcomes = [
        bytes("hi"),
        Ok(Outcome::Sent(2)),
        bytes(""),
        Ok(Outcome::Done),
    ];
    let (calls, actions) = play(&mut machine, outcomes);
    assert_eq!(
        [&*calls[0], &*calls[2], &*calls[3]],
        ["Input", "Input", "Relay(1)"]
    );
    assert_eq!(actions[1].1, AppAction::Sent(b"hi".to_vec()));
}

#[test]
fn relay_of_an_empty_input_sends_the_fin_and_receives_to_the_end() {
    let mut machine = on("send input; relay");
    let (calls, _) = play(&mut machine, [Ok(Outcome::Done), bytes("hi"), bytes("")]);
    assert_eq!(calls[0], "Shutdown(1)");
    assert!(calls[1].starts_with("Receive(1, "));
    assert_eq!(machine.end(), Some(&Ok(())));
}

#[test]
fn restart_forgets_every_connection() {
    let mut machine = on("restart; close");
    let (_, actions) = play(&mut machine, [Ok(Outcome::Done)]);
    assert_eq!(actions[1], (Some(1), AppAction::Done));
    assert_eq!(machine.connections().count(), 0);
    assert_eq!(machine.end(), Some(&Err(StepError::NoSuchConnection(None))));
}

#[test]
fn unrecorded_script_records_nothing() {
    let mut machine = on("send \"x\"; receive 1").unrecorded();
    let outcomes = vec![Ok(Outcome::Sent(1)), bytes("y")];
    assert_eq!(play(&mut machine, outcomes).1, []);
    assert_eq!(machine.end(), Some(&Ok(())));
}
