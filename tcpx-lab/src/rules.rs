//! The rules that can be removed, as a table.

use comfy_table::{ContentArrangement, Table, presets};
use tcpx_proto::preset::PRESETS;

/// For a terminal.
pub fn table() -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["--without", "the rule", "of", "what breaks", "experiment"]);
    for preset in PRESETS {
        table.add_row([preset.name, preset.removes, preset.requirement, preset.breaks, preset.experiment]);
    }
    table.to_string()
}
