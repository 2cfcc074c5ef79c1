//! What stands between two TCPs on this machine and can keep an experiment from showing anything;
//! docs/troubleshooting.md explains each.

use super::Check;
use crate::programs::find;
use std::process::Command;
use tcpx::netns;
use tcpx::netns::root::sysctl;

/// A line for each.
pub(super) fn examine() -> Vec<Check> {
    let rules = rules();
    let tracking = sysctl("net.netfilter.nf_conntrack_tcp_be_liberal");
    let checks = [
        (
            "kernel",
            kernel(&sysctl("kernel.osrelease").unwrap_or_default()),
        ),
        ("firewall", firewall(rules.as_deref())),
        (
            "conntrack",
            conntrack(tracking.as_deref(), rules.as_deref()),
        ),
        (
            "rp_filter",
            reverse_path(|device| sysctl(&format!("net.ipv4.conf.{device}.rp_filter"))),
        ),
        ("offloads", Ok(offloads())),
    ];
    checks
        .into_iter()
        .map(|(name, outcome)| Check::new(name, outcome))
        .collect()
}

/// What was found, or what is wrong and the command that fixes it.
type Outcome = Result<String, (String, String)>;

/// Some kernels stand in a machine whose network is not what it seems.
fn kernel(release: &str) -> Outcome {
    let name = release.to_lowercase();
    if name.contains("wsl2") {
        Ok(format!(
            "{release}: WSL 2, behind a NAT and Windows' firewall; namespaces and 127.0.0.1 are \
             not affected"
        ))
    } else if name.contains("microsoft") {
        Err((
            format!("{release}: WSL 1 has no raw sockets"),
            "in Windows: wsl --set-version DISTRIBUTION 2".to_owned(),
        ))
    } else if name.contains("linuxkit") {
        Ok(format!(
            "{release}: Docker Desktop's; a published port leads to its proxy, so connect from \
             container to container"
        ))
    } else {
        Ok(release.to_owned())
    }
}

