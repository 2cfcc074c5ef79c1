//! What SIGUSR1 asks for: every connection of the host, on stderr, while it goes on.

use crate::failure::Failure;
use crate::signals::Caught;
use crate::table::{Cell, Fit, Table};
use serde_json::{Map, Value, json};
use std::io::Write;
use tcpx::host::Host;
use tcpx_proto::tcb::Status;
use tcpx_proto::time::{Duration, Instant};
use tokio::signal::unix::SignalKind;

/// Answers each SIGUSR1 with a table, and with lines in `file` if there is one, for as long as it is
/// polled. The signal is caught from the call on.
///
/// # Errors
/// The system refuses to let it be caught.
pub(super) fn report_on_signal(
    host: Host,
    mut file: Option<Box<dyn Write + Send>>,
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
            let now = tcpx::clock::now();
            if let Some(file) = &mut file
                && let Err(error) = write_lines(file, &connections, now)
            {
                say(&format!("cannot write the status file: {error}"));
            }
            let details = details(&connections);
            let (count, table) = table(&connections, now);
            say(format!("{count}\n{}{details}", table.on_stderr()).trim_end());
        }
    })
}

/// A line for each connection with what `TCP_INFO` has, in the words of `ss -i`.
fn details(connections: &[Status]) -> String {
    let line = |status: &Status| format!("{} {}: {status}\n", status.local, status.remote);
    oldest_first(connections).map(line).collect()
}

/// A line of JSON for each connection.
fn write_lines(file: &mut dyn Write, connections: &[Status], now: Instant) -> std::io::Result<()> {
    let lines: String = oldest_first(connections)
        .map(|status| format!("{}\n", line(status, now)))
        .collect();
    file.write_all(lines.as_bytes())?;
    file.flush()
}

fn oldest_first(connections: &[Status]) -> impl Iterator<Item = &Status> {
    let mut sorted: Vec<&Status> = connections.iter().collect();
    sorted.sort_by_key(|status| (status.opened, status.local, status.remote));
    sorted.into_iter()
}

