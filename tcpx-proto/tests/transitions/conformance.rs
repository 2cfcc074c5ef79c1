//! `docs/conformance.md`: the requirements with their places and tests, and each state and event
//! as RFC 9293, tcpx and Linux have it. What is said of tcpx comes from running it.

use super::common::field;
use super::tags::{Place, Tags, counts, requirements};
use super::{Outcome, Row, outcome, rows};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tcpx_proto::config::Profile;
use tcpx_proto::seq::Seq;

const LINUX: &str = include_str!("../data/linux_6_18.tsv");

/// The segments of the table of Linux, as the other table has them. Linux was measured with an ACK
/// of 1000 bytes that were not sent; how many makes no difference.
const SEGMENTS: [(&str, &str); 34] = [
    ("<SEQ=RCV.NXT-1000><CTL=S>", "SYN below-window"),
    (
        "<SEQ=RCV.NXT-1><CTL=S>",
        "SYN seq=RCV.NXT-1 (dup of original SYN)",
    ),
    ("<SEQ=RCV.NXT><CTL=S>", "SYN seq=RCV.NXT"),
    ("<SEQ=RCV.NXT+100><CTL=S>", "SYN in-window"),
    ("<SEQ=RCV.NXT+200000><CTL=S>", "SYN above-window"),
    (
        "<SEQ=RCV.NXT-1><ACK=SND.NXT><CTL=AS>",
        "SYN,ACK ack=SND.NXT seq=RCV.NXT-1",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT><CTL=AS>",
        "SYN,ACK ack=SND.NXT seq=RCV.NXT",
    ),
    ("<SEQ=RCV.NXT><CTL=R>", "RST seq=RCV.NXT"),
    ("<SEQ=RCV.NXT+100><CTL=R>", "RST in-window not exact"),
    ("<SEQ=RCV.NXT-1000><CTL=R>", "RST below-window"),
    ("<SEQ=RCV.NXT+200000><CTL=R>", "RST above-window"),
    ("<SEQ=RCV.NXT-1><CTL=R>", "RST seq=RCV.NXT-1"),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT><CTL=AR>",
        "RST,ACK seq=RCV.NXT ack=SND.NXT",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT+1000><CTL=AR>",
        "RST,ACK seq=RCV.NXT ack=SND.NXT+1000",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT><CTL=A>",
        "ACK seq=RCV.NXT ack=SND.NXT",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.UNA><CTL=A>",
        "ACK seq=RCV.NXT ack=SND.UNA (dup)",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.UNA-1000000><CTL=A>",
        "ACK ack=SND.UNA-1000000 (too old)",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT+1><CTL=A>",
        "ACK ack=SND.NXT+1000 (not yet sent)",
    ),
    (
        "<SEQ=RCV.NXT-1><ACK=SND.NXT><CTL=A>",
        "ACK seq=RCV.NXT-1 (keepalive probe)",
    ),
    (
        "<SEQ=RCV.NXT+200000><ACK=SND.NXT><CTL=A>",
        "ACK seq above-window",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT><CTL=A><LEN=10>",
        "DATA in-order ack=SND.NXT",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.UNA><CTL=A><LEN=10>",
        "DATA in-order ack=SND.UNA",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT+1><CTL=A><LEN=10>",
        "DATA in-order ack=SND.NXT+1000",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.UNA-1000000><CTL=A><LEN=10>",
        "DATA in-order ack=SND.UNA-1000000",
    ),
    (
        "<SEQ=RCV.NXT><CTL=none><LEN=10>",
        "DATA in-order no ACK bit",
    ),
    (
        "<SEQ=RCV.NXT+100><ACK=SND.NXT><CTL=A><LEN=10>",
        "DATA out-of-order in-window",
    ),
    (
        "<SEQ=RCV.NXT+200000><ACK=SND.NXT><CTL=A><LEN=10>",
        "DATA above-window",
    ),
    (
        "<SEQ=RCV.NXT-10><ACK=SND.NXT><CTL=A><LEN=10>",
        "DATA wholly below window (dup)",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.NXT><CTL=AF>",
        "FIN,ACK in-order ack=SND.NXT",
    ),
    (
        "<SEQ=RCV.NXT><ACK=SND.UNA><CTL=AF>",
        "FIN,ACK in-order ack=SND.UNA",
    ),
    (
        "<SEQ=RCV.NXT-1><ACK=SND.NXT><CTL=AF>",
        "FIN,ACK seq=RCV.NXT-1 (retransmitted FIN)",
    ),
    ("<SEQ=RCV.NXT><CTL=F>", "FIN no ACK bit"),
    ("<SEQ=RCV.NXT><CTL=RS>", "SYN,RST seq=RCV.NXT"),
    ("<SEQ=RCV.NXT><CTL=none>", "no flags (null)"),
];

