//! Every table that the programs print: aligned within the terminal's width for people,
//! tab-separated and whole for a pipe.

use clap::builder::UnknownArgumentValueParser;
use clap::builder::styling::Style;
use clap::{ArgAction, Args};
use rustix::fd::AsFd;
use rustix::termios::tcgetwinsize;
use std::fmt::Write as _;
use std::io::{IsTerminal, stderr, stdout};
use textwrap::core::display_width;
use textwrap::{Options, WordSeparator, WordSplitter, wrap};

/// Columns of a terminal that does not tell how many it has.
const WIDTH: usize = 80;
/// Less room than this on a line is no use to a text.
const LEAST: usize = 24;
/// Blanks between columns.
const GAP: usize = 2;
/// Blanks before what is below a row's line.
const INDENT: &str = "    ";
const HEADING: Style = Style::new().bold();

/// Choose the format what is a table.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TableFormat {
    /// A table on a terminal, tab-separated lines on a pipe
    #[default]
    Text,
    /// A JSON array
    Json,
}

/// The flags of a command that prints a table.
#[derive(Args, Clone, Debug)]
pub struct TableArguments {
    /// Choose the format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: TableFormat,
    /// What this was called before.
    #[arg(long, hide = true, action = ArgAction::SetTrue, value_parser = UnknownArgumentValueParser::suggest_arg("--format json"))]
    json: Option<String>,
}

/// What a terminal does with a column that is too wide for it. [`Cut`](Fit::Cut) and
/// [`Wrap`](Fit::Wrap) come after those that are whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// It goes below the row's line, after its heading.
    Whole,
    /// The same, aligned to the right.
    Number,
    /// It ends in an ellipsis, or is left out where next to nothing of it would be seen.
    Cut,
    /// It is wrapped. This is the last column of the line.
    Wrap,
    /// It always stands below the row's line, after its heading.
    Below,
}

/// A text and how a terminal shows it.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in this style.
    pub fn styled(text: impl Into<String>, style: Style) -> Cell {
        Cell {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::new())
    }
}

/// A table. Headings are shown on a terminal only; a column without one has nothing to say there.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    columns: [(&'static str, Fit); N],
    rows: Vec<[Cell; N]>,
}

/// The columns of a terminal's line, with their widths, and those that stand below it.
struct Layout {
    line: Vec<(usize, usize)>,
    below: Vec<usize>,
}

