//! What SIGUSR1 asks for: every connection of the host, on stderr, while it goes on.

use crate::failure::Failure;
use crate::signals::Caught;
use crate::table::{Cell, Fit, Table};
use tcpx::host::Host;
use tcpx_proto::tcb::Status;
use tcpx_proto::time::Instant;
use tokio::signal::unix::SignalKind;

/// Answers each SIGUSR1 with a table, for as long as it is polled. The signal is caught from the
/// call on.
///
/// # Errors
/// The system refuses to let it be caught.
pub(super) fn report_on_signal(
    host: Host,
    say: impl Fn(&str),
) -> Result<impl Future<Output = std::convert::Infallible>, Failure> {
    let asked = Caught::new(SignalKind::user_defined1());
    let mut asked = asked.map_err(|error| Failure {
        message: format!("cannot catch SIGUSR1: {error}"),
        code: 1,
    })?;
    Ok(async move {
        loop {
            asked.arrives().await;
            let connections = host.connections();
            let details = details(&connections);
            let (count, table) = table(connections, tcpx::clock::now());
            say(format!("{count}\n{}{details}", table.on_stderr()).trim_end());
        }
    })
}

/// A line for each connection with what `TCP_INFO` has, in the words of `ss -i`.
fn details(connections: &[Status]) -> String {
    let mut sorted: Vec<&Status> = connections.iter().collect();
    sorted.sort_by_key(|status| (status.opened, status.local, status.remote));
    let line = |status: &&Status| format!("{} {}: {status}\n", status.local, status.remote);
    sorted.iter().map(line).collect()
}

/// How many there are, and a row for each, the oldest first.
fn table(mut connections: Vec<Status>, now: Instant) -> (String, Table<7>) {
    connections.sort_by_key(|status| (status.opened, status.local, status.remote));
    let columns = [
        ("state", Fit::Whole),
        ("send-q", Fit::Number),
        ("recv-q", Fit::Number),
        ("local", Fit::Whole),
        ("peer", Fit::Whole),
        ("age", Fit::Number),
        ("timer", Fit::Whole),
    ];
    let mut table = Table::new(columns);
    connections
        .iter()
        .for_each(|status| table.add(row(status, now).map(Cell::from)));
    let many = if connections.len() == 1 { "" } else { "s" };
    (format!("{} connection{many}", connections.len()), table)
}

fn row(status: &Status, now: Instant) -> [String; 7] {
    let timer = match (status.timer, status.deadline) {
        (Some(timer), Some(at)) => {
            format!("{} in {:.1} s", timer.name(), at.since(now).as_secs_f64())
        }
        _ => "-".to_owned(),
    };
    [
        status.state.name().to_owned(),
        status.unacknowledged.to_string(),
        status.unread.to_string(),
        status.local.to_string(),
        status.remote.to_string(),
        format!("{:.1} s", now.since(status.opened).as_secs_f64()),
        timer,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tcpx_proto::config::Config;
    use tcpx_proto::id::FourTuple;
    use tcpx_proto::stack::Stack;

    #[test]
    fn table_has_a_line_for_each_connection_the_oldest_first() {
        let mut stack = Stack::new(Config::default(), 7);
        stack.reserve([10, 0, 0, 1].into(), 1..=9);
        let mut packet = [0; 1500];
        for (port, second) in [(9, 0), (2, 1)] {
            let now = Instant::ZERO + Duration::from_secs(second);
            stack
                .connect(
                    now,
                    FourTuple {
                        local: ([10, 0, 0, 1], port).into(),
                        remote: ([10, 0, 0, 2], 7000).into(),
                    },
                    &Config::default().conn,
                )
                .unwrap();
            while stack.poll_transmit(now, &mut packet).is_some() {}
        }
        let connections = stack
            .connections()
            .filter_map(|id| stack.status(id))
            .collect();
        let (count, table) = table(connections, Instant::ZERO + Duration::from_millis(1250));
        let expected = "\
state\tsend-q\trecv-q\tlocal\tpeer\tage\ttimer
SYN-SENT\t0\t0\t10.0.0.1:9\t10.0.0.2:7000\t1.2 s\tretransmission in 0.0 s
SYN-SENT\t0\t0\t10.0.0.1:2\t10.0.0.2:7000\t0.2 s\tretransmission in 0.8 s
";
        assert_eq!(
            (count.as_str(), table.tabbed(true).as_str()),
            ("2 connections", expected)
        );
        let narrow = table.aligned(80);
        assert!(
            narrow.lines().count() == 5 && narrow.contains("timer: retransmission in 0.8 s"),
            "{narrow}"
        );
        assert_eq!(table.aligned(90).lines().count(), 3);
        assert_eq!(super::table(Vec::new(), Instant::ZERO).0, "0 connections");
    }
}