/// `SYN,ACK` for `AS`.
fn bits(letters: &str) -> String {
    let names = [
        ('S', "SYN"),
        ('F', "FIN"),
        ('R', "RST"),
        ('U', "URG"),
        ('A', "ACK"),
    ];
    let set = names.iter().filter(|(letter, _)| letters.contains(*letter));
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    if letters == "none" || set.is_empty() {
        String::from("no bits")
    } else {
        set.join(",")
    }
}

/// A segment on a few characters: the numbers that everybody expects are left out.
fn short(letters: &str, seq: &str, ack: Option<&str>) -> String {
    let mut text = bits(letters);
    if seq != "SND.NXT" {
        write!(text, " seq={seq}").unwrap();
    }
    if let Some(ack) = ack.filter(|ack| *ack != "RCV.NXT") {
        write!(text, " ack={ack}").unwrap();
    }
    text
}

/// The event of a row, for people.
fn event(row: &Row<'_>) -> String {
    let mut text = row.event.to_owned();
    if let Some(letters) = field(row.event, "CTL") {
        text = bits(letters);
        for (key, usual) in [("SEQ", "RCV.NXT"), ("ACK", "SND.NXT")] {
            if let Some(value) = field(row.event, key).filter(|value| *value != usual) {
                write!(text, " {}={value}", key.to_lowercase()).unwrap();
            }
        }
        for (key, name) in [
            ("LEN", "text"),
            ("TSVAL", "TSval"),
            ("SRC", "from"),
            ("DST", "to"),
        ] {
            if let Some(value) = field(row.event, key) {
                write!(text, " {name} {value}").unwrap();
            }
        }
    }
    if row.given != "-" {
        write!(text, " ({})", row.given).unwrap();
    }
    text
}

/// What was sent, where the connection went, what the application heard.
fn cell(sent: Vec<String>, state: &str, next: &str, user: &str) -> String {
    let mut parts = sent;
    if next != state {
        parts.push(format!("→ {next}"));
    }
    if user != "-" && !user.is_empty() {
        parts.push(user.to_owned());
    }
    if parts.is_empty() {
        String::from("nothing")
    } else {
        parts.join("; ")
    }
}

/// The segments that `<SEQ=..><ACK=..><CTL=..>; ..` names.
fn replies(text: &str) -> Vec<String> {
    if text == "none" {
        return Vec::new();
    }
    text.split("; ")
        .map(|text| {
            let seq = field(text, "SEQ").unwrap();
            short(field(text, "CTL").unwrap(), seq, field(text, "ACK"))
        })
        .collect()
}

/// What tcpx does, in the symbols of the row where they fit.
fn ours(profile: Profile, row: &Row<'_>) -> String {
    let Ok(Outcome {
        symbols,
        sent,
        next,
        told,
    }) = outcome(profile, row)
    else {
        return String::from("never in this situation");
    };
    let expected: Vec<&str> = row.reply.split("; ").collect();
    let name = |number: Seq, wanted: Option<&str>, others: &[&str]| {
        if let Some(wanted) = wanted
            && (wanted == "new" || symbols.value(wanted) == number)
        {
            return wanted.to_owned();
        }
        for other in others {
            let base = symbols.value(other);
            let ahead = number.since(base);
            match (ahead, base.since(number)) {
                (0, _) => return (*other).to_owned(),
                (1..=1010, _) => return format!("{other}+{ahead}"),
                (_, behind @ 1..=10) => return format!("{other}-{behind}"),
                _ => {}
            }
        }
        String::from("new")
    };
    let spelled = sent.iter().enumerate().map(|(at, sent)| {
        let wanted = expected.get(at).copied().unwrap_or_default();
        let header = &sent.header;
        let letters: String = header.flags.to_string();
        let seq = name(
            header.seq,
            field(wanted, "SEQ"),
            &["SND.NXT", "SND.UNA", "SEG.ACK", "ISS", "0"],
        );
        let ack = letters.contains('A').then(|| {
            name(
                header.ack,
                field(wanted, "ACK"),
                &["RCV.NXT", "SEG.SEQ", "0"],
            )
        });
        short(&letters, &seq, ack.as_deref())
    });
    cell(spelled.collect(), row.state, &next, &told)
}

/// What Linux was measured to do, without what an application heard; `None`: not measured.
fn linux(row: &Row<'_>) -> Option<String> {
    let state = match row.given {
        "-" => row.state.to_owned(),
        "released" => format!("{}(orphan)", row.state),
        _ => return None,
    };
    let (_, name) = SEGMENTS.iter().find(|(event, _)| *event == row.event)?;
    let found = LINUX
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .find(|columns| columns[0] == state && columns[1] == *name)?;
    let next = match found[3] {
        "ESTAB" => "ESTABLISHED",
        "SYN-RECV" if row.state.starts_with("SYN-RECEIVED") => row.state,
        "SYN-RECV" => row.next,
        "CLOSED" if row.state == "LISTEN" => "LISTEN",
        "CLOSED" if row.next == "LISTEN" => "LISTEN",
        other => other,
    };
    let reply = found[2].replace("<SEQ=ISS>", "<SEQ=new>");
    Some(cell(replies(&reply), row.state, next, "-"))
}