impl<const N: usize> Table<N> {
    /// An empty table with these headings.
    pub const fn new(columns: [(&'static str, Fit); N]) -> Table<N> {
        Table {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn add(&mut self, row: [Cell; N]) {
        self.rows.push(row);
    }

    /// For stdout, as it is: a pipe gets no headings.
    pub fn on_stdout(&self) -> String {
        if stdout().is_terminal() {
            self.aligned(width(stdout()))
        } else {
            self.tabbed(false)
        }
    }

    /// For stderr, as it is: a log that is not cut into columns keeps the headings.
    pub fn on_stderr(&self) -> String {
        if stderr().is_terminal() {
            self.aligned(width(stderr()))
        } else {
            self.tabbed(true)
        }
    }

    /// A line for each row, with a tab between columns, and nothing cut.
    pub fn tabbed(&self, headings: bool) -> String {
        let line =
            |cells: [&str; N]| cells.map(|text| text.replace(['\t', '\n'], " ")).join("\t") + "\n";
        let head = headings.then(|| line(self.columns.map(|(heading, _)| heading)));
        head.into_iter()
            .chain(
                self.rows
                    .iter()
                    .map(|row| line(row.each_ref().map(|cell| cell.text.as_str()))),
            )
            .collect()
    }

    /// Aligned, in lines of at most `width` columns unless one word is longer.
    pub fn aligned(&self, width: usize) -> String {
        let layout = self.layout(width);
        let mut text = String::new();
        let headings = self
            .columns
            .map(|(heading, _)| Cell::styled(heading, HEADING));
        if layout
            .line
            .iter()
            .any(|(column, _)| !headings[*column].text.is_empty())
        {
            self.line(&mut text, &layout, &headings);
        }
        for row in &self.rows {
            self.line(&mut text, &layout, row);
            for column in &layout.below {
                below(
                    &mut text,
                    self.columns[*column].0,
                    &row[*column].text,
                    width,
                );
            }
        }
        text
    }

    fn layout(&self, width: usize) -> Layout {
        let mut layout = Layout {
            line: Vec::new(),
            below: Vec::new(),
        };
        let mut left = width;
        for (column, (heading, fit)) in self.columns.iter().enumerate() {
            let natural = self
                .rows
                .iter()
                .map(|row| display_width(&row[column].text))
                .chain([display_width(heading)])
                .max()
                .unwrap_or(0);
            let room = if layout.line.is_empty() {
                left
            } else {
                left.saturating_sub(GAP)
            };
            let taken = match fit {
                Fit::Below => None,
                Fit::Whole | Fit::Number => {
                    Some(natural).filter(|natural| layout.line.is_empty() || *natural <= room)
                }
                Fit::Cut | Fit::Wrap => {
                    Some(natural.min(room)).filter(|taken| *taken == natural || *taken >= LEAST)
                }
            };
            match taken {
                Some(taken) => {
                    left = room.saturating_sub(taken);
                    layout.line.push((column, taken));
                }
                None if *fit == Fit::Cut => {}
                None => layout.below.push(column),
            }
        }
        layout
    }

    /// A row's line, and those on which its last column goes on.
    fn line(&self, text: &mut String, layout: &Layout, row: &[Cell; N]) {
        let mut line = String::new();
        let mut indent = 0;
        let mut rest = Vec::new();
        for (nth, (column, width)) in layout.line.iter().enumerate() {
            let Cell { text: cell, style } = &row[*column];
            let mut shown = match self.columns[*column].1 {
                Fit::Cut => vec![cut(cell, *width)],
                Fit::Wrap => wrapped(cell, *width),
                _ => vec![cell.clone()],
            };
            if nth > 0 {
                line.push_str(&" ".repeat(GAP));
                indent += GAP;
            }
            let first = if shown.is_empty() {
                String::new()
            } else {
                shown.remove(0)
            };
            let blanks = " ".repeat(width.saturating_sub(display_width(&first)));
            let _infallible = match self.columns[*column].1 {
                Fit::Number => write!(line, "{blanks}{style}{first}{style:#}"),
                _ => write!(line, "{style}{first}{style:#}{blanks}"),
            };
            rest = shown;
            indent += if rest.is_empty() { *width } else { 0 };
        }
        let _infallible = writeln!(text, "{}", line.trim_end());
        for more in rest {
            let _infallible = writeln!(text, "{:indent$}{more}", "");
        }
    }
}

/// A column below a row's line, after its heading.
fn below(text: &mut String, heading: &str, cell: &str, width: usize) {
    if cell.is_empty() {
        return;
    }
    let said = if heading.is_empty() {
        cell.to_owned()
    } else {
        format!("{heading}: {cell}")
    };
    for (nth, line) in wrapped(&said, width.saturating_sub(INDENT.len() + GAP))
        .iter()
        .enumerate()
    {
        let more = if nth > 0 { "  " } else { "" };
        let _infallible = writeln!(text, "{INDENT}{more}{line}");
    }
}

/// Lines of whole words: a path or a flag that is broken in two can no longer be pasted.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let options = Options::new(width.max(1)).break_words(false);
    let options = options
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    wrap(text, options)
        .into_iter()
        .map(|line| line.into_owned())
        .collect()
}

/// The beginning of a text that is wider than `width`, with an ellipsis.
fn cut(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    for c in text.chars() {
        if display_width(&shown) + display_width(c.encode_utf8(&mut [0; 4])) >= width {
            break;
        }
        shown.push(c);
    }
    format!("{}…", shown.trim_end())
}

/// How wide a terminal is: what COLUMNS says, else the terminal, else 80.
pub(super) fn width(terminal: impl AsFd) -> usize {
    let asked = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let told = || {
        tcgetwinsize(terminal)
            .ok()
            .map(|size| usize::from(size.ws_col))
    };
    asked
        .or_else(told)
        .filter(|columns| *columns > 0)
        .unwrap_or(WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [(&str, Fit); 5] = [
        ("name", Fit::Whole),
        ("n", Fit::Number),
        ("title", Fit::Cut),
        ("question", Fit::Cut),
        ("why", Fit::Below),
    ];

    fn table() -> Table<5> {
        let mut table = Table::new(COLUMNS);
        let title = "a title that is long enough to be cut";
        table.add([
            "syn-lost".into(),
            "7".into(),
            title.into(),
            "what then?".into(),
            "because\tit can".into(),
        ]);
        table.add([
            "fin".into(),
            "12".into(),
            "short".into(),
            "".into(),
            "".into(),
        ]);
        table
    }

    fn plain(text: &str) -> String {
        text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    }

    #[test]
    fn pipe_gets_a_line_for_each_row_with_nothing_cut_and_no_tab_inside_a_cell() {
        let rows = "syn-lost\t7\ta title that is long enough to be cut\twhat then?\tbecause it \
            can\nfin\t12\tshort\t\t\n";
        assert_eq!(table().tabbed(false), rows);
        assert_eq!(
            table().tabbed(true),
            format!("name\tn\ttitle\tquestion\twhy\n{rows}")
        );
    }

    #[test]
    fn terminal_cuts_titles_at_its_width_and_leaves_out_what_has_no_room() {
        let expected = "\
name       n  title
syn-lost   7  a title that is long eno…
    why: because\tit can
fin       12  short
";
        assert_eq!(plain(&table().aligned(39)), expected);
        assert!(
            plain(&table().aligned(120))
                .lines()
                .nth(1)
                .is_some_and(|line| line.ends_with("to be cut  what then?"))
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_word_is_lost() {
        let mut table = Table::new([
            ("state", Fit::Whole),
            ("peer", Fit::Whole),
            ("found", Fit::Wrap),
        ]);
        let found = "a sentence of many words that --goes-on for longer than any terminal is \
            wide, and then some more of it";
        table.add(["ESTABLISHED".into(), "10.77.0.2:7000".into(), found.into()]);
        for width in [22, 30, 40, 60, 80, 200] {
            let text = plain(&table.aligned(width));
            assert!(
                text.lines().all(|line| display_width(line) <= width),
                "{width}:\n{text}"
            );
            let words = text
                .split_whitespace()
                .filter(|word| found.split(' ').any(|known| known == *word))
                .count();
            assert!(
                words >= found.split(' ').count() && text.contains("10.77.0.2:7000"),
                "{width}:\n{text}"
            );
        }
        assert!(
            plain(&table.aligned(60))
                .lines()
                .nth(2)
                .is_some_and(|line| line.starts_with(&" ".repeat(29)))
        );
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        assert_eq!(cut("四次挥手：四个报文段", 9), "四次挥手…");
        assert_eq!(cut("四次", 4), "四次");
    }
}
