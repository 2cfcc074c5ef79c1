//! Values on the command line: durations, sizes, marks.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tcpx_proto::config::{KeepAlive, Persist};
use tcpx_proto::lexer::{self, Mistake, Word};

/// The longest duration of a flag.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The most bytes of a flag.
const MOST_BYTES: u32 = 1 << 30;

/// A duration such as `1s`, `200ms` or `2h 30m`, above zero and at most a year.
///
/// # Errors
/// The text is not such a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    match lexer::duration(Word::whole(text), YEAR) {
        Ok(Duration::ZERO) => Err("must be above zero".into()),
        Ok(duration) => Ok(duration),
        Err(mistake) => Err(one_line(mistake)),
    }
}

/// A mistake in a value, with what to write instead.
fn one_line(mistake: Mistake) -> String {
    match mistake.help {
        Some(help) => format!("{} ({help})", mistake.message),
        None => mistake.message,
    }
}

/// An address, or a name that is looked up, and a port. Of a name's addresses it is the first of
/// IPv4, if there is one.
///
/// # Errors
/// What is wrong with it, or why the lookup failed.
pub fn endpoint(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.parse() {
        Ok(IpAddr::V4(_)) => return Err(format!("the port is missing: {text}:7000, for instance")),
        Ok(IpAddr::V6(_)) => {
            return Err(format!(
                "an IPv6 address stands in brackets, before its port: [{text}]:7000, for instance"
            ));
        }
        Err(_) => {}
    }
    let (name, port) = text
        .rsplit_once(':')
        .filter(|(name, _)| !name.is_empty())
        .ok_or(
            "write an address or a name, and a port, such as 127.0.0.1:7000 or localhost:7000",
        )?;
    let port = port
        .parse()
        .map_err(|_| "a port is a number from 0 to 65535")?;
    let found = (name, port)
        .to_socket_addrs()
        .map_err(|error| format!("{error}. An address needs no lookup: 127.0.0.1:{port}"))?;
    let found: Vec<SocketAddr> = found.collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| format!("{name} has no address"))
}

/// A number of bytes such as `65536`, `64k` or `1M`, at most 2^30.
///
/// # Errors
/// The text is not such a number.
pub fn octets(text: &str) -> Result<usize, String> {
    lexer::size(Word::whole(text), MOST_BYTES)
        .map(|bytes| bytes as usize)
        .map_err(one_line)
}

/// A mark, decimal or with 0x, not 0 (which every other packet has).
pub(super) fn mark(text: &str) -> Result<u32, String> {
    let parsed = text
        .strip_prefix("0x")
        .map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
    parsed
        .ok()
        .filter(|mark| *mark != 0)
        .ok_or_else(|| "write a number above 0, such as 112 or 0x70".into())
}

/// IDLE,INTERVAL,PROBES.
pub(super) fn keepalive(text: &str) -> Result<KeepAlive, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [idle, interval, probes] = parts[..] else {
        return Err("write three values, such as 2h,75s,9".into());
    };
    let probes = probes.parse().ok().filter(|probes| *probes >= 2);
    Ok(KeepAlive {
        idle: duration(idle)?,
        interval: duration(interval)?,
        probes: probes
            .ok_or("one unanswered probe must not end a connection (MUST-29): give at least 2")?,
    })
}

/// MIN,MAX.
pub(super) fn persist(text: &str) -> Result<Persist, String> {
    let (min, max) = text
        .split_once(',')
        .ok_or("write two values, such as 200ms,120s")?;
    let (min, max) = (duration(min)?, duration(max)?);
    if min <= max {
        Ok(Persist { min, max })
    } else {
        Err("the first must not be above the second".into())
    }
}

/// How long an ACK may wait.
pub(super) fn delayed_ack(text: &str) -> Result<Duration, String> {
    let long =
        || "must be below 500ms (MUST-40); --without delayed-ack sends each at once".to_owned();
    duration(text).and_then(|wait| {
        Some(wait)
            .filter(|wait| *wait < Duration::from_millis(500))
            .ok_or_else(long)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_an_address_or_a_name_and_a_port() {
        let loopback = |port: u16| Ok(([127, 0, 0, 1], port).into());
        assert_eq!(
            (endpoint("127.0.0.1:7000"), endpoint("localhost:0")),
            (loopback(7000), loopback(0))
        );
        assert_eq!(endpoint("[::1]:7000"), Ok("[::1]:7000".parse().unwrap()));
        for wrong in [
            "",
            ":",
            "7000",
            ":7000",
            "localhost",
            "localhost:",
            "localhost:65536",
            "127.0.0.1",
            "127.0.0.1:-1",
            "::1",
            "a b:1",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn octets_take_units_and_refuse_nonsense() {
        assert_eq!(octets("65536"), Ok(65_536));
        assert_eq!(octets("64k"), Ok(65_536));
        assert_eq!(octets("1M"), Ok(1 << 20));
        for wrong in [
            "",
            "k",
            "0",
            "-1",
            "1G",
            "2000M",
            "99999999999999999999",
            "1.5k",
        ] {
            assert!(octets(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn duration_is_above_zero_and_below_a_year() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "0s", "5", "-1s", "2years", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keepalive_wants_three_values_and_two_probes() {
        assert_eq!(keepalive("2h,75s,9"), Ok(KeepAlive::default()));
        for wrong in ["2h", "2h,75s", "2h,75s,1", "2h,75s,9,1", ",,"] {
            assert!(keepalive(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn persist_wants_two_values_in_order() {
        let expected = Persist {
            min: Duration::from_millis(200),
            max: Duration::from_secs(120),
        };
        assert_eq!(
            (persist("200ms,2m"), persist("1s,1s").is_ok()),
            (Ok(expected), true)
        );
        for wrong in ["", "1s", ",", "1s,", "2s,1s", "1s,2s,3s", "0s,1s"] {
            assert!(persist(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn delayed_ack_is_below_half_a_second() {
        assert_eq!(delayed_ack("499ms"), Ok(Duration::from_millis(499)));
        for wrong in ["", "0ms", "500ms", "1s", "40"] {
            assert!(delayed_ack(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mark_is_any_number_but_zero() {
        assert_eq!((mark("0x70"), mark("112")), (Ok(112), Ok(112)));
        assert!(mark("0").is_err() && mark("x").is_err() && mark("0x1ffffffff").is_err());
    }
}
