//! Pictures of hand-made records.

use super::escape;
use crate::draw::{Format, draw};
use crate::trace::sample::{conversation, eventful, handshake};

/// The picture without its style.
fn drawn() -> Vec<String> {
    let (client, server) = eventful();
    let drawn = draw(&conversation(&client.log(), &server.log()), Format::Svg);
    let (head, rest) = drawn.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>\n").unwrap();
    head.lines()
        .chain(body.lines())
        .map(str::to_owned)
        .collect()
}

#[test]
fn handshake_drawn_is_this_picture() {
    let (client, server) = handshake();
    let drawn = draw(&conversation(&client.log(), &server.log()), Format::Svg);
    let (_, body) = drawn.split_once("</style>\n").unwrap();
    let expected = r#"
<rect class="paper" width="100%" height="100%"/>
<text class="name start" x="186.8" y="20.0">A 10.0.0.1:40000</text>
<text class="state end" x="178.8" y="48.0">CLOSED</text>
<rect class="CLOSED" x="186.8" y="34.0" width="10" height="43.0" rx="2"><title>CLOSED</title></rect>
<rect class="SYN-SENT" x="186.8" y="77.0" width="10" height="81.6" rx="2"><title>SYN-SENT</title></rect>
<rect class="ESTABLISHED" x="186.8" y="158.6" width="10" height="16.0" rx="2"><title>ESTABLISHED</title></rect>
<text class="name end" x="716.8" y="20.0">B 10.0.0.2:7000</text>
<text class="state start" x="724.8" y="48.0">LISTEN</text>
<rect class="LISTEN" x="706.8" y="34.0" width="10" height="70.2" rx="2"><title>LISTEN</title></rect>
<rect class="SYN-RECEIVED" x="706.8" y="104.2" width="10" height="70.4" rx="2"><title>SYN-RECEIVED</title></rect>
<text class="state end" x="178.8" y="81.0">SYN-SENT</text>
<text class="quiet end" x="80.9" y="81.0">0.000000</text>
<text class="state start" x="724.8" y="108.2">SYN-RECEIVED</text>
<text class="quiet start" x="822.6" y="108.2">0.001000</text>
<text class="quiet start" x="822.6" y="135.4">0.002000</text>
<text class="state end" x="178.8" y="162.6">ESTABLISHED</text>
<text class="quiet end" x="80.9" y="162.6">0.003000</text>
<g class="arrived"><title>SYN seq 0, sent at 0.000000 s, received at 0.001000 s</title>
<path class="way" d="M196.8 77.0L706.8 104.2"/>
<path class="head" d="M706.8 104.2L696.5 108.2L697.0 99.2z"/>
</g>
<g class="arrived"><title>SYN,ACK seq 0 ack 1, sent at 0.002000 s, received at 0.003000 s</title>
<path class="way" d="M706.8 131.4L196.8 158.6"/>
<path class="head" d="M196.8 158.6L206.5 153.6L207.0 162.6z"/>
</g>
<g class="arrived">
<rect class="paper" x="203.8" y="62.0" width="69.2" height="13"/>
<text class="label start" x="205.8" y="72.0">SYN seq 0</text>
</g>
<g class="arrived">
<rect class="paper" x="558.0" y="116.4" width="141.8" height="13"/>
<text class="label end" x="697.8" y="126.4">SYN,ACK seq 0 ack 1</text>
</g>
</svg>"#;
    assert_eq!(
        body.lines().collect::<Vec<_>>(),
        expected.lines().skip(1).collect::<Vec<_>>()
    );
}

#[test]
fn lost_segment_has_a_cross_and_timers_have_brackets() {
    let lines = drawn();
    let about = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
    assert_eq!(
        (
            about("class=\"lost\""),
            about("l10 10m0 -10l-10 10"),
            about(">drop</text>")
        ),
        (2, 1, 1),
        "{lines:#?}"
    );
    assert_eq!(
        (
            about("class=\"bracket\""),
            about(">RTO expired, 0.200 s</text>"),
            about(">2 MSL expired, 2.000 s</text>")
        ),
        (2, 1, 1)
    );
    assert_eq!(
        (
            about("<rect class=\"TIME-WAIT\""),
            about(">2.000 s later</text>")
        ),
        (1, 1)
    );
}

#[test]
fn picture_told_is_its_summary() {
    let told = "5 segments in 2.207 s, 1 of them lost. States of A: CLOSED, SYN-SENT, ESTABLISHED, FIN-WAIT-1, TIME-WAIT, CLOSED. \
                States of B: LISTEN, SYN-RECEIVED, CLOSE-WAIT, LAST-ACK.";
    assert!(
        drawn().iter().any(|line| line.contains(told)),
        "{:#?}",
        drawn()
    );
}

#[test]
fn written_things_do_not_overlap() {
    let place = |line: &String| {
        let (_, rest) = line
            .strip_prefix("<rect class=\"paper\" x=\"")?
            .split_once("\" y=\"")?;
        let (y, _) = rest.split_once('"')?;
        y.parse::<f64>().ok()
    };
    let mut heights: Vec<f64> = drawn().iter().filter_map(place).collect();
    heights.sort_by(f64::total_cmp);
    assert!(
        heights.len() > 6 && heights.windows(2).all(|pair| pair[1] - pair[0] > 9.0),
        "{heights:?}"
    );
}

#[test]
fn signs_of_xml_in_a_text_are_named() {
    assert_eq!(
        escape("<SEQ=1> & \"x\""),
        "&lt;SEQ=1&gt; &amp; &quot;x&quot;"
    );
}