/// The firewall's rules, in the words of nft and of iptables; None where they cannot be read.
fn rules() -> Option<String> {
    let listings = [
        ("nft", ["list", "ruleset"].as_slice()),
        ("iptables", &["-S"]),
    ];
    let texts = listings.iter().filter_map(|(program, arguments)| {
        let output = Command::new(find(program)?)
            .args(*arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    texts.reduce(|one, other| format!("{one}\n{other}"))
}

/// Our raw sockets hear what INPUT lets through, and what they send passes OUTPUT.
fn firewall(rules: Option<&str>) -> Outcome {
    let Some(rules) = rules else {
        return Ok("cannot read its rules: this needs root, and nft or iptables".to_owned());
    };
    let drops = |line: &str| {
        let ours = line.contains("hook input") || line.contains("hook output");
        (ours && line.contains("policy drop"))
            || ["-P INPUT DROP", "-P OUTPUT DROP"].contains(&line.trim())
    };
    match rules.lines().find(|line| drops(line)) {
        None => Ok("no policy drops incoming or outgoing packets".to_owned()),
        Some(line) => Err((
            format!("packets that no rule allows are dropped: {}", line.trim()),
            "sudo iptables -I INPUT -p tcp --dport PORT -j ACCEPT; or use tcpx-lab netns up, which \
             has no rules".to_owned(),
        )),
    }
}

/// Connection tracking calls INVALID what a TCP with a missing rule sends, and a rule may drop
/// that.
fn conntrack(liberal: Option<&str>, rules: Option<&str>) -> Outcome {
    let Some(liberal) = liberal else {
        return Ok("not loaded: no packet is classified as INVALID".to_owned());
    };
    let loose = sysctl("net.netfilter.nf_conntrack_tcp_loose").unwrap_or_default();
    let found = format!("loaded (be_liberal {liberal}, loose {loose})");
    let invalid = |line: &str| {
        (line.contains("invalid") && line.contains("drop"))
            || (line.contains("INVALID") && line.contains("DROP"))
    };
    match rules.and_then(|rules| rules.lines().find(|line| invalid(line))) {
        Some(line) if liberal == "0" => Err((
            format!("{found}, and packets that it classifies as INVALID are dropped: {}", line.trim()),
            "sudo sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1; or use tcpx-lab netns up, \
             which has no rules".to_owned(),
        )),
        _ => Ok(format!("{found}; found no rule that drops INVALID packets")),
    }
}

/// With 1, a packet is dropped if the way back to its sender leads through another device; the
/// larger of `all` and the device's counts.
fn reverse_path(value: impl Fn(&str) -> Option<String>) -> Outcome {
    let number = |device: &str| {
        value(device)
            .and_then(|text| text.parse::<u8>().ok())
            .unwrap_or(0)
    };
    let strict: Vec<String> = devices()
        .into_iter()
        .filter(|device| number("all").max(number(device)) == 1)
        .collect();
    match strict.as_slice() {
        [] => Ok("strict on no device".to_owned()),
        [first, ..] => Err((
            format!(
                "strict on {}: a packet is dropped if its answer would leave through another \
                 device",
                strict.join(", ")
            ),
            format!("sudo sysctl -w net.ipv4.conf.{first}.rp_filter=2 (loose; overrides 1)"),
        )),
    }
}

/// A device that merges what arrives hands us several segments as one.
fn offloads() -> String {
    let merges = |device: &String| device != "lo" && netns::device::merges(device).unwrap_or(false);
    let merging: Vec<String> = devices().into_iter().filter(merges).collect();
    match merging.as_slice() {
        [] => "no device merges received segments".to_owned(),
        [first, ..] => format!(
            "GRO on {}: merged segments count as one; to see each: sudo ethtool -K {first} gro \
             off, and tso off gso off at the sender",
            merging.join(", ")
        ),
    }
}

/// The names of this namespace's devices.
fn devices() -> Vec<String> {
    netns::device::names().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_of_windows_or_of_docker_desktop_is_told() {
        assert_eq!(kernel("6.1.0-37-amd64"), Ok("6.1.0-37-amd64".to_owned()));
        assert!(
            kernel("5.15.167.4-microsoft-standard-WSL2").is_ok_and(|found| found.contains("NAT"))
        );
        assert!(
            kernel("4.4.0-19041-Microsoft")
                .is_err_and(|(found, fix)| found.contains("no raw sockets") && fix.contains("wsl"))
        );
        assert!(kernel("6.10.14-linuxkit").is_ok_and(|found| found.contains("proxy")));
    }

    #[test]
    fn firewall_that_drops_by_policy_is_told_with_the_rule() {
        for drops in [
            "-P INPUT DROP\n-P OUTPUT ACCEPT",
            "chain input {\n type filter hook input priority filter; policy drop;\n }",
        ] {
            assert!(
                firewall(Some(drops))
                    .is_err_and(|(found, _)| found.to_lowercase().contains("drop")),
                "{drops}"
            );
        }
        // Docker's, and not in our way.
        let forward = "-P INPUT ACCEPT\n-P FORWARD DROP\n type filter hook forward priority \
            filter; policy drop;";
        assert!(firewall(Some(forward)).is_ok());
        assert!(firewall(None).is_ok_and(|found| found.contains("cannot read")));
    }

    #[test]
    fn conntrack_is_in_the_way_with_a_rule_alone() {
        for rule in [
            "ct state invalid drop",
            "-A INPUT -m conntrack --ctstate INVALID -j DROP",
        ] {
            assert!(
                conntrack(Some("0"), Some(rule)).is_err_and(
                    |(found, fix)| found.contains(rule) && fix.contains("be_liberal=1")
                )
            );
            assert!(conntrack(Some("1"), Some(rule)).is_ok());
            assert!(conntrack(None, Some(rule)).is_ok());
        }
        assert!(conntrack(Some("0"), Some("-P INPUT DROP")).is_ok());
    }

    #[test]
    fn reverse_path_counts_the_larger_of_all_and_the_device() {
        let with = |all: &'static str, device: &'static str| {
            reverse_path(move |name| Some(if name == "all" { all } else { device }.to_owned()))
        };
        assert!(
            with("1", "0")
                .is_err_and(|(found, fix)| found.contains("lo") && fix.contains("rp_filter=2"))
        );
        assert!(with("0", "1").is_err());
        assert!(with("2", "1").is_ok() && with("1", "2").is_ok() && with("0", "0").is_ok());
    }
}
