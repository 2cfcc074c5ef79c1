//! Configurations out of bytes: a profile, small buffers, and any of the programs' options.

use crate::bytes::Bytes;
use tcpx_proto::config::{Config, Profile};
use tcpx_proto::knob::{Effect, KNOBS};
use tcpx_proto::lexer::Word;
use tcpx_proto::preset::PRESETS;

/// Buffers, bytes.
const BUFFERS: [usize; 8] = [1, 100, 1000, 2920, 5000, 16_384, 65_535, 200_000];
const MTUS: [u16; 8] = [1500, 1500, 1500, 576, 68, 128, 9000, 1400];
/// How many idle connections keep whole records.
const WHOLE: [usize; 3] = [0, 1, 3];
/// The most connections of a stack.
const CONNECTIONS: usize = 12;
/// Values for options; those that an option does not take change nothing.
const VALUES: [&str; 16] = [
    "0", "1", "2", "3", "10", "255", "1ms", "40ms", "1s", "30s", "1h", "365d", "88", "536", "1400",
    "20k",
];

/// A configuration, and whether a rule was removed from it.
pub(super) fn config(bytes: &mut Bytes<'_>) -> (Config, bool) {
    let mut config = Profile::ALL[bytes.below(Profile::ALL.len())].config();
    config.max_connections = CONNECTIONS;
    let sizes = bytes.byte();
    config.conn.receive_buffer = BUFFERS[usize::from(sizes >> 4) % BUFFERS.len()];
    config.conn.send_buffer = BUFFERS[usize::from(sizes) % BUFFERS.len()];
    let more = bytes.byte();
    config.conn.mtu = MTUS[usize::from(more >> 4) % MTUS.len()];
    // Compact records give back memory that whole ones keep.
    let scarce = more & 8 != 0;
    config.whole_records = if scarce {
        usize::MAX
    } else {
        WHOLE[usize::from(sizes) % WHOLE.len()]
    };
    config.max_memory = if scarce { 30_000 } else { 1 << 24 };
    let mut removed = false;
    for _ in 0..more & 7 {
        removed |= knob(&mut config, bytes);
    }
    (config, removed)
}

/// Sets one option; whether that removed a rule.
fn knob(config: &mut Config, bytes: &mut Bytes<'_>) -> bool {
    let knob = &KNOBS[bytes.below(KNOBS.len())];
    let value = bytes.byte();
    match knob.effect {
        Effect::Switch(set) => set(config),
        Effect::Choice(choices) => (choices[usize::from(value) % choices.len()].set)(config),
        Effect::Value { set, .. } => {
            let text = VALUES[usize::from(value) % VALUES.len()];
            let _refused = set(config, Word::whole(text));
        }
        // Its faults are for the gate, which is not here.
        Effect::Without => {
            PRESETS[usize::from(value) % PRESETS.len()].apply(config, &mut Vec::new());
        }
        Effect::Profile | Effect::Shorthand(_) | Effect::ThirdAck | Effect::Fault => {}
    }
    matches!(knob.effect, Effect::Without)
}
