//! One connection seen from both ends: what each did, step by step on one clock, and which sending
//! belongs to which receipt.

use super::tuples::Tuples;
use super::{AppAction, Body, Direction, Entry, Header, Log, Segment, TimerActionKind};
use crate::end::{End, STRANGER};
use std::collections::HashMap;
use std::net::SocketAddr;
use tcpx_proto::error::CloseKind;
use tcpx_proto::event::Timer;
use tcpx_proto::state::{State, Trigger};
use tcpx_proto::trace::escape;

/// How much earlier a receipt may be stamped than its sending, seconds: stamps are taken once for a
/// batch.
const SLACK: f64 = 0.002;
/// How close together an event and the segment that it belongs to are stamped, seconds.
pub(crate) const TOGETHER: f64 = 0.001;

/// The story of a four-tuple, all its incarnations included.
#[derive(Debug)]
pub struct Conversation {
    /// Address and port of A, then of B.
    pub ends: [SocketAddr; 2],
    /// The state of A, then of B, before anything happened.
    pub initial: [String; 2],
    /// What happened at either end, in order.
    pub steps: Vec<Step>,
    /// Every segment, by the steps at which it was sent and received, in the order of the first of
    /// these.
    pub flights: Vec<Flight>,
    /// What happened to timers, in the order of each end.
    pub ticks: Vec<Tick>,
    /// Whether A, then B, kept a record at all.
    pub recorded: [bool; 2],
}

/// Something that happened to a timer of one end.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Where.
    pub end: End,
    /// The connection's number there: each incarnation has its own timers.
    pub conn: Option<u64>,
    /// When, seconds on the clock that both ends share.
    pub at: f64,
    /// Which.
    pub timer: Timer,
    /// What happened to it.
    pub action: TimerActionKind,
}

/// Something that happened at one end: a segment there with what came of it, or something without a
/// segment.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where.
    pub end: End,
    /// When, seconds on the clock that both share.
    pub at: f64,
    /// The state afterwards, in the RFC's spelling.
    pub state: String,
    /// The event of RFC 9293 Figure 5 on which that state was entered in this step.
    pub on: Option<String>,
    /// Which segment, if any.
    pub segment: Option<Segment>,
    /// What else there is to say.
    pub remarks: Vec<String>,
    /// What the application received by it, escaped.
    pub received: Option<String>,
    /// Why a step of the application's script failed.
    pub failed: Option<String>,
}

/// A segment on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Who sent it.
    pub from: End,
    /// The header as its sender recorded it, or as its receiver did where the sender has no record
    /// of it.
    pub segment: Segment,
    /// The step of its sending.
    pub sent: Option<usize>,
    /// The steps of its receipts: several when it was duplicated, none when it was lost.
    pub received: Vec<usize>,
    /// It was sent after the receiver's record ended: nobody knows whether it arrived.
    pub unwitnessed: bool,
    /// Somebody else sent it in the sender's name.
    pub forged: bool,
}

impl Flight {
    /// The step with which it appears.
    pub fn begin(&self) -> Option<usize> {
        self.sent.or(self.received.first().copied())
    }
}

impl Conversation {
    /// The flight that appears with that step.
    pub fn beginning(&self, step: usize) -> Option<&Flight> {
        let nth = self
            .flights
            .binary_search_by_key(&Some(step), Flight::begin)
            .ok()?;
        self.flights.get(nth)
    }
}

/// Pairs what two ends recorded: one story for each four-tuple that either knows, in order of
/// appearance.
pub fn pair(a: &Log, b: &Log) -> Vec<Conversation> {
    let logs = [a, b];
    let tuples = Tuples::of(logs);
    let offsets = [0.0, clock_offset(a, b)];
    let stories = End::BOTH.map(|end| tuples.entries(end, logs));
    let silent = logs.map(|log| log.entries.iter().any(goes_silent));
    let side = |end: End, nth: usize| {
        let entries = end.of(&stories)[nth].iter().copied();
        Side::new(
            logs[end as usize],
            entries,
            end,
            tuples.all[nth],
            *end.of(&offsets),
            *end.of(&silent),
        )
    };
    tuples
        .all
        .iter()
        .enumerate()
        .map(|(nth, ends)| conversation(*ends, side(End::A, nth), side(End::B, nth)))
        .collect()
}

