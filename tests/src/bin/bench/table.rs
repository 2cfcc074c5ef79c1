//! What was measured, as a table of Markdown: readable on a terminal, too.

use std::fmt::{self, Display, Formatter};

/// One work, done by several in turn, the first of which the others are compared with.
pub(crate) struct Table {
    /// What is done, and the unit.
    pub(crate) title: String,
    /// The fewer the better.
    pub(crate) less_is_better: bool,
    rows: Vec<(String, Vec<f64>)>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, less_is_better: bool) -> Table {
        Table {
            title: title.into(),
            less_is_better,
            rows: Vec::new(),
        }
    }

    /// Another result of this one. All are measured in turn, so that the machine's moods meet all
    /// of them.
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.rows.push((name.to_owned(), vec![value])),
        }
    }

    /// The least, the median and the greatest of ratios to the first row, each within one round.
    fn ratio(&self, values: &[f64]) -> Option<[f64; 3]> {
        let (_, first) = self.rows.first()?;
        let better = |(value, first): (&f64, &f64)| {
            if self.less_is_better {
                first / value
            } else {
                value / first
            }
        };
        summary(&values.iter().zip(first).map(better).collect::<Vec<_>>())
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let less = if self.less_is_better {
            " (less is better)"
        } else {
            ""
        };
        writeln!(f, "### {}{less}\n", self.title)?;
        let width = self.rows.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        writeln!(
            f,
            "| {:width$} |       min |    median |       max | ratio | ratio, min to max |",
            ""
        )?;
        writeln!(
            f,
            "|-{:-<width$}-|----------:|----------:|----------:|------:|------------------:|",
            ""
        )?;
        for (name, values) in &self.rows {
            let Some([min, median, max]) = summary(values) else {
                continue;
            };
            let [low, ratio, high] = self.ratio(values).unwrap_or([f64::NAN; 3]);
            writeln!(
                f,
                "| {name:width$} | {:>9} | {:>9} | {:>9} | {ratio:>5.2} | {:>17} |",
                figure(min),
                figure(median),
                figure(max),
                format!("{low:.2} to {high:.2}")
            )?;
        }
        Ok(())
    }
}

/// With as many digits as say something.
fn figure(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// The least, the median and the greatest.
fn summary(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some([
        *sorted.first()?,
        *sorted.get(sorted.len() / 2)?,
        *sorted.last()?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut table = Table::new("work, 1/s", false);
        for (first, other) in [(100.0, 200.0), (50.0, 100.0), (80.0, 240.0)] {
            table.add("kernel", first);
            table.add("tcpx", other);
        }
        let text = table.to_string();
        assert!(
            text.contains(
                "| tcpx   |       100 |       200 |       240 |  2.00 |      2.00 to 3.00 |"
            ),
            "{text}"
        );
        assert_eq!(table.ratio(&[1.0, 1.0]), Some([0.01, 0.02, 0.02]));
        table.less_is_better = true;
        assert!(
            table.to_string().contains("|  0.50 |      0.33 to 0.50 |"),
            "{table}"
        );
    }
}
