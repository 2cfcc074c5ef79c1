//! The fault language in nftables, for a run between two kernels: which rules can be said there,
//! and how.
//!
//! A packet is judged where it arrives. The same table goes into both hosts' namespaces: the lines
//! for `out` meet our packets at the peer, those for `in` the peer's packets here, and neither host
//! sees the other's lines come true. On the way out it would be no fault of the network: the kernel
//! tells its TCP that the firewall refused the segment (EPERM), and TCP does not take it as sent.
//!
//! Whatever is counted, nft counts by sets of four-tuples: one set for each number, which a
//! four-tuple enters with the segment of that number. What takes more than one line to find out is
//! a bit of the packet's mark.

mod counted;
mod refusal;

use refusal::{Blame, Refusal, refuse};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use tcpx_proto::fault::{Action, Direction, Edit, Effect, Fault, FaultRule, Kind, Value, Which};
use tcpx_proto::lexer::Mistake;
use tcpx_proto::wire::{Field, OptionKind};

/// The end that the rules are written for: `out` is from here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// Its address.
    pub address: IpAddr,
    /// Its ports.
    pub ports: RangeInclusive<u16>,
}

/// The rules as a file for `nft -f`, which replaces table `inet tcpx-lab`.
///
/// # Errors
/// The first rule that nftables cannot do truly, and why.
pub fn table<'a>(rules: &'a [FaultRule], own: &Own) -> Result<String, (&'a FaultRule, Mistake)> {
    let mut table = Table::new(own);
    for (number, rule) in (1..).zip(rules) {
        table
            .rule(number, rule)
            .map_err(|refusal| (rule, refusal.mistake(&rule.text)))?;
    }
    Ok(table.to_string())
}

/// What the packets of one direction look like.
#[derive(Clone, Copy)]
struct Way<'a> {
    own: &'a Own,
    direction: Direction,
}

impl Way<'_> {
    const fn name(self) -> &'static str {
        match self.direction {
            Direction::Out => "out",
            Direction::In => "in",
        }
    }

    const fn family(self) -> &'static str {
        if self.own.address.is_ipv4() {
            "ip"
        } else {
            "ip6"
        }
    }

    /// Matches its packets.
    fn packets(self) -> String {
        let side = if self.direction == Direction::Out {
            's'
        } else {
            'd'
        };
        let family = self.family();
        let address = self.own.address;
        let first = self.own.ports.start();
        let last = self.own.ports.end();
        match (first, last) {
            (0 | 1, &u16::MAX) => format!("{family} {side}addr {address} meta l4proto tcp"),
            (first, last) if first == last => {
                format!("{family} {side}addr {address} tcp {side}port {first}")
            }
            (first, last) => format!("{family} {side}addr {address} tcp {side}port {first}-{last}"),
        }
    }

    /// The four-tuple, as far as it is not the same for all: our port, the peer's address and port.
    fn flow(self) -> String {
        let family = self.family();
        match self.direction {
            Direction::Out => format!("tcp sport . {family} daddr . tcp dport"),
            Direction::In => format!("tcp dport . {family} saddr . tcp sport"),
        }
    }
}

/// A bit of the packet's mark.
#[derive(Clone, Copy)]
struct Bit(u32);

impl Bit {
    fn set(self) -> String {
        format!("meta mark set meta mark | {:#x}", self.0)
    }

    fn is_set(self) -> String {
        format!("meta mark & {0:#x} == {0:#x}", self.0)
    }

    fn is_clear(self) -> String {
        format!("meta mark & {:#x} == 0x0", self.0)
    }
}

/// The table as it grows. Facts are found for all rules before the first one decides, because each
/// rule counts what another drops.
struct Table<'a> {
    own: &'a Own,
    /// Name, and what its elements are.
    sets: Vec<(String, String)>,
    /// Name, and lines.
    chains: Vec<(String, Vec<String>)>,
    facts: Vec<String>,
    verdicts: Vec<String>,
    bits: u32,
    /// The packet has text.
    text: Option<Bit>,
    /// What identifies a third ACK: for `out`, for `in`.
    third: [Option<String>; 2],
}