fn goes_silent(entry: &Entry) -> bool {
    matches!(&entry.body, Body::App(AppAction::Began(text)) if text == "go silent")
}

/// What to add to B's times. On one machine the clock since boot is common and exact; between
/// machines only the calendar is.
fn clock_offset(a: &Log, b: &Log) -> f64 {
    let (monotonic, realtime) = (b.monotonic - a.monotonic, b.realtime - a.realtime);
    if (monotonic - realtime).abs() < 1.0 {
        monotonic
    } else {
        realtime
    }
}

/// One end's part of the story.
struct Side {
    initial: String,
    steps: Vec<Step>,
    ticks: Vec<Tick>,
    /// When the last thing of all was recorded; `None`: this end kept no record.
    last: Option<f64>,
}

impl Side {
    fn new<'a>(
        log: &Log,
        entries: impl Iterator<Item = &'a Entry> + Clone,
        end: End,
        ends: [SocketAddr; 2],
        offset: f64,
        silent: bool,
    ) -> Side {
        let initial = entries.clone().find_map(|entry| match &entry.body {
            Body::State { from, .. } => Some(from.to_string()),
            _ => None,
        });
        // A stranger, whom neither file is of, kept none.
        let last = log
            .entries
            .last()
            .filter(|_| end.of(&ends).ip() != STRANGER)
            .map(|entry| entry.t + offset);
        // What is sent to a host that went silent is lost, whatever its record says.
        let last = if silent {
            last.map(|_| f64::INFINITY)
        } else {
            last
        };
        let initial = initial.unwrap_or_else(|| {
            if last.is_some() {
                "CLOSED".to_owned()
            } else {
                String::new()
            }
        });
        let tick = |entry: &Entry| match &entry.body {
            Body::Timer { timer, action, .. } => Some(Tick {
                end,
                conn: entry.conn,
                at: entry.t + offset,
                timer: *timer,
                action: *action,
            }),
            _ => None,
        };
        let ticks = entries.clone().filter_map(tick).collect();
        let mut walk = Walk {
            end,
            offset,
            state: initial.clone(),
            steps: Vec::new(),
        };
        entries.for_each(|entry| walk.take(entry));
        Side {
            initial,
            steps: walk.steps,
            ticks,
            last,
        }
    }
}

/// Walks one end's entries and puts what belongs together into one step.
struct Walk {
    end: End,
    offset: f64,
    state: String,
    steps: Vec<Step>,
}

impl Walk {
    fn take(&mut self, entry: &Entry) {
        let at = entry.t + self.offset;
        match &entry.body {
            Body::Segment(segment) => self.segment(at, segment),
            Body::State { to, on, .. } => self.state(at, *to, *on),
            Body::Deviated { rule, .. } => self.remark(at, format!("without {rule}")),
            Body::Discarded { reason } => self.remark(at, format!("not used: {reason}")),
            Body::Icmp(error) => {
                let (kind, value) = error.parts();
                let value = value.map_or(String::new(), |value| format!(" {value}"));
                self.remark(at, format!("ICMP: {kind}{value}"));
            }
            Body::Closed { reason } => {
                let reason = reason.map_or("?", CloseKind::name);
                self.remark(at, format!("closed: {reason}"));
            }
            Body::App(action) => self.deed(at, action),
            Body::Opened { .. }
            | Body::Timer { .. }
            | Body::Accepted { .. }
            | Body::R1 { .. }
            | Body::Urgent { .. }
            | Body::Unknown => {}
        }
    }

