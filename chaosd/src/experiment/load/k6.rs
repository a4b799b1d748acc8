//! k6: the summary at the end of a test, of version 1 and later (`TOTAL RESULTS`, and of those parts
//! no other) and of those before (`--summary-mode=legacy`), and its JSON (`--summary-export`, the
//! data of `handleSummary`) where that goes to standard output.

use serde_json::Value;

use super::{
    figures::Figures,
    text::Text,
    units::{at, bytes, millis, number},
};
use crate::experiment::record::Figure;

/// k6 counts bytes in thousands.
const KILO: f64 = 1000.0;
/// Names of k6 and ours.
const STATISTICS: [(&str, &str); 4] = [
    ("min", "min"),
    ("avg", "mean"),
    ("med", "p50"),
    ("max", "max"),
];
/// In the order of a report.
const KEYS: [&str; 8] = [
    "min", "avg", "med", "p(90)", "p(95)", "p(99)", "p(99.9)", "max",
];

pub(super) fn is(text: &Text) -> bool {
    ["http_reqs.", "iterations.", "iteration_duration."]
        .iter()
        .any(|begin| text.has_line(begin))
        || text.documents().iter().any(is_document)
}

fn is_document(document: &Value) -> bool {
    let metrics = &document["metrics"];
    metrics.is_object()
        && (metrics.get("iterations").is_some() || metrics.get("http_reqs").is_some())
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    if let Some(document) = text.documents().iter().rfind(|found| is_document(found)) {
        return of_document(document);
    }
    let mut figures = Figures::default();
    for (name, value) in metrics(text) {
        let words: Vec<&str> = value.split_whitespace().collect();
        metric(&mut figures, name, &words);
    }
    figures.done()
}

/// Names and values of the lines `name.....: value` that are about the test as a whole.
fn metrics(text: &Text) -> Vec<(&str, &str)> {
    let is_head = |line: &str| line.trim_start().starts_with('█');
    let is_total = |line: &str| is_head(line) && line.trim_end().ends_with("TOTAL RESULTS");
    let is_modern = text.lines().any(|line| {
        let line = line.trim();
        is_total(line) || matches!(line, "HTTP" | "EXECUTION" | "NETWORK" | "CUSTOM")
    });
    let lines: Vec<&str> = if is_modern {
        // A part of the new form whose beginning is lost may be a group's or a scenario's.
        text.lines()
            .skip_while(|line| !is_total(line))
            .skip(1)
            .take_while(|line| !is_head(line))
            .collect()
    } else {
        text.lines().collect()
    };
    let found: Vec<_> = lines.into_iter().filter_map(name_and_value).collect();
    let is_whole = found.iter().any(|(name, _)| *name == "iterations");
    if is_modern || is_whole {
        found
    } else {
        Vec::new()
    }
}

fn name_and_value(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim().split_once(':')?;
    let bare = name.trim_end_matches('.');
    let is_name = bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (is_name && bare.len() < name.len()).then_some((bare, value.trim()))
}

fn metric(figures: &mut Figures, name: &str, words: &[&str]) {
    let per_second = |word: &&str| word.strip_suffix("/s").and_then(number);
    match (name, words) {
        ("http_reqs", [n, rate]) => {
            figures.count("requests", number(n));
            figures.rate("requests/s", per_second(rate));
        }
        ("iterations", [_, rate]) => figures.rate("iterations/s", per_second(rate)),
        ("dropped_iterations", [n, _]) => figures.count("iterations dropped", number(n)),
        // What is counted is the failures: `0.00% 0 out of 45`, before version 1 `0.00% ✓ 0 ✗ 180`.
        ("http_req_failed", [_, n, "out", "of", _] | [_, "✓", n, ..]) => {
            figures.count("errors", number(n));
        }
        ("checks_failed", [_, n, "out", "of", _]) | ("checks", [_, "✓", _, "✗", n]) => {
            figures.count("checks failed", number(n));
        }
        ("data_received", [_, _, rate, unit]) => {
            figures.throughput("received", data(rate, unit));
        }
        ("data_sent", [_, _, rate, unit]) => figures.throughput("sent", data(rate, unit)),
        ("http_req_duration", _) => {
            for (statistic, value) in words.iter().filter_map(|word| word.split_once('=')) {
                latency(figures, statistic, millis(value));
            }
        }
        _ => {}
    }
}

/// `31 kB/s`, in two words.
fn data(rate: &str, unit: &str) -> Option<f64> {
    bytes(&format!("{rate}{}", unit.strip_suffix("/s")?), KILO)
}

fn latency(figures: &mut Figures, statistic: &str, ms: Option<f64>) {
    if let Some((_, name)) = STATISTICS.iter().find(|(theirs, _)| *theirs == statistic) {
        figures.latency(name, ms);
    }
    let percent = statistic
        .strip_prefix("p(")
        .and_then(|p| p.strip_suffix(')'));
    if let Some(percent) = percent.and_then(number) {
        figures.percentile(percent, ms);
    }
}

/// `--summary-export` puts the values into the metric, `handleSummary` under `values`. Times are in ms.
fn of_document(document: &Value) -> Vec<Figure> {
    let metric = |name: &str| {
        let metric = &document["metrics"][name];
        metric.get("values").unwrap_or(metric)
    };
    let mut figures = Figures::default();
    figures.count("requests", at(metric("http_reqs"), "count"));
    figures.rate("requests/s", at(metric("http_reqs"), "rate"));
    // A failed request passes the metric's question.
    figures.count("errors", at(metric("http_req_failed"), "passes"));
    for statistic in KEYS {
        latency(
            &mut figures,
            statistic,
            at(metric("http_req_duration"), statistic),
        );
    }
    figures.count("checks failed", at(metric("checks"), "fails"));
    figures.rate("iterations/s", at(metric("iterations"), "rate"));
    figures.count(
        "iterations dropped",
        at(metric("dropped_iterations"), "count"),
    );
    figures.throughput("received", at(metric("data_received"), "rate"));
    figures.throughput("sent", at(metric("data_sent"), "rate"));
    figures.done()
}
