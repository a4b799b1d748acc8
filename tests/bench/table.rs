//! Rows of figures against limits.

use std::fmt;

use crate::meter::Cost;

/// A table under way.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    cost: Cost,
    ratio: f64,
    limit: Option<f64>,
}

impl Table {
    /// A cost as a multiple of the empty program; `None`: no limit, for comparison alone.
    pub fn cost(&mut self, what: impl Into<String>, cost: Cost, limit: Option<f64>) {
        self.rows.push(Row {
            what: what.into(),
            cost,
            ratio: cost.ratio(),
            limit,
        });
    }

    /// A cost as a multiple of another.
    pub fn against(&mut self, what: impl Into<String>, cost: Cost, one: Cost, limit: f64) {
        let ratio = cost.ratio() / one.ratio();
        self.rows.push(Row {
            what: what.into(),
            cost,
            ratio,
            limit: Some(limit),
        });
    }

    /// True when every ratio is within its limit.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(Row::holds)
    }
}

impl Row {
    fn holds(&self) -> bool {
        self.limit.is_none_or(|limit| self.ratio <= limit)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|r| r.what.len()).max().unwrap_or(0);
        writeln!(
            f,
            "{:width$}  {:>8} {:>8} {:>8} {:>7} {:>7}",
            "", "min ns", "median", "empty", "ratio", "limit"
        )?;
        for row in &self.rows {
            let limit = row.limit.map_or_else(|| "-".into(), |l| format!("{l:.1}"));
            let verdict = match (row.limit, row.holds()) {
                (None, _) => "",
                (_, true) => "holds",
                (_, false) => "MISSED",
            };
            writeln!(
                f,
                "{:width$}  {:>8.1} {:>8.1} {:>8.1} {:>7.2} {limit:>7}  {verdict}",
                row.what, row.cost.min_ns, row.cost.median_ns, row.cost.empty_ns, row.ratio
            )?;
        }
        Ok(())
    }
}