impl<'a> Table<'a> {
    fn new(own: &'a Own) -> Table<'a> {
        let sets = Vec::new();
        let chains = Vec::new();
        let facts = Vec::new();
        let verdicts = Vec::new();
        Table {
            own,
            sets,
            chains,
            facts,
            verdicts,
            bits: 0,
            text: None,
            third: [None, None],
        }
    }

    fn rule(&mut self, number: usize, rule: &FaultRule) -> Result<(), Refusal> {
        let fault = match rule.action() {
            Action::Fault(fault) => fault,
            Action::Release(_) => {
                return refuse(Blame::Line, "nft holds nothing that could be released");
            }
            Action::Released => return Ok(()),
        };
        let verdict = verdict(&fault.effect, self.own)?;
        let directions = fault
            .direction
            .map_or(vec![Direction::Out, Direction::In], |direction| {
                vec![direction]
            });
        let words: Vec<&str> = rule.text.split_whitespace().collect();
        self.verdicts.push(format!("# {}", words.join(" ")));
        for direction in directions {
            let means = self.means(
                number,
                fault,
                Way {
                    own: self.own,
                    direction,
                },
            )?;
            match fault.rate {
                Some(0) => {}
                None | Some(1_000_000) => self.verdicts.push(format!("{means} counter {verdict}")),
                Some(rate) => self.verdicts.push(format!(
                    "{means} numgen random mod 1000000 < {rate} counter {verdict}"
                )),
            }
        }
        Ok(())
    }

    /// An expression for the segments of one direction that a rule means.
    fn means(&mut self, number: usize, fault: &Fault, way: Way<'a>) -> Result<String, Refusal> {
        let stages = counted::stages(fault, way.direction)?;
        let fits = self.fits(fault.kind, way)?;
        let Some(stages) = stages else {
            return Ok(fits);
        };
        let again = matches!(fault.which, Which::Repeats { .. }) && fault.kind == Kind::Data;
        let name = format!("r{number}_{}", way.name());
        let fits = if again {
            self.begins_like_the_first(&name, &fits, way)
        } else {
            fits
        };
        self.counted(&name, &fits, stages, way)
    }

    /// An expression for the segments of one direction that a match fits.
    fn fits(&mut self, kind: Kind, way: Way<'a>) -> Result<String, Refusal> {
        let packets = way.packets();
        let header = match kind {
            Kind::Segment => return Ok(packets),
            Kind::Syn => "tcp flags & (syn | ack) == syn".into(),
            Kind::SynAck => "tcp flags & (syn | ack) == (syn | ack)".into(),
            Kind::SynData => "tcp flags & syn == syn @ih,0,8 >= 0".into(),
            Kind::FastOpen => "tcp flags & syn == syn tcp option 34 exists".into(),
            Kind::Fin => "tcp flags & fin == fin".into(),
            Kind::Rst => "tcp flags & rst == rst".into(),
            Kind::Flags(flags) => format!("tcp flags == {:#x}", flags.0),
            // There is an byte this far behind the TCP header.
            Kind::Data => "@ih,0,8 >= 0".into(),
            Kind::Longer(bytes) => format!("@ih,{},8 >= 0", bytes * 8),
            Kind::Ack => self.bare_ack()?,
            Kind::ThirdAck => return self.third_ack(way),
            Kind::Idle(_) => {
                return refuse(
                    Blame::Match,
                    "nft looks at one packet, and knows of no silence before it",
                );
            }
            Kind::AckOfFin
            | Kind::WindowUpdate
            | Kind::Probe
            | Kind::KeepAlive
            | Kind::Challenge => {
                return refuse(
                    Blame::Match,
                    "only our own TCP says why it sent a segment, and a kernel's does not",
                );
            }
        };
        Ok(format!("{packets} {header}"))
    }

    fn bare_ack(&mut self) -> Result<String, Refusal> {
        let text = match self.text {
            Some(bit) => bit,
            None => {
                let bit = self.bit()?;
                self.facts
                    .push(format!("meta l4proto tcp @ih,0,8 >= 0 {}", bit.set()));
                *self.text.insert(bit)
            }
        };
        Ok(format!(
            "tcp flags & (fin | syn | rst | ack) == ack {}",
            text.is_clear()
        ))
    }

    fn bit(&mut self) -> Result<Bit, Refusal> {
        if self.bits == u32::BITS {
            return refuse(
                Blame::Line,
                "a packet's mark has 32 bits, and the rules before this one have used them",
            );
        }
        self.bits += 1;
        Ok(Bit(1 << (self.bits - 1)))
    }

    /// A new set of these.
    fn set(&mut self, name: String, element: &str) -> String {
        self.sets.push((name.clone(), element.to_owned()));
        name
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.own.address;
        writeln!(
            f,
            "# For {own} and for its peer: load it with nft -f in both namespaces, where each packet is judged as it arrives."
        )?;
        writeln!(
            f,
            "# A packet is one segment only without offloads: ethtool -K DEVICE gro off gso off tso off, at both ends."
        )?;
        writeln!(
            f,
            "table inet tcpx-lab\ndelete table inet tcpx-lab\ntable inet tcpx-lab {{"
        )?;
        for (name, element) in &self.sets {
            writeln!(
                f,
                "    set {name} {{\n        typeof {element}\n        size 65535\n        flags dynamic\n    }}"
            )?;
        }
        for (name, lines) in &self.chains {
            writeln!(f, "    chain {name} {{")?;
            lines
                .iter()
                .try_for_each(|line| writeln!(f, "        {line}"))?;
            writeln!(f, "    }}")?;
        }
        writeln!(
            f,
            "    chain faults {{\n        type filter hook input priority 0; policy accept;"
        )?;
        let clear = Some("meta mark set 0x0".to_owned()).filter(|_| self.bits > 0);
        for line in clear.iter().chain(&self.facts).chain(&self.verdicts) {
            writeln!(f, "        {line}")?;
        }
        f.write_str("    }\n}")
    }
}

/// What becomes of a packet. After a rewrite no other rule is asked.
fn verdict(effect: &Effect, own: &Own) -> Result<String, Refusal> {
    let reason = match effect {
        Effect::Drop => return Ok("drop".into()),
        Effect::Rewrite(_, edits) => {
            let mut text = String::new();
            for edit in edits.iter() {
                statements(*edit, own, &mut text)?;
            }
            return Ok(text + "accept");
        }
        Effect::Delay(_) | Effect::Trickle(..) | Effect::Reorder(_) | Effect::Hold(_) => {
            "nft passes a packet on or drops it, and cannot keep one for later"
        }
        Effect::Duplicate(_) => "nft sends copies to other hosts alone",
        Effect::Corrupt | Effect::CorruptFixed => {
            "nft chooses no random bit, and corrects the checksum of what it writes"
        }
    };
    refuse(Blame::Effect, reason)
}

fn statements(edit: Edit, own: &Own, into: &mut String) -> Result<(), Refusal> {
    let family = if own.address.is_ipv4() { "ip" } else { "ip6" };
    let (field, value) = match edit {
        Edit::Set(field, Value::To(value)) => (field, value),
        Edit::Set(..) => {
            return refuse(
                Blame::Effect,
                "nft sets a field and cannot add to it: give the value without + or -",
            );
        }
        Edit::Strip(option) => {
            let names: &[&str] = match option {
                OptionKind::Mss => &["maxseg"],
                OptionKind::WindowScale => &["window"],
                OptionKind::Sack => &["sack-perm", "sack"],
                OptionKind::Timestamps => &["timestamp"],
                OptionKind::FastOpen => &["34"],
            };
            names
                .iter()
                .for_each(|name| add(into, format_args!("reset tcp option {name}")));
            return Ok(());
        }
    };
    match field {
        Field::Seq => add(into, format_args!("tcp sequence set {value}")),
        Field::Ack => add(into, format_args!("tcp ackseq set {value}")),
        Field::Flags => add(into, format_args!("tcp flags set {value:#x}")),
        Field::Window => add(into, format_args!("tcp window set {value}")),
        Field::Urgent => add(into, format_args!("tcp urgptr set {value}")),
        Field::Reserved => add(into, format_args!("tcp reserved set {value}")),
        Field::Ttl if family == "ip" => add(into, format_args!("ip ttl set {value}")),
        Field::Ttl => add(into, format_args!("ip6 hoplimit set {value}")),
        Field::Tos => {
            add(into, format_args!("{family} dscp set {}", value >> 2));
            add(into, format_args!("{family} ecn set {}", value & 3));
        }
        Field::Id if family == "ip" => add(into, format_args!("ip id set {value}")),
        // IPv6 has none: nothing changes.
        Field::Id => {}
        Field::Mss => add(into, format_args!("tcp option maxseg size set {value}")),
        Field::TsVal => add(into, format_args!("tcp option timestamp tsval set {value}")),
        Field::TsEcr => add(into, format_args!("tcp option timestamp tsecr set {value}")),
        Field::WindowScale => {
            return refuse(
                Blame::Effect,
                "nft writes two or four bytes of an option, and the shift count has one",
            );
        }
    }
    Ok(())
}

fn add(into: &mut String, statement: fmt::Arguments<'_>) {
    let _infallible = write!(into, "{statement} ");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &str = include_str!("../../../../docs/faults.md");

    /// The lines of the blocks that are fenced with this word.
    fn blocks(word: &str) -> Vec<&'static str> {
        let fence = format!("```{word}\n");
        DOCS.split(&*fence)
            .skip(1)
            .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
            .collect()
    }

