//! A sequence diagram in Mermaid's language, as GitHub draws it in Markdown.

use super::layout::{Fate, Layout, Line, name_of};
use crate::end::End;
use crate::trace::{Flight, Step};
use std::fmt;

/// A segment in flight for longer than this, seconds, is marked as such: an arrow here has no slope.
const LATE: f64 = 0.05;

/// Draws one conversation.
pub(super) struct Mermaid<'a>(pub(super) &'a Layout<'a>);

impl fmt::Display for Mermaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.0;
        writeln!(f, "```mermaid\nsequenceDiagram")?;
        for end in [End::A, End::B] {
            writeln!(
                f,
                "    participant {end:?} as {end:?} {}",
                escape(&layout.name(end))
            )?;
        }
        for end in [End::A, End::B] {
            if let Some(initial) = end.of(&layout.conversation.initial) {
                note(f, &over(end), initial.name())?;
            }
        }
        for (place, line) in layout.lines.iter().enumerate() {
            match line {
                Line::Silence(seconds) => note(f, "over A,B", &format!("{seconds:.3} s later"))?,
                Line::More(run) => note(f, "over A,B", &layout.more(run))?,
                Line::Step(step) => self.step(f, *step)?,
                Line::Starts(_) => {}
                Line::Ends(_) => {
                    if let Some(bracket) = layout.timer_ending(place) {
                        note(f, &beside(bracket.span.end), &bracket.span.words())?;
                    }
                }
            }
        }
        writeln!(f, "```")
    }
}

impl Mermaid<'_> {
    fn step(&self, f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
        let step = &self.0.conversation.steps[index];
        // A segment that a call sends is drawn below the state that the call led to, one that
        // arrives above.
        let sends = self
            .0
            .flight_at(index)
            .filter(|(flight, _)| flight.sent == Some(index));
        if sends.is_none() {
            self.flight(f, index)?;
        }
        state(f, step)?;
        if sends.is_some() {
            self.flight(f, index)?;
        }
        step.remarks
            .iter()
            .try_for_each(|remark| note(f, &beside(step.end), &remark.to_string()))
    }

    fn flight(&self, f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
        let Some((flight, label)) = self.0.flight_at(index) else {
            return Ok(());
        };
        let from = flight.from;
        let to = flight.from.other();
        let fate = self.0.fate(flight);
        let arrow = match fate {
            Fate::Lost(_) => "-x",
            Fate::Arrived if self.0.kept_by(flight).is_some() => "-x",
            Fate::Arrived | Fate::Assumed => "->>",
            Fate::Unwitnessed | Fate::Forged | Fate::Unrecorded => "-->>",
        };
        let note = match fate {
            Fate::Lost(_) | Fate::Forged | Fate::Unrecorded => fate.why().map(str::to_owned),
            Fate::Unwitnessed => Some("the peer's record had ended".to_owned()),
            Fate::Arrived => self.way(flight),
            Fate::Assumed => None,
        };
        let label: Vec<String> = [label.to_owned()].into_iter().chain(note).collect();
        writeln!(
            f,
            "    {from:?}{arrow}{to:?}: {}",
            escape(&label.join(", "))
        )
    }

    /// How a segment travelled, where a straight arrow does not show it.
    fn way(&self, flight: &Flight) -> Option<String> {
        let at = |step: usize| self.0.conversation.steps[step].at;
        let took = at(*flight.received.first()?) - at(flight.sent?);
        let late = (took > LATE).then(|| format!("{took:.3} s on its way"));
        let copies =
            (flight.received.len() > 1).then(|| format!("arrived {} times", flight.received.len()));
        let words: Vec<String> = late.into_iter().chain(copies).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// A state that was entered, with the event where no segment shows it.
fn state(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    match (step.event(), &step.segment) {
        (Some(_), Some(_)) => note(f, &over(step.end), name_of(step.state)),
        (Some(on), None) => note(
            f,
            &over(step.end),
            &format!("{} ({on})", name_of(step.state)),
        ),
        (None, _) => Ok(()),
    }
}

fn note(f: &mut fmt::Formatter<'_>, place: &str, text: &str) -> fmt::Result {
    writeln!(f, "    Note {place}: {}", escape(text))
}

fn over(end: End) -> String {
    format!("over {end:?}")
}

/// On the outer side of an end.
fn beside(end: End) -> String {
    format!(
        "{} of {end:?}",
        if end == End::A { "left" } else { "right" }
    )
}

/// What Mermaid would take for its own signs, or for HTML, by its name.
fn escape(text: &str) -> String {
    let sign = |ch: char| match ch {
        '#' => "#35;".to_owned(),
        ';' => "#59;".to_owned(),
        '<' => "#lt;".to_owned(),
        '>' => "#gt;".to_owned(),
        '&' => "#amp;".to_owned(),
        _ => ch.to_string(),
    };
    text.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::escape;
    use crate::draw::{Format, draw};
    use crate::trace::sample::{conversation, eventful};

    #[test]
    fn story_drawn_has_losses_states_and_timers() {
        let (client, server) = eventful();
        let expected = "
```mermaid
sequenceDiagram
    participant A as A 10.0.0.1:40000
    participant B as B 10.0.0.2:7000
    Note over A: CLOSED
    Note over B: LISTEN
    Note over A: SYN-SENT
    A->>B: SYN seq 0
    Note over B: SYN-RECEIVED
    B->>A: SYN,ACK seq 0 ack 1
    Note over A: ESTABLISHED
    Note over A: FIN-WAIT-1
    A-xB: FIN,ACK seq 1 ack 1, drop
    Note left of A: RTO expired, 0.200 s
    A->>B: FIN,ACK seq 1 ack 1
    Note over B: CLOSE-WAIT
    Note over B: LAST-ACK
    B->>A: FIN,ACK seq 1 ack 2
    Note over A: TIME-WAIT
    Note over A,B: 2.000 s later
    Note left of A: 2 MSL expired, 2.000 s
    Note over A: CLOSED (2 MSL timeout)
```";
        let drawn = draw(&conversation(&client.log(), &server.log()), Format::Mermaid);
        assert_eq!(
            drawn.lines().collect::<Vec<_>>(),
            expected.lines().skip(1).collect::<Vec<_>>()
        );
    }

    #[test]
    fn signs_of_mermaid_in_a_text_are_named() {
        assert_eq!(
            escape("drop out fin#1; <b>"),
            "drop out fin#35;1#59; #lt;b#gt;"
        );
    }
}