    /// A segment is a step, or completes the one of the call that sends it.
    fn segment(&mut self, at: f64, segment: &Segment) {
        let out = segment.dir == Direction::Out;
        let step = self.step(at, |last| {
            out && last.segment.is_none() && last.on.as_deref().is_some_and(is_call)
        });
        (step.at, step.segment) = (at, Some(segment.clone()));
        if let Some(fault) = segment.fault().filter(|_| !out) {
            step.remarks.push(format!("the gate: {fault}"));
        }
    }

    /// A state is entered because of the segment before it, or by a call (whose segment follows) or
    /// a timer: steps of their own.
    fn state(&mut self, at: f64, to: State, on: Option<Trigger>) {
        let on = on.map_or("?", Trigger::name).to_owned();
        self.state = to.to_string();
        let arrived = |last: &Step| {
            last.on.is_none()
                && last
                    .segment
                    .as_ref()
                    .is_some_and(|s| s.dir == Direction::In)
        };
        let step = self.step(at, |last| !is_call(&on) && arrived(last));
        (step.state, step.on) = (to.to_string(), Some(on));
    }

    /// What an application heard, and what went wrong for it.
    fn deed(&mut self, at: f64, action: &AppAction) {
        match action {
            AppAction::Received(bytes) => {
                let text = escape(bytes);
                let step = self.step(at, |last| last.received.is_none());
                step.remarks.push(format!("received {}", short(&text)));
                step.received = Some(text);
            }
            AppAction::Failed(text) => {
                let step = self.step(at, |last| last.failed.is_none());
                step.failed = Some(text.clone());
                step.remarks.push(format!("the application: {text}"));
            }
            AppAction::Began(text) if matches!(&**text, "restart" | "go silent") => {
                self.remark(at, format!("the host: {text}"))
            }
            AppAction::Began(_) | AppAction::Done | AppAction::Sent(_) | AppAction::Over => {}
        }
    }

    fn remark(&mut self, at: f64, text: String) {
        self.step(at, |_| true).remarks.push(text);
    }

    /// The last step if it is recent and `joins` says that this belongs to it, else a new one.
    fn step(&mut self, at: f64, joins: impl Fn(&Step) -> bool) -> &mut Step {
        if !self
            .steps
            .last()
            .is_some_and(|last| at - last.at < TOGETHER && joins(last))
        {
            let state = self.state.clone();
            let (remarks, received, failed) = (Vec::new(), None, None);
            self.steps.push(Step {
                end: self.end,
                at,
                state,
                on: None,
                segment: None,
                remarks,
                received,
                failed,
            });
        }
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }
}

/// A text in quotes, its middle left out where it is long.
fn short(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!(
            "\"{}...\" ({} octets)",
            text.get(..end).unwrap_or_default(),
            text.len()
        ),
        None => format!("\"{text}\""),
    }
}

/// Whether it is a call of the application, as events of RFC 9293 Figure 5 are named.
fn is_call(on: &str) -> bool {
    ["active OPEN", "passive OPEN", "CLOSE", "ABORT"].contains(&on)
}

/// Puts the two sides on one time line and pairs what one sent with what the other received.
fn conversation(ends: [SocketAddr; 2], a: Side, b: Side) -> Conversation {
    let mut steps: Vec<Step> = a.steps.into_iter().chain(b.steps).collect();
    steps.sort_by(|x, y| x.at.total_cmp(&y.at));
    let itself = ends[0].ip() == ends[1].ip();
    let to = |from: End| if itself { from } else { from.other() };
    let last = |end: End| *end.of(&[a.last, b.last]);
    let [mut all, others] = End::BOTH.map(|from| flights(from, to(from), &steps, last(to(from))));
    all.extend(others);
    all.sort_by_key(Flight::begin);
    let recorded = [a.last.is_some(), b.last.is_some()];
    Conversation {
        ends,
        initial: [a.initial, b.initial],
        steps,
        flights: all,
        ticks: [a.ticks, b.ticks].concat(),
        recorded,
    }
}