    fn own(address: &str) -> Own {
        Own {
            address: address.parse().unwrap(),
            ports: 7000..=7000,
        }
    }

    fn translated(lines: &[&str], own: &Own) -> Result<String, (String, Mistake)> {
        let rules: Vec<FaultRule> = lines
            .iter()
            .map(|line| {
                FaultRule::parse(line).unwrap_or_else(|mistake| panic!("{line}: {mistake}"))
            })
            .collect();
        table(&rules, own).map_err(|(rule, mistake)| (rule.text.clone(), mistake))
    }

    /// The lines of the chain that judges, without the first.
    fn judging(lines: &[&str]) -> Vec<String> {
        let table = translated(lines, &own("10.77.0.1")).unwrap();
        let (_, chain) = table.split_once("policy accept;\n").unwrap();
        chain
            .lines()
            .map(|line| line.trim().to_owned())
            .take_while(|line| line != "}")
            .collect()
    }

    #[test]
    fn docs_every_nftables_line_is_translated_and_every_refused_one_is_not() {
        let accepted = blocks("nftables");
        let refused = blocks("nftables-refused");
        assert!(accepted.len() > 25 && refused.len() > 25);
        for line in accepted {
            assert!(
                translated(&[line], &own("10.77.0.1")).is_ok(),
                "{line}: {:?}",
                translated(&[line], &own("10.77.0.1"))
            );
        }
        for line in refused {
            let (_, mistake) = translated(&[line], &own("10.77.0.1")).expect_err(line);
            assert!(
                !mistake.message.is_empty()
                    && line.get(mistake.span).is_some_and(|part| !part.is_empty()),
                "{line}"
            );
        }
    }