/// What STATUS says, by the names of [`Status`]: sizes in bytes, times in seconds, moments as the
/// time since then (`deadline`: until then). A member without a value is left out.
fn line(status: &Status, now: Instant) -> Value {
    let ago = |at: Instant| json!(now.since(at).as_secs_f64());
    let seconds = |time: Duration| json!(time.as_secs_f64());
    let (theirs, ours) = status.window_scale.unzip();
    let members = [
        ("t", seconds(now.since(Instant::ZERO))),
        ("state", json!(status.state.name())),
        ("local", json!(status.local.to_string())),
        ("remote", json!(status.remote.to_string())),
        ("passive", json!(status.passive)),
        ("opened", ago(status.opened)),
        ("timer", json!(status.timer.map(|timer| timer.name()))),
        (
            "deadline",
            json!(status.deadline.map(|at| seconds(at.since(now)))),
        ),
        ("iss", json!(status.iss.0)),
        ("snd_una", json!(status.snd_una.0)),
        ("snd_nxt", json!(status.snd_nxt.0)),
        ("snd_wnd", json!(status.snd_wnd)),
        ("irs", json!(status.irs.0)),
        ("rcv_nxt", json!(status.rcv_nxt.0)),
        ("rcv_wnd", json!(status.rcv_wnd)),
        ("unacknowledged", json!(status.unacknowledged)),
        ("unsent", json!(status.unsent)),
        ("unread", json!(status.unread)),
        ("urgent", json!(status.urgent)),
        ("mss", json!(status.mss)),
        ("offered_mss", json!(status.offered_mss)),
        ("rcv_mss", json!(status.rcv_mss)),
        ("path_mtu", json!(status.path_mtu)),
        ("timestamps", json!(status.timestamps)),
        ("sack", json!(status.sack)),
        ("ecn", json!(status.ecn)),
        ("fast_open", json!(status.fast_open)),
        ("snd_wscale", json!(theirs)),
        ("rcv_wscale", json!(ours)),
        ("rto", seconds(status.rto)),
        ("srtt", json!(status.srtt.map(seconds))),
        ("rttvar", json!(status.rttvar.map(seconds))),
        ("min_rtt", json!(status.min_rtt.map(seconds))),
        ("cwnd", json!(status.cwnd)),
        ("ssthresh", json!(status.ssthresh)),
        ("recovery", json!(status.recovery.name())),
        ("retransmissions", json!(status.retransmissions)),
        ("in_flight", json!(status.in_flight)),
        ("sacked", json!(status.sacked)),
        ("lost", json!(status.lost)),
        ("retransmitted", json!(status.retransmitted)),
        ("text_sent", ago(status.text_sent_at)),
        ("text_heard", json!(status.text_heard_at.map(ago))),
        ("last_heard", ago(status.last_heard_at)),
        ("bytes_acked", json!(status.bytes_acked)),
        ("bytes_received", json!(status.bytes_received)),
        ("bytes_sent", json!(status.bytes_sent)),
        ("bytes_retransmitted", json!(status.bytes_retransmitted)),
        ("segments_in", json!(status.segments_in)),
        ("segments_out", json!(status.segments_out)),
        (
            "segments_retransmitted",
            json!(status.segments_retransmitted),
        ),
        ("duplicates_reported", json!(status.duplicates_reported)),
        ("reordering_seen", json!(status.reordering_seen)),
        ("probes", json!(status.probes)),
    ];
    let known = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(
        known
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

/// How many there are, and a row for each, the oldest first.
fn table(connections: &[Status], now: Instant) -> (String, Table<7>) {
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
    oldest_first(connections).for_each(|status| table.add(row(status, now).map(Cell::from)));
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
    use tcpx_proto::config::{Config, Profile};
    use tcpx_proto::event::Timer;
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
        let connections: Vec<Status> = stack
            .connections()
            .filter_map(|id| stack.status(id))
            .collect();
        let (count, table) = table(&connections, Instant::ZERO + Duration::from_millis(1250));
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
        assert_eq!(super::table(&[], Instant::ZERO).0, "0 connections");
    }

    /// Every member of STATUS has its place in the line.
    #[test]
    fn line_has_a_member_for_each_of_status() {
        let mut stack = Stack::new(Config::default(), 7);
        stack.reserve([10, 0, 0, 1].into(), 1..=9);
        let tuple = FourTuple {
            local: ([10, 0, 0, 1], 9).into(),
            remote: ([10, 0, 0, 2], 7000).into(),
        };
        let conn = stack
            .connect(Instant::ZERO, tuple, &Config::default().conn)
            .unwrap();
        let mut status = stack.status(conn).unwrap();
        status.timer = Some(Timer::Retransmission);
        status.deadline = Some(Instant::ZERO);
        status.window_scale = Some((1, 2));
        status.urgent = Some(3);
        status.srtt = Some(Duration::from_millis(4));
        status.rttvar = Some(Duration::from_millis(5));
        status.min_rtt = Some(Duration::from_millis(6));
        status.ssthresh = Some(7);
        status.text_heard_at = Some(Instant::ZERO);
        let line = line(&status, Instant::ZERO);
        let shown = format!("{status:#?}");
        let fields = shown.lines().filter_map(|line| line.strip_prefix("    "));
        let names = fields
            .filter_map(|field| field.split_once(':'))
            .map(|it| it.0);
        let names: Vec<&str> = names.filter(|name| !name.starts_with(' ')).collect();
        assert!(names.len() > 40, "{names:?}");
        for name in names {
            let name = match name {
                "window_scale" => "snd_wscale",
                _ => name.trim_end_matches("_at"),
            };
            assert!(line.get(name).is_some(), "{name}");
        }
    }

    /// Where STATUS has a value, the line has it, and no two members have the same name.
    #[test]
    fn line_has_what_status_knows() {
        let mut stack = Stack::new(Profile::Rfc9293.config(), 7);
        stack.reserve([10, 0, 0, 1].into(), 1..=9);
        let tuple = FourTuple {
            local: ([10, 0, 0, 1], 9).into(),
            remote: ([10, 0, 0, 2], 7000).into(),
        };
        let conn = stack
            .connect(Instant::ZERO, tuple, &Profile::Rfc9293.config().conn)
            .unwrap();
        while stack.poll_transmit(Instant::ZERO, &mut [0; 1500]).is_some() {}
        let status = stack.status(conn).unwrap();
        let mut file = Vec::new();
        let now = Instant::ZERO + Duration::from_millis(250);
        write_lines(&mut file, &[status], now).unwrap();
        let text = String::from_utf8(file).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        let iss = line["iss"].as_u64().unwrap();
        let expected = [
            ("state", json!("SYN-SENT")),
            ("local", json!("10.0.0.1:9")),
            ("snd_nxt", json!((iss + 1) & 0xffff_ffff)),
            ("opened", json!(0.25)),
            ("deadline", json!(0.75)),
            ("timer", json!("retransmission")),
            ("recovery", json!("open")),
            ("in_flight", json!(1)),
            ("rto", json!(1.0)),
            ("sack", json!(false)),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name}");
        }
        let unknown = ["srtt", "ssthresh", "snd_wscale", "urgent", "text_heard"];
        for name in unknown {
            assert!(line.get(name).is_none(), "{name}");
        }
    }
}
