//! A connection as RFC 9293 draws one (Figures 6 and 12): a line for each segment, with the states that both ends have by it.

use crate::events::Segment;
use crate::exchange::{End, Exchange, Flight, Step};
use std::fmt;

/// Draws one story.
pub struct Figure<'a>(pub &'a Exchange);

impl fmt::Display for Figure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "     {:<69}TCP Peer B", "TCP Peer A")?;
        writeln!(f, "{:>3}. {:<69}{}", 1, self.0.initial[0], self.0.initial[1])?;
        let mut lines = 2..;
        for (index, step) in self.0.steps.iter().enumerate() {
            let begins = |flight: &&Flight| flight.sent.or(flight.received.first().copied()) == Some(index);
            let line = match self.0.flights.iter().find(begins) {
                Some(flight) => self.flight(flight, index),
                None => self.alone(step, index),
            };
            let seconds = step.at - self.0.steps[0].at;
            if let Some((line, note)) = line {
                writeln!(f, "{:>3}. {line} {}", lines.next().unwrap_or_default(), format!("{seconds:>7.3} s  {note}").trim_end())?;
            }
        }
        Ok(())
    }
}

impl Figure<'_> {
    /// A segment, from whoever sent it.
    fn flight(&self, flight: &Flight, index: usize) -> Option<(String, String)> {
        let (from, arrived) = (flight.from, !flight.received.is_empty());
        let arrival = flight.received.first().copied().unwrap_or(index);
        let state = |end: End| if end == from { self.state(end, index) } else { self.state(end, arrival) };
        let arrow = if from == End::A { "-->" } else { "<--" };
        let (left, right) = match (from, arrived) {
            (_, true) => (arrow, arrow),
            (End::A, false) => (arrow, " X "),
            (End::B, false) => (" X ", arrow),
        };
        let middle = format!("{left} {:<46} {right}", header(&flight.segment));
        Some((format!("{:<13}{middle:<56}{:<12}", state(End::A), state(End::B)), fate(flight)))
    }

    /// A state that was entered without a segment.
    fn alone(&self, step: &Step, index: usize) -> Option<(String, String)> {
        let on = step.on.as_ref().filter(|_| step.segment.is_none())?;
        let on = format!("({on})");
        let middle = if step.end == End::A { format!("{on:<56}") } else { format!("{on:>54}  ") };
        Some((format!("{:<13}{middle}{:<12}", self.state(End::A, index), self.state(End::B, index)), String::new()))
    }

    /// The state of an end after that step.
    fn state(&self, end: End, index: usize) -> &str {
        let before = self.0.steps.iter().take(index + 1).rev().find(|step| step.end == end);
        before.map_or(end.of::<String>(&self.0.initial), |step| &step.state)
    }
}

/// The header in the RFC's notation.
fn header(segment: &Segment) -> String {
    let mut text = format!("<SEQ={}>", segment.seq);
    if segment.flags.contains('A') {
        text += &format!("<ACK={}>", segment.ack);
    }
    if segment.len > 0 {
        text += &format!("<LEN={}>", segment.len);
    }
    text + &format!("<CTL={}>", segment.control())
}

/// What is to be said of a segment beyond its header.
fn fate(flight: &Flight) -> String {
    let again = (flight.segment.retransmission > 0).then(|| format!("again ({})", flight.segment.retransmission));
    let gate = flight.segment.fault().map(str::to_owned);
    let way = match flight.received.len() {
        0 if flight.unwitnessed => Some("the peer's record had ended".to_owned()),
        0 if gate.is_none() => Some("lost".to_owned()),
        0 | 1 => None,
        copies => Some(format!("arrived {copies} times")),
    };
    [again, gate, way].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{handshake, story};

    #[test]
    fn handshake_drawn_is_figure_6() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "pass");
        let server = server.receives(0.105, ("A", 101, 301, 0), 2, "pass").state(0.105, "SYN-RECEIVED", "ESTABLISHED", "ACK of SYN");
        let drawn = Figure(&story(&client.log(), &server.log())).to_string();
        let words: Vec<String> = drawn.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "TCP Peer A TCP Peer B",
            "1. CLOSED LISTEN",
            "2. SYN-SENT --> <SEQ=100><CTL=SYN> --> SYN-RECEIVED 0.000 s",
            "3. ESTABLISHED <-- <SEQ=300><ACK=101><CTL=SYN,ACK> <-- SYN-RECEIVED 0.002 s",
            "4. ESTABLISHED --> <SEQ=101><ACK=301><CTL=ACK> --> ESTABLISHED 0.004 s",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn segment_dropped_at_the_gate_is_crossed_out_with_its_rule() {
        let (client, server) = handshake();
        let client = client.sends(0.004, ("A", 101, 301, 0), "drop").state(0.5, "ESTABLISHED", "CLOSED", "2 MSL timeout");
        let drawn = Figure(&story(&client.log(), &server.line(1.0, "\"event\":\"r1\"").log())).to_string();
        let last = drawn.lines().rev().nth(1).unwrap();
        assert!(last.contains("-->") && last.contains(" X   SYN-RECEIVED") && last.ends_with("drop"), "{drawn}");
        assert!(drawn.lines().last().unwrap().contains("(2 MSL timeout)"), "{drawn}");
    }
}
