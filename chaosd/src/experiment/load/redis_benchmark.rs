//! redis-benchmark (and valkey's): its reports, `-q`, and `--csv` (`src/redis-benchmark.c`, versions
//! 3 to 8). Each test's figures bear its name, as in `GET requests/s`.

use super::{
    figures::Figures,
    text::Text,
    units::{millis, number},
};
use crate::experiment::record::Figure;

const SUFFIX: &str = " requests per second";
/// The columns of `--csv`; the first is the test's name.
const CSV: &str = "\"test\",\"rps\"";

pub(super) fn is(text: &Text) -> bool {
    text.has_line(CSV) || text.lines().any(|line| line.contains(SUFFIX))
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    let mut columns: Vec<&str> = Vec::new();
    let mut title: Option<&str> = None;
    // The names in the line before the latencies.
    let mut heads: Option<Vec<&str>> = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with(CSV) {
            columns = cells(line).unwrap_or_default();
        } else if let Some(name) = line.strip_prefix("====== ") {
            title = name.strip_suffix(" ======");
            heads = None;
        } else if !columns.is_empty()
            && let Some(row) = cells(line)
        {
            of_row(&mut figures, &columns, &row);
        } else if let Some(heads) = heads.take()
            && let Some(title) = title
        {
            figures.about(title);
            for (name, value) in heads.iter().zip(line.split_whitespace()) {
                statistic(&mut figures, name, number(value));
            }
        } else if line.starts_with("avg ") && line.ends_with(" max") {
            heads = Some(line.split_whitespace().collect());
        } else if let Some((before, after)) = line.split_once(SUFFIX) {
            // `GET: 23364.49 requests per second, p50=0.383 msec`, or within the report of a test.
            let (name, rate) = before.rsplit_once(' ').unwrap_or(("", before));
            let name = match name.strip_suffix(':') {
                Some("throughput summary") | None => title,
                Some(name) => Some(name),
            };
            if let Some(name) = name {
                figures.about(name);
                figures.rate("requests/s", number(rate));
                let median = after
                    .strip_prefix(", p50=")
                    .map(|rest| rest.replace(' ', ""));
                figures.latency("p50", median.as_deref().and_then(millis));
            }
        }
    }
    figures.done()
}

fn of_row(figures: &mut Figures, columns: &[&str], row: &[&str]) {
    if row.len() != columns.len() {
        return;
    }
    figures.about(row[0]);
    for (column, value) in columns.iter().zip(row).skip(1) {
        match column.strip_suffix("_latency_ms") {
            Some(name) => statistic(figures, name, number(value)),
            None if *column == "rps" => figures.rate("requests/s", number(value)),
            None => {}
        }
    }
}

fn statistic(figures: &mut Figures, name: &str, ms: Option<f64>) {
    match name {
        "avg" => figures.latency("mean", ms),
        "min" | "max" => figures.latency(name, ms),
        _ => {
            if let Some(percent) = name.strip_prefix('p').and_then(number) {
                figures.percentile(percent, ms);
            }
        }
    }
}

/// The cells of `"a","b"`.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.split("\",\"").collect())
}
