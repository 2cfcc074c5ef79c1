//! What SIGUSR1 asks for: every connection of the host, on stderr, while it goes on.

use super::Failure;
use super::setup::Run;
use crate::host::Host;
use std::fmt::Write as _;
use tcpx_proto::stack::Status;
use tcpx_proto::time::Instant;
use tokio::signal::unix::{SignalKind, signal};

impl Run {
    /// Answers each SIGUSR1 with a table, for as long as it is polled. The signal is caught from the call on.
    ///
    /// # Errors
    /// The system refuses to let it be caught.
    pub(super) fn report_on_signal(&self, host: Host) -> Result<impl Future<Output = std::convert::Infallible>, Failure> {
        let asked = signal(SignalKind::user_defined1());
        let mut asked = asked.map_err(|error| Failure { message: format!("cannot catch SIGUSR1: {error}"), code: 1 })?;
        Ok(async move {
            loop {
                asked.recv().await;
                self.complain(table(host.connections(), crate::driver::now()).trim_end());
            }
        })
    }
}

/// One line for each connection, the oldest first.
fn table(mut connections: Vec<Status>, now: Instant) -> String {
    connections.sort_by_key(|status| (status.opened, status.local, status.remote));
    let mut rows = vec![["state", "send-q", "recv-q", "local", "peer", "timer", "age"].map(str::to_owned)];
    rows.extend(connections.iter().map(|status| row(status, now)));
    let widths: [usize; 7] = std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default());
    let many = if connections.len() == 1 { "" } else { "s" };
    let mut text = format!("{} connection{many}\n", connections.len());
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // The two queues are numbers.
            let _infallible = if matches!(column, 1 | 2) { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(status: &Status, now: Instant) -> [String; 7] {
    let timer = match (status.timer, status.deadline) {
        (Some(timer), Some(at)) => format!("{} in {:.1} s", timer.name(), at.since(now).as_secs_f64()),
        _ => "-".to_owned(),
    };
    [
        status.state.name().to_owned(),
        status.unacknowledged.to_string(),
        status.unread.to_string(),
        status.local.to_string(),
        status.remote.to_string(),
        timer,
        format!("{:.1} s", now.since(status.opened).as_secs_f64()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpx_proto::config::Config;
    use tcpx_proto::stack::Stack;

    #[test]
    fn table_has_a_line_for_each_connection_the_oldest_first() {
        let mut stack = Stack::new(Config::default(), 7);
        stack.reserve([10, 0, 0, 1].into(), 1..=9);
        let mut packet = [0; 1500];
        for (port, second) in [(9, 0), (2, 1)] {
            let now = Instant::ZERO + Duration::from_secs(second);
            stack.connect(now, ([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], 7000).into(), &Config::default().conn).unwrap();
            while stack.poll_transmit(now, &mut packet).is_some() {}
        }
        let connections = stack.connections().filter_map(|id| stack.status(id)).collect();
        let text = table(connections, Instant::ZERO + Duration::from_millis(1250));
        let expected = "\
2 connections
state     send-q  recv-q  local       peer           timer                    age
SYN-SENT       0       0  10.0.0.1:9  10.0.0.2:7000  retransmission in 0.0 s  1.2 s
SYN-SENT       0       0  10.0.0.1:2  10.0.0.2:7000  retransmission in 0.8 s  0.2 s
";
        assert_eq!(text, expected);
        assert!(table(Vec::new(), Instant::ZERO).starts_with("0 connections\n"));
    }
}
