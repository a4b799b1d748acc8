//! The table as it grows: a line for each row when it is done.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde_json::{Value, json};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// One line: what was asked, what became of it, and what should have.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub what: String,
    pub chaosd: String,
    /// What is measured beside it.
    pub beside: String,
    /// chaosd's figure as a multiple of what stands beside it, or of what the row says.
    pub ratio: Option<f64>,
    pub target: String,
    /// None: shown for comparison alone.
    pub holds: Option<bool>,
    /// How it was measured, or why it is missed.
    pub note: String,
    /// The figures, for programs.
    pub figures: Value,
}

#[derive(Debug)]
pub struct Table {
    json: bool,
    /// What is measured beside chaosd, and its name for programs.
    beside: [&'static str; 2],
    rows: Vec<Row>,
}

impl Table {
    pub fn new(json: bool, beside: [&'static str; 2]) -> Self {
        let table = Self {
            json,
            beside,
            rows: Vec::new(),
        };
        table.say(&format!(
            "{BOLD}{:<40} {:<25} {:<25} {:>6}  {:<16} {}{BOLD:#}",
            "asked", "chaosd", beside[0], "ratio", "target", ""
        ));
        table
    }

    fn say(&self, line: &str) {
        if !self.json {
            // A reader that has gone must not end the run before it has cleaned up.
            drop(writeln!(anstream::stdout().lock(), "{line}"));
        }
    }

    /// What is going on, beside the results.
    pub fn progress(what: &str) {
        anstream::eprintln!("{DIM}  {what} ...{DIM:#}");
    }

    pub fn push(&mut self, row: Row) {
        let ratio = row
            .ratio
            .map_or_else(|| "-".to_owned(), |r| format!("{r:.2}"));
        let verdict = match row.holds {
            None => format!("{DIM}shown{DIM:#}"),
            Some(true) => format!("{GOOD}holds{GOOD:#}"),
            Some(false) => format!("{BAD}MISSED{BAD:#}"),
        };
        self.say(&format!(
            "{:<40} {:<25} {:<25} {ratio:>6}  {:<16} {verdict}",
            row.what, row.chaosd, row.beside, row.target
        ));
        if !row.note.is_empty() {
            self.say(&format!("{DIM}    {}{DIM:#}", row.note));
        }
        self.rows.push(row);
    }

    /// The end of it: true when no row is missed.
    pub fn finish(self) -> Result<bool> {
        let holds = self.rows.iter().all(|row| row.holds != Some(false));
        if self.json {
            let rows: Vec<_> = self
                .rows
                .iter()
                .map(|row| {
                    json!({
                        "asked": row.what, "chaosd": row.chaosd, self.beside[1]: row.beside,
                        "ratio": row.ratio, "target": row.target, "holds": row.holds,
                        "note": row.note, "figures": row.figures,
                    })
                })
                .collect();
            let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            let all = json!({"kernel": kernel.trim(), "holds": holds, "rows": rows});
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Ok(holds)
    }
}
