//! Any text as a script; what is one is played between two hosts.

use crate::fault::is_in;
use std::net::IpAddr;
use std::time::Duration;
use tcpx_proto::config::{Config, ConnConfig};
use tcpx_proto::script::{Addresses, Expected, Script, Step};
use tcpx_proto::sim::Sim;

/// The most things that happen in a run.
const MOST_STEPS: usize = 2000;
/// The longest texts that are played, bytes.
const MOST_TEXT: usize = 100_000;
const PORT: u16 = 7000;

/// A mistake is shown in its text; what is none is written as it can be read, and can be played.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let script = match Script::parse(text) {
        Ok(script) => script,
        Err(mistake) => return is_in(&mistake, text),
    };
    let written: String = script.steps.iter().map(written).collect();
    match Script::parse(&written) {
        Ok(read) => assert_eq!(short(&read), short(&script), "{written:?}"),
        Err(mistake) => assert!(script.steps.iter().any(is_long), "{mistake}: {written:?}"),
    }
    let texts = script.steps.iter().map(|step| match step {
        Step::Send(text) => text.len(),
        _ => 0,
    });
    if texts.sum::<usize>() <= MOST_TEXT {
        play(&script);
    }
}

/// A step as a line; a name stands before the step that it concerns.
fn written(step: &Step) -> String {
    match step {
        Step::On(_) => format!("{step} "),
        _ => format!("{step}\n"),
    }
}

/// Whether it is written with the length of its text alone, which cannot be read.
fn is_long(step: &Step) -> bool {
    match step {
        Step::ReceiveUntil(text) | Step::Expect(Expected::Text(text)) => text.len() > 40,
        _ => false,
    }
}

/// The steps, with the length alone of a text that is sent: a long one is written as its length.
fn short(script: &Script) -> Vec<Step> {
    let short = |step: &Step| match step {
        Step::Send(text) => Step::Send(vec![0; text.len()]),
        step => step.clone(),
    };
    script.steps.iter().map(short).collect()
}

/// Both hosts play it, one after the other as the one who connects.
fn play(script: &Script) {
    let mut sim = Sim::new(1);
    let [a, b] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
    let client = sim.add_host(a, Config::default(), 1, vec![]);
    let server = sim.add_host(b, Config::default(), 2, vec![]);
    let serve = Script::parse("receive to end; close").unwrap_or_default();
    // The script may listen on this port itself.
    let _either = sim.listen(server, PORT, 8, &ConnConfig::default(), serve);
    let addresses = |peer: IpAddr| Addresses {
        port: PORT,
        peer: Some((peer, PORT).into()),
    };
    sim.play(client, script.clone(), addresses(b));
    sim.play(server, script.clone(), addresses(a));
    let mut steps = 0;
    let mut before = sim.now();
    let mut at_once = 0;
    sim.run_until(
        |sim| {
            steps += 1;
            at_once = if sim.now() == before { at_once + 1 } else { 0 };
            before = sim.now();
            assert!(at_once < MOST_STEPS, "time does not pass");
            steps > MOST_STEPS
        },
        Duration::from_secs(3600),
    );
}
