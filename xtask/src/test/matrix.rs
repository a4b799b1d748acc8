//! The results under several kernels side by side: test by kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::outcome::{Counts, Key, Outcome, Results};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const AMBER: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
/// Room for `FAILED` and a gap.
const CELL: usize = 9;

/// The results under one kernel.
#[derive(Debug)]
pub struct Column {
    /// As `--kernel` names it.
    pub name: String,
    pub results: Results,
    pub seconds: u64,
}

/// The table, the totals, and the reasons of skips: with escape sequences, which the stream that
/// it is printed to drops where they do not belong.
pub fn table(columns: &[Column], all_rows: bool) -> String {
    let mut text = String::new();
    let keys = keys(columns);
    let rows: Vec<_> = keys
        .iter()
        .filter(|key| all_rows || !is_good_everywhere(columns, key))
        .collect();
    let width = rows
        .iter()
        .map(|key| label(key).chars().count())
        .max()
        .unwrap_or_default()
        .max("seconds".len());
    let mut line = |label: &str, style: Style, cells: Vec<(Style, String)>| {
        let _ = write!(text, "{style}{label:<width$}{style:#}");
        // The room before a cell belongs to the one on its left, so that no line ends in blanks.
        let mut room = 2;
        for (style, cell) in cells {
            let _ = write!(text, "{:room$}{style}{cell}{style:#}", "");
            room = (CELL + 2).saturating_sub(cell.len());
        }
        text.push('\n');
    };
    let head = columns.iter().map(|c| (BOLD, c.name.clone())).collect();
    line("test", BOLD, head);
    for key in &rows {
        let cells = columns
            .iter()
            .map(|column| cell(column.results.outcomes.get(*key)))
            .map(|(style, word)| (style, word.to_owned()))
            .collect();
        line(&label(key), Style::new(), cells);
    }
    let mut total = |name: &str, style: Style, count: fn(Counts) -> usize| {
        let cells = columns
            .iter()
            .map(|column| count(column.results.counts()))
            .map(|n| (if n == 0 { Style::new() } else { style }, n.to_string()))
            .collect();
        line(name, BOLD, cells);
    };
    total("passed", GOOD, |counts| counts.passed);
    total("failed", BAD, |counts| counts.failed);
    total("skipped", AMBER, |counts| counts.skipped);
    let seconds = columns
        .iter()
        .map(|column| (Style::new(), column.seconds.to_string()))
        .collect();
    line("seconds", BOLD, seconds);
    text.push_str(&skips(columns));
    for column in columns {
        for key in &column.results.again {
            let _ = writeln!(
                text,
                "{AMBER}{}{AMBER:#}: passed when it ran again, alone: {}",
                column.name,
                label(key)
            );
        }
        for trouble in &column.results.troubles {
            let _ = writeln!(text, "{BAD}{}{BAD:#}: {trouble}", column.name);
        }
    }
    text
}

/// The tests that were skipped, by reason.
fn skips(columns: &[Column]) -> String {
    let mut reasons: BTreeMap<&str, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for column in columns {
        for (key, outcome) in &column.results.outcomes {
            if let Outcome::Skipped(reason) = outcome {
                let tests = reasons.entry(reason).or_default();
                tests.entry(label(key)).or_default().push(&column.name);
            }
        }
    }
    let mut text = String::new();
    for (reason, tests) in reasons {
        let _ = writeln!(text, "{AMBER}skipped{AMBER:#}: {reason}");
        for (test, kernels) in tests {
            let _ = writeln!(text, "  {test} ({})", kernels.join(", "));
        }
    }
    text
}

/// Everything, as JSON.
pub fn json(columns: &[Column]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        kernels: Vec<Kernel<'a>>,
        tests: Vec<Test<'a>>,
    }
    #[derive(Serialize)]
    struct Kernel<'a> {
        #[serde(rename = "kernel")]
        name: &'a str,
        #[serde(flatten)]
        counts: Counts,
        seconds: u64,
        troubles: &'a [String],
        passed_again: Vec<String>,
    }
    #[derive(Serialize)]
    struct Test<'a> {
        binary: String,
        #[serde(rename = "test")]
        name: String,
        results: BTreeMap<&'a str, &'a str>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        reasons: BTreeMap<&'a str, &'a str>,
    }
    let kernels = columns
        .iter()
        .map(|column| Kernel {
            name: &column.name,
            counts: column.results.counts(),
            seconds: column.seconds,
            troubles: &column.results.troubles,
            passed_again: column.results.again.iter().map(label).collect(),
        })
        .collect();
    let tests = keys(columns)
        .into_iter()
        .map(|key| {
            let mut results = BTreeMap::new();
            let mut reasons = BTreeMap::new();
            for column in columns {
                let outcome = column.results.outcomes.get(&key);
                results.insert(column.name.as_str(), cell(outcome).1);
                if let Some(Outcome::Skipped(reason)) = outcome {
                    reasons.insert(column.name.as_str(), reason.as_str());
                }
            }
            let (binary, name) = key;
            Test {
                binary,
                name,
                results,
                reasons,
            }
        })
        .collect();
    serde_json::to_string_pretty(&Report { kernels, tests })
}

fn keys(columns: &[Column]) -> BTreeSet<Key> {
    columns
        .iter()
        .flat_map(|column| column.results.outcomes.keys().cloned())
        .collect()
}

fn is_good_everywhere(columns: &[Column], key: &Key) -> bool {
    columns
        .iter()
        .all(|column| column.results.outcomes.get(key) == Some(&Outcome::Passed))
}

fn label((binary, test): &Key) -> String {
    format!("{binary}: {test}")
}

fn cell(outcome: Option<&Outcome>) -> (Style, &'static str) {
    match outcome {
        Some(Outcome::Passed) => (GOOD, "ok"),
        Some(Outcome::Failed) => (BAD, "FAILED"),
        Some(Outcome::Skipped(_)) => (AMBER, "skip"),
        None => (Style::new(), "-"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Column, json, table};
    use crate::test::outcome::{Outcome, Results};

    fn column(name: &str, outcomes: &[(&str, Outcome)]) -> Column {
        let mut results = Results::default();
        for (test, outcome) in outcomes {
            let key = ("t".to_owned(), (*test).to_owned());
            results.outcomes.insert(key, outcome.clone());
        }
        Column {
            name: name.to_owned(),
            results,
            seconds: 7,
        }
    }

    fn two() -> [Column; 2] {
        let skipped = Outcome::Skipped("no tcx".to_owned());
        let good = ("good", Outcome::Passed);
        [
            column(
                "host",
                &[good.clone(), ("a", Outcome::Passed), ("b", skipped)],
            ),
            column("6.1", &[good, ("a", Outcome::Failed)]),
        ]
    }

    #[test]
    fn what_is_not_good_everywhere_is_shown_with_totals_and_reasons() {
        let plain = anstream::adapter::strip_str(&table(&two(), false)).to_string();
        let expected = "\
test     host       6.1
t: a     ok         FAILED
t: b     skip       -
passed   2          1
failed   0          1
skipped  1          0
seconds  7          7
skipped: no tcx
  t: b (host)
";
        assert_eq!(plain, expected);
        assert!(table(&two(), true).contains("t: good"));
    }

    #[test]
    fn a_program_reads_the_same() -> serde_json::Result<()> {
        let read: serde_json::Value = serde_json::from_str(&json(&two())?)?;
        assert_eq!(read["kernels"][1]["failed"], 1);
        assert_eq!(read["tests"][0]["results"]["6.1"], "FAILED");
        assert_eq!(read["tests"][1]["reasons"]["host"], "no tcx");
        Ok(())
    }
}
