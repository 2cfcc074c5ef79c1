//! The live view on stderr: one line per segment and per change of state, and a countdown while
//! TIME-WAIT lasts.

use anstream::AutoStream;
use clap::builder::styling::{AnsiColor, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use tcpx::record::{BackgroundWriter, Observed, ObservedSegment, Recorded, Sink, Slot};
use tcpx_proto::event::{Event, Timer, TimerAction, What};
use tcpx_proto::script::AppAction;
use tcpx_proto::time::{Duration, Instant};

const STATE: Style = AnsiColor::Green.on_default().bold();
const FAULT: Style = AnsiColor::Red.on_default().bold();
const DETAIL: Style = Style::new().dimmed();

/// stderr, with a place for a countdown below the lines when it is a terminal. Clones share it.
#[derive(Clone, Default)]
pub struct Display {
    bars: MultiProgress,
    /// The live view's writer: what others write comes after what it has shown.
    view: Arc<OnceLock<Slot>>,
}

impl fmt::Debug for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Display").finish_non_exhaustive()
    }
}

impl Write for Display {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.view.get().is_some_and(|view| view.put(bytes)) {
            return Ok(bytes.len());
        }
        self.bars
            .suspend(|| AutoStream::auto(io::stderr()).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes the live view: a line for each segment and each change, in colour where the writer leads
/// to a terminal.
pub struct Live {
    writer: BackgroundWriter,
    verbose: bool,
    countdown: Countdown,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("writer", &self.writer)
            .field("verbose", &self.verbose)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// `writer` leads to `display`; `verbose` adds timers and the engine's checks.
    pub fn new(writer: BackgroundWriter, display: Display, verbose: bool) -> Live {
        // If the display already has a view, it keeps that one.
        _ = display.view.set(writer.slot());
        Live {
            writer,
            verbose,
            countdown: Countdown {
                display,
                ends: HashMap::new(),
                bar: None,
            },
        }
    }

    fn line(&mut self, recorded: &Recorded<'_>, text: fmt::Arguments<'_>) {
        let t = recorded.t.as_secs_f64();
        let conn = recorded
            .conn
            .map_or_else(|| "-".to_owned(), |conn| format!("#{conn}"));
        let _never_fails = writeln!(self.writer, "{t:11.6} {conn:>3}  {text}");
    }
}

impl Live {
    fn segment(&mut self, recorded: &Recorded<'_>, segment: &ObservedSegment) {
        let record = &segment.record;
        let label = record
            .label
            .map(|label| format!("  {DETAIL}{label}{DETAIL:#}"))
            .unwrap_or_default();
        let fault = segment
            .fault()
            .map(|fault| format!("  {FAULT}{fault}{FAULT:#}"))
            .unwrap_or_default();
        self.line(recorded, format_args!("{record}{label}{fault}"));
    }

    fn event(&mut self, recorded: &Recorded<'_>, event: &Event) {
        self.countdown.event(recorded.conn, event);
        let style = match event.what {
            What::Opened { .. } => Style::new(),
            What::State { .. } | What::Closed(_) => STATE,
            What::Deviated { .. } | What::Discarded(_) | What::Icmp(_) | What::R1 { .. } => FAULT,
            What::Undone { .. } => DETAIL,
            What::Accepted { .. } | What::Timer { .. } | What::Urgent { .. } if self.verbose => {
                DETAIL
            }
            What::Accepted { .. } | What::Timer { .. } | What::Urgent { .. } => return,
        };
        self.line(recorded, format_args!("{style}{event}{style:#}"));
    }

    fn app(&mut self, recorded: &Recorded<'_>, action: &AppAction) {
        let (style, text) = match action {
            AppAction::Began(step) => (DETAIL, step.as_str()),
            AppAction::Failed(why) => (FAULT, why.as_str()),
            AppAction::Over => (DETAIL, "over"),
            AppAction::Done | AppAction::Sent(_) | AppAction::Received(_) => return,
        };
        self.line(recorded, format_args!("{style}script: {text}{style:#}"));
    }
}

impl Sink for Live {
    fn record(&mut self, recorded: &Recorded<'_>) {
        match recorded.observed {
            Observed::Segment(segment) => self.segment(recorded, segment),
            Observed::Event(event) => self.event(recorded, event),
            Observed::App(event) => self.app(recorded, &event.action),
        }
    }

    fn flush(&mut self) {
        let _never_fails = self.writer.flush();
    }
}

/// The bar that counts TIME-WAIT down. indicatif draws it only on a terminal.
struct Countdown {
    display: Display,
    /// The connections in TIME-WAIT, and when it ends for each.
    ends: HashMap<u64, Instant>,
    bar: Option<ProgressBar>,
}

impl Countdown {
    fn event(&mut self, conn: Option<u64>, event: &Event) {
        let Some(conn) = conn else { return };
        match event.what {
            What::Timer {
                timer: Timer::TimeWait,
                action: TimerAction::Started { until },
            } => {
                self.ends.insert(conn, until);
                self.draw(event.at);
            }
            What::Timer {
                timer: Timer::TimeWait,
                action: TimerAction::Fired | TimerAction::Stopped,
            }
            | What::Closed(_) => self.end(conn),
            _ => {}
        }
    }

    fn end(&mut self, conn: u64) {
        self.ends.remove(&conn);
        if self.ends.is_empty()
            && let Some(bar) = self.bar.take()
        {
            bar.finish_and_clear();
        }
    }

    /// Redraws the bar, down to the end of the last TIME-WAIT.
    fn draw(&mut self, now: Instant) {
        if self.display.bars.is_hidden() {
            return;
        }
        let Some(until) = self.ends.values().max() else {
            return;
        };
        let wait = until.since(now);
        let left = move |state: &ProgressState, out: &mut dyn fmt::Write| {
            let _a_string_takes_all = write!(
                out,
                "{:.1}",
                wait.saturating_sub(state.elapsed()).as_secs_f64()
            );
        };
        if let Some(old) = self.bar.take() {
            old.finish_and_clear();
        }
        let template = ProgressStyle::with_template(
            "TIME-WAIT: {left} s to CLOSED; Ctrl-C ends it, which breaks RFC 9293 3.6.1 (MUST-13)",
        );
        let Ok(style) = template else { return };
        let bar = self
            .display
            .bars
            .add(ProgressBar::new_spinner().with_style(style.with_key("left", left)));
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bar = Some(bar);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpx::testing::sample;

    #[test]
    fn run_with_a_dropped_ack_gives_these_lines() {
        let bytes =
            sample::written(|writer| Box::new(Live::new(writer, Display::default(), false)))
                .unwrap();
        let text = anstream::adapter::strip_bytes(&bytes).into_vec();
        let expected = [
            "   0.000000  #1  10.0.0.1:40000 -> 10.0.0.2:7000",
            "   0.000000  #1  CLOSED -> SYN-SENT on active OPEN",
            "   0.000010  #1  out S    seq=100 ack=0 len=0 win=64240  call: syn",
            "   0.000500  #1  in  SA   seq=300 ack=101 len=0 win=64240",
            "   0.000500  #1  SYN-SENT -> ESTABLISHED on SYN,ACK",
            "   0.000510  #1  out A    seq=101 ack=301 len=0 win=64240  ack: ack-of-syn  drop by \
             `drop out ack-of-syn`",
            "   0.000600   -  in  A    seq=7 ack=8 len=0 win=64240",
            "   0.000600   -  discarded: not-reserved",
            "   0.000900  #1  closed: aborted",
        ];
        assert_eq!(
            String::from_utf8(text).unwrap().lines().collect::<Vec<_>>(),
            expected
        );
    }
}