    #[test]
    fn refusal_underlines_the_part_that_nftables_cannot_say() {
        for (line, part) in [
            ("  rate=5%  delay=3s  out data ", "delay=3s"),
            (
                "rewrite( win=0, seq=+1 ) out data",
                "rewrite( win=0, seq=+1 )",
            ),
            ("drop out keepalive", "keepalive"),
            ("rate=5% drop out data#2..3", "#2..3"),
            ("drop any fin#1", "any"),
            ("release=old on closed#1", "release=old on closed#1"),
        ] {
            let (text, mistake) =
                translated(&["drop out fin", line], &own("fd00::1")).expect_err(line);
            assert_eq!((text.as_str(), &line[mistake.span]), (line, part));
        }
    }

    #[test]
    fn out_is_from_our_port_and_in_is_to_it() {
        let syn = "tcp flags & (syn | ack) == syn counter drop";
        let expected = [
            "# drop any syn".to_owned(),
            format!("ip saddr 10.77.0.1 tcp sport 7000 {syn}"),
            format!("ip daddr 10.77.0.1 tcp dport 7000 {syn}"),
        ];
        assert_eq!(judging(&["drop  any\tsyn"]), expected);
        let ports = |ports| {
            translated(
                &["drop in segment"],
                &Own {
                    ports,
                    ..own("fd00::1")
                },
            )
            .unwrap()
        };
        assert!(ports(7000..=7010).contains("ip6 daddr fd00::1 tcp dport 7000-7010 counter drop"));
        assert!(ports(0..=u16::MAX).contains("ip6 daddr fd00::1 meta l4proto tcp counter drop"));
    }

    #[test]
    fn rule_that_drops_comes_after_all_that_count() {
        let lines = judging(&["drop out data", "drop out data#1", "drop out third-ack"]);
        let first = lines
            .iter()
            .position(|line| line.starts_with("# "))
            .unwrap();
        assert!(lines[..first].iter().all(|line| !line.ends_with(" drop")));
        let marks = lines[..first].iter().filter(|line| {
            line.contains(" add @") || line.contains(" jump ") || line.contains("mark set")
        });
        assert_eq!(marks.count(), first);
        assert_eq!(
            lines[first..]
                .iter()
                .filter(|line| line.ends_with("counter drop"))
                .count(),
            3
        );
    }

    #[test]
    fn rewrite_decides_and_a_rate_is_drawn_before() {
        let lines = judging(&["rate=0.5% rewrite(win=0, tos=0x2f, strip=sack) in ack"]);
        let end = "numgen random mod 1000000 < 5000 counter tcp window set 0 ip dscp set 11 ip ecn set 3 \
                   reset tcp option sack-perm reset tcp option sack accept";
        assert!(lines.last().unwrap().ends_with(end), "{lines:#?}");
    }

    #[test]
    fn more_facts_than_a_mark_has_bits_are_refused() {
        let rules = ["drop out fin#1"; 33];
        assert!(translated(&rules[..32], &own("10.77.0.1")).is_ok());
        assert!(
            translated(&rules, &own("10.77.0.1"))
                .is_err_and(|(_, mistake)| mistake.message.contains("32 bits"))
        );
    }

    #[test]
    fn line_with_a_break_stays_in_its_comment() {
        assert!(judging(&["drop\nout\nfin"]).contains(&"# drop out fin".to_owned()));
    }
}