/// All segments from one end to the other, or to itself, whose record ends at `last`, if it kept
/// one.
fn flights(from: End, to: End, steps: &[Step], last: Option<f64>) -> Vec<Flight> {
    let flight = |segment: &Segment| {
        let (segment, forged) = (segment.clone(), segment.forged);
        Flight {
            from,
            segment,
            sent: None,
            received: Vec::new(),
            unwitnessed: false,
            forged,
        }
    };
    let unwitnessed = |index: usize| last.is_none_or(|last| steps[index].at > last);
    let mut sendings = Sendings::default();
    let mut flights: Vec<Flight> = Vec::new();
    for (index, segment) in segments(steps, from, Direction::Out) {
        sendings.add(flights.len(), segment);
        flights.push(Flight {
            sent: Some(index),
            unwitnessed: unwitnessed(index),
            ..flight(segment)
        });
    }
    for (index, segment) in segments(steps, to, Direction::In) {
        match sendings.of(segment, steps[index].at, &flights, steps) {
            Some(sent) => flights[sent].received.push(index),
            None => flights.push(Flight {
                received: vec![index],
                ..flight(segment)
            }),
        }
    }
    flights
}

/// Where among the flights those are that begin with a sending, in its order, by what their
/// receipts have of them.
#[derive(Default)]
struct Sendings {
    by_header: HashMap<Header, Vec<usize>>,
    by_id: HashMap<u16, Vec<usize>>,
}

impl Sendings {
    fn add(&mut self, flight: usize, segment: &Segment) {
        self.by_header
            .entry(segment.header())
            .or_default()
            .push(flight);
        self.by_id.entry(segment.id).or_default().push(flight);
    }

    /// The sending that a receipt belongs to: the same header, the latest that is not later, rather
    /// one that has not arrived yet. The id tells a retransmission from the original; it wraps, and
    /// the rest of the header and the time tell those apart. What is known to be forged was sent by
    /// nobody, however well it is copied, or by one who says so.
    fn of(&self, received: &Segment, at: f64, flights: &[Flight], steps: &[Step]) -> Option<usize> {
        let alike = if received.is_altered() {
            self.by_id.get(&received.id)
        } else {
            self.by_header.get(&received.header())
        };
        let earlier = |flight: &Flight| {
            flight
                .sent
                .is_some_and(|index| steps[index].at <= at + SLACK)
        };
        let honest = |flight: &Flight| flight.forged || !received.forged;
        let fitting = || {
            alike
                .into_iter()
                .flatten()
                .rev()
                .copied()
                .filter(|nth| earlier(&flights[*nth]) && honest(&flights[*nth]))
        };
        fitting()
            .find(|nth| flights[*nth].received.is_empty())
            .or_else(|| fitting().next())
    }
}

fn segments(
    steps: &[Step],
    end: End,
    direction: Direction,
) -> impl Iterator<Item = (usize, &Segment)> {
    let all = steps
        .iter()
        .enumerate()
        .filter(move |(_, step)| step.end == end);
    all.filter_map(|(index, step)| Some((index, step.segment.as_ref()?)))
        .filter(move |(_, segment)| segment.dir == direction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{conversation, handshake};

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
        assert_eq!(conversation.initial, ["CLOSED", "LISTEN"]);
        let states: Vec<&str> = conversation
            .steps
            .iter()
            .map(|step| step.state.as_str())
            .collect();
        assert_eq!(
            states,
            ["SYN-SENT", "SYN-RECEIVED", "SYN-RECEIVED", "ESTABLISHED"]
        );
    }

    #[test]
    fn clocks_of_two_machines_are_aligned_by_the_calendar() {
        let (client, server) = handshake();
        let (client, mut server) = (client.log(), server.log());
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
                .line(1.0, "\"event\":\"r1\",\"retransmissions\":3")
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
        let stranger = |file: crate::trace::sample::File| {
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
        let (client, server) = (
            client.sends(0.004, ACK, "pass"),
            server.receives(0.105, ACK, 2, "pass"),
        );
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
            ([true, false], ["CLOSED".to_owned(), String::new()])
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
                    s.state.as_str(),
                    s.segment.is_some(),
                    s.on.as_deref().unwrap_or_default(),
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
}
