//! Values of flags that are not the engine's: durations, endpoints, marks.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tcpx::{GuardKind, LinkKind};
use tcpx_proto::lexer::{self, Mistake, Word};

/// The longest duration of a flag.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

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
        Ok(IpAddr::V4(_)) => {
            return Err(format!(
                "the port is missing: write {text}:7000, for \
            example"
            ));
        }
        Ok(IpAddr::V6(_)) => {
            return Err(format!(
                "put an IPv6 address in brackets, before its port, such as [{text}]:7000"
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
    let found = (name, port).to_socket_addrs().map_err(|error| {
        format!(
            "{error}. Use an address to avoid the lookup, such as \
            127.0.0.1:{port}"
        )
    })?;
    let found: Vec<SocketAddr> = found.collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first())
        .copied()
        .ok_or_else(|| format!("{name} has no address"))
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

/// The name of a kind of link.
pub fn link() -> impl TypedValueParser<Value = LinkKind> {
    let help = |kind| match kind {
        LinkKind::Raw => "A raw IP socket: the kernel routes, its firewall applies",
        LinkKind::Packet => {
            "Packet sockets: faster; frames to Ethernet neighbours go past the kernel's firewall, \
             the rest as with raw"
        }
    };
    let named = |name: &str| LinkKind::ALL.into_iter().find(|kind| kind.name() == name);
    PossibleValuesParser::new(
        LinkKind::ALL.map(|kind| PossibleValue::new(kind.name()).help(help(kind))),
    )
    .map(move |name| named(&name).unwrap_or_default())
}

/// The name of a guard.
pub(super) fn guard() -> impl TypedValueParser<Value = GuardKind> {
    let help = |kind| match kind {
        GuardKind::Auto => "iptables if it is available, else listener",
        GuardKind::Iptables => {
            "A firewall rule for our ports only, removed when we exit (needs NET_ADMIN)"
        }
        GuardKind::Listener => {
            "A kernel listener that drops segments with a TTL below 255 (needs no privilege)"
        }
        GuardKind::None => "No guard: the kernel resets the connection",
    };
    let named = |name: &str| GuardKind::ALL.into_iter().find(|kind| kind.name() == name);
    PossibleValuesParser::new(
        GuardKind::ALL.map(|kind| PossibleValue::new(kind.name()).help(help(kind))),
    )
    .map(move |name| named(&name).unwrap_or_default())
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
    fn duration_is_above_zero_and_below_a_year() {
        assert_eq!(duration("1500ms"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "0s", "5", "-1s", "2years", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn mark_is_any_number_but_zero() {
        assert_eq!((mark("0x70"), mark("112")), (Ok(112), Ok(112)));
        assert!(mark("0").is_err() && mark("x").is_err() && mark("0x1ffffffff").is_err());
    }
}
