//! locust: the tables at the end of a headless run, and `--json` (`locust/stats.py`, version 2).
//!
//! The same table is printed every two seconds; the one that counts is followed by that of the
//! percentiles.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    figures::Figures,
    text::Text,
    units::{at, number},
};
use crate::experiment::record::Figure;

const PERCENTILES: &str = "Response time percentiles";
/// As many entries as nobody's test has.
const MOST_ENTRIES: usize = 10_000;

pub(super) fn is(text: &Text) -> bool {
    text.has_line(PERCENTILES) || text.documents().iter().any(is_document)
}

fn is_document(document: &Value) -> bool {
    document.as_array().is_some_and(|entries| {
        let keys = ["num_requests", "num_failures", "response_times"];
        !entries.is_empty()
            && entries.len() <= MOST_ENTRIES
            && entries
                .iter()
                .all(|entry| keys.iter().all(|key| entry.get(key).is_some()))
    })
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    match text.documents().iter().rfind(|found| is_document(found)) {
        Some(document) => of_document(document.as_array().map_or(&[], Vec::as_slice)),
        None => of_tables(text),
    }
}

fn of_tables(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let Some(middle) = lines.iter().rposition(|line| line.starts_with(PERCENTILES)) else {
        return Vec::new();
    };
    let (before, after) = lines.split_at(middle);
    if let Some(sum) = before
        .iter()
        .rev()
        .find(|line| line.starts_with("Aggregated"))
    {
        sums(&mut figures, sum);
    }
    let head = after.iter().find(|line| line.starts_with("Type"));
    let values = after.iter().find(|line| line.starts_with("Aggregated"));
    if let (Some(head), Some(values)) = (head, values) {
        // `50% 66% ... 100%` over as many numbers.
        let percents = head
            .split_whitespace()
            .filter_map(|word| number(word.strip_suffix('%')?));
        for (percent, value) in percents.zip(values.split_whitespace().skip(1)) {
            figures.percentile(percent, number(value));
        }
    }
    figures.done()
}

/// `Aggregated 208 15(7.21%) | 44 41 62 44 | 60.67 4.38`
fn sums(figures: &mut Figures, line: &str) {
    let words: Vec<&str> = line
        .split_whitespace()
        .filter(|word| *word != "|")
        .collect();
    let [
        _,
        requests,
        failures,
        mean,
        min,
        max,
        _median,
        rate,
        failing,
    ] = words.as_slice()
    else {
        return;
    };
    let failures = failures.split('(').next().and_then(number);
    figures.count("requests", number(requests));
    figures.rate("requests/s", number(rate));
    figures.count("errors", failures);
    figures.rate("errors/s", number(failing));
    // Without a request all of them are 0.
    if number(requests).is_some_and(|n| n > 0.0) {
        figures.latency("min", number(min));
        figures.latency("mean", number(mean));
        figures.latency("max", number(max));
    }
}

fn of_document(entries: &[Value]) -> Vec<Figure> {
    let mut figures = Figures::default();
    let all = |key: &str| -> Option<Vec<f64>> { entries.iter().map(|e| at(e, key)).collect() };
    let sum = |key: &str| all(key).map(|values| values.iter().sum::<f64>());
    let least = |key: &str| all(key).and_then(|values| values.into_iter().reduce(f64::min));
    let most = |key: &str| all(key).and_then(|values| values.into_iter().reduce(f64::max));
    let requests = sum("num_requests");
    figures.count("requests", requests);
    let seconds = most("last_request_timestamp").zip(least("start_time"));
    let seconds = seconds
        .map(|(last, first)| last - first)
        .filter(|s| *s > 0.0);
    let per_second = |n: Option<f64>| Some(n? / seconds?);
    figures.rate("requests/s", per_second(requests));
    figures.count("errors", sum("num_failures"));
    figures.rate("errors/s", per_second(sum("num_failures")));
    // Some entries have no time, such as those of a mere event.
    let timed = requests
        .zip(sum("num_none_requests"))
        .map(|(all, none)| all - none);
    if let Some(timed) = timed.filter(|timed| *timed > 0.0) {
        figures.latency("min", least("min_response_time"));
        figures.latency("mean", sum("total_response_time").map(|sum| sum / timed));
        figures.latency("max", most("max_response_time"));
        for (percent, ms) in percentiles(entries, timed) {
            figures.percentile(percent, Some(ms));
        }
    }
    figures.done()
}

/// As locust takes them from its counts of rounded times (`calculate_response_time_percentile`).
fn percentiles(entries: &[Value], requests: f64) -> Vec<(f64, f64)> {
    let mut counts: BTreeMap<u64, f64> = BTreeMap::new();
    for (ms, n) in entries
        .iter()
        .filter_map(|e| e["response_times"].as_object())
        .flatten()
    {
        // A time that is no whole number, or a count that is none, and all is uncertain.
        let (Ok(ms), Some(n)) = (ms.parse(), n.as_f64()) else {
            return Vec::new();
        };
        *counts.entry(ms).or_default() += n;
    }
    let at = |percent: f64| {
        let below = (requests * percent / 100.0).floor();
        let mut left = requests;
        counts.iter().rev().find_map(|(ms, n)| {
            left -= n;
            (left <= below).then_some(*ms)
        })
    };
    [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99]
        .into_iter()
        .filter_map(|percent| {
            let ms = u32::try_from(at(percent)?).ok()?;
            Some((percent, f64::from(ms)))
        })
        .collect()
}
