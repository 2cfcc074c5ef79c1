//! The rules that can be removed, as a table.

use comfy_table::{ContentArrangement, Table, presets};
use tcpx_proto::preset::{PRESETS, Preset};

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

/// For the README, which a test compares with it.
pub fn markdown() -> String {
    let row = |preset: &Preset| {
        let Preset { name, removes, requirement, breaks, experiment, .. } = preset;
        format!("| `{name}` | {removes} | {requirement} | {breaks} | `{experiment}` |\n")
    };
    let head = "| `--without` | the rule | of | what breaks | experiment |\n|---|---|---|---|---|\n";
    head.to_owned() + &PRESETS.iter().map(row).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_has_the_table_as_it_is() {
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&markdown()), "put the output of `tcpx-lab rules --markdown` into README.md");
    }
}