fn states(text: &mut String) {
    text.push_str(
        "\n## States and events\n\n\
         Each row is a segment, a call or a timeout that meets a state. A segment is at RCV.NXT \
         and acknowledges\nSND.NXT unless it says otherwise; a reply is at SND.NXT and acknowledges \
         RCV.NXT. `→` names the next state\nwhere it changes; the last word is what the application \
         hears. `=`: as RFC 9293 says; `·`: not measured.\n\
         The columns of tcpx are what the engine did when this page was made, in `--profile \
         rfc9293` and in\n`--profile linux`; the Linux column is what 6.18 was measured to do \
         (without what the application hears).\n",
    );
    let mut states: Vec<&str> = Vec::new();
    for (_, row) in rows() {
        if !states.contains(&row.state) {
            states.push(row.state);
        }
    }
    let mut rows: Vec<_> = rows().filter(|(for_, _)| *for_ != "rfc793").collect();
    rows.sort_by_key(|(_, row)| states.iter().position(|state| *state == row.state));
    let mut last = "";
    for (_, row) in rows {
        if row.state != last {
            last = row.state;
            write!(
                text,
                "\n### {last}\n\n| event | RFC 9293 | tcpx | tcpx, `linux` | Linux 6.18 |\n\
                 |---|---|---|---|---|\n"
            )
            .unwrap();
        }
        let rfc = cell(replies(row.reply), row.state, row.next, row.user);
        let silent = cell(replies(row.reply), row.state, row.next, "-");
        let same = |cell: String| {
            if cell == rfc { String::from("=") } else { cell }
        };
        let linux = linux(&row).map_or(String::from("·"), |cell| {
            if cell == silent {
                String::from("=")
            } else {
                cell
            }
        });
        writeln!(
            text,
            "| {} | {rfc} | {} | {} | {linux} |",
            event(&row),
            same(ours(Profile::Rfc9293, &row)),
            same(ours(Profile::Linux, &row)),
        )
        .unwrap();
    }
}

/// Links to places, each file and function once.
fn links(places: &[&Place]) -> String {
    let mut links: Vec<String> = Vec::new();
    for Place { file, function, .. } in places {
        let name = file
            .strip_prefix("tcpx-proto/src/")
            .or_else(|| file.strip_prefix("tcpx-proto/"))
            .unwrap_or(file);
        let link = format!("[{name}](../{file}) `{function}`").replace(" ``", "");
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links.join("<br>")
}

fn requirements_of(text: &mut String, tags: &Tags) {
    let requirements = requirements();
    text.push_str(
        "\n## Requirements\n\n\
         In our own words, from `tcpx-proto/tests/data/requirements.tsv`. `//= MUST-13` above a \
         statement of the\nsources says that it keeps MUST-13, `/// Proves MUST-13.` above a test \
         that this test fails without it.\n\
         `make rfc` prints the places, `make rfc-prove` breaks some of them and runs the tests.\n\n\
         | source | level | all | tagged | deviating | not taken up |\n|---|---|---|---|---|---|\n",
    );
    for (name, [all, tagged, deviating, rest]) in counts(&requirements, tags) {
        let (source, level) = name.split_once('\t').unwrap();
        writeln!(
            text,
            "| {source} | {level} | {all} | {tagged} | {deviating} | {rest} |"
        )
        .unwrap();
    }
    let mut last = "";
    for it in &requirements {
        if it.source != last {
            last = it.source;
            write!(
                text,
                "\n### {last}\n\n| requirement | section | level | what | code | tests |\n\
                 |---|---|---|---|---|---|\n"
            )
            .unwrap();
        }
        let code = links(&tags.code_of(it.id));
        let tests = links(&tags.tests_of(it.id));
        let code = match (it.class, it.deviation, code) {
            ("X", ..) => String::from("not a matter of a TCP in user space"),
            (_, "", code) if code.is_empty() => String::from("not taken up"),
            (_, "", code) => code,
            (_, deviation, _) => format!("deviation: {deviation}"),
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {code} | {tests} |",
            it.id, it.section, it.level, it.statement
        )
        .unwrap();
    }
}

#[test]
fn document_of_conformance_is_up_to_date() {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut text = String::from(
        "# Conformance\n\n\
         What the RFCs ask for, where tcpx keeps it, and which test would notice if it did not; \
         then each state and\neach event as RFC 9293, tcpx and Linux have them side by side. Where \
         the profiles differ on purpose is in\n[profiles.md](profiles.md), with the reasons.\n\
         This page is generated: `UPDATE=1 cargo test -p tcpx-proto --test transitions`.\n",
    );
    requirements_of(&mut text, &Tags::read(&root));
    states(&mut text);
    let path = root.join("docs/conformance.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/conformance.md is stale: UPDATE=1 cargo test -p tcpx-proto --test transitions"
    );
}
