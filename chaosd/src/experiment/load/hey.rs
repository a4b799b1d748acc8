//! hey: the template of its `requester/print.go`.

use super::{figures::Figures, text::Text, units::number};
use crate::experiment::record::Figure;

const MS_PER_S: f64 = 1e3;
/// `Total:` is rounded to four decimals.
const ROUNDED: f64 = 0.5e-4;

pub(super) fn is(text: &Text) -> bool {
    text.has_line("Requests/sec:") && text.has_line("Slowest:") && text.has_line("Fastest:")
}

/// Which list a line belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Summary,
    Latency,
    Codes,
    Errors,
    Other,
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    let mut part = Part::Other;
    let (mut total, mut rate) = (None, None);
    let mut fastest_and_slowest = [None; 2];
    let (mut responses, mut errors) = (0.0, 0.0);
    for line in text.lines() {
        let line = line.trim();
        part = match line {
            "Summary:" => Part::Summary,
            "Latency distribution:" => Part::Latency,
            "Status code distribution:" => Part::Codes,
            "Error distribution:" => Part::Errors,
            _ if line.ends_with("histogram:") || line.starts_with("Details ") => Part::Other,
            _ => part,
        };
        match (part, line.split_once(char::is_whitespace)) {
            (Part::Summary, Some((key, value))) => {
                let value = value.trim();
                let seconds = value.strip_suffix(" secs").and_then(number);
                let ms = seconds.map(|seconds| seconds * MS_PER_S);
                match key {
                    "Total:" => total = seconds,
                    "Slowest:" => fastest_and_slowest[1] = ms,
                    "Fastest:" => fastest_and_slowest[0] = ms,
                    // Without a response there is no mean, and the others are 0.
                    "Average:" if ms.is_some() => {
                        figures.latency("mean", ms);
                        figures.latency("min", fastest_and_slowest[0]);
                        figures.latency("max", fastest_and_slowest[1]);
                    }
                    "Requests/sec:" => {
                        rate = number(value);
                        figures.rate("requests/s", rate);
                    }
                    // `Total data:`
                    "Total" => {
                        let bytes = value.strip_prefix("data:").map(str::trim);
                        let bytes = bytes.and_then(|bytes| number(bytes.strip_suffix(" bytes")?));
                        figures.throughput("received", share(bytes, total));
                    }
                    _ => {}
                }
            }
            (Part::Latency, Some((percent, time))) => {
                let time = time
                    .strip_prefix("in ")
                    .and_then(|t| t.strip_suffix(" secs"));
                let ms = time.and_then(number).map(|seconds| seconds * MS_PER_S);
                if let Some(percent) = percent.strip_suffix('%').and_then(number) {
                    figures.percentile(percent, ms);
                }
            }
            (Part::Codes, Some((code, n))) => {
                let n = n.trim().strip_suffix(" responses").and_then(number);
                if let (Some(code), Some(n)) = (bracketed(code), n) {
                    responses += n;
                    errors += if code >= 400.0 { n } else { 0.0 };
                }
            }
            (Part::Errors, Some((n, _))) => {
                let n = bracketed(n).unwrap_or(0.0);
                responses += n;
                errors += n;
            }
            _ => {}
        }
    }
    // The lists come last, and whether they are whole is told by their sum alone.
    if let (Some(total), Some(rate)) = (total, rate)
        && (rate * total - responses).abs() < rate * ROUNDED + 0.5
    {
        figures.count("requests", Some(responses));
        figures.count("errors", Some(errors));
    }
    figures.done()
}

fn share(bytes: Option<f64>, seconds: Option<f64>) -> Option<f64> {
    Some(bytes? / seconds.filter(|seconds| *seconds > 0.0)?)
}

fn bracketed(word: &str) -> Option<f64> {
    number(word.strip_prefix('[')?.strip_suffix(']')?)
}
