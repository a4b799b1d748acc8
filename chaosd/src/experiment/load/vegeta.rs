//! vegeta: `vegeta report` as text and as JSON (`lib/reporters.go`, `lib/metrics.go`; versions 7 to
//! 12, of which the older ones name fewer latencies).

use serde_json::Value;

use super::{
    figures::Figures,
    text::Text,
    units::{at, millis, number},
};
use crate::experiment::record::Figure;

const NS_PER_MS: f64 = 1e6;
const NS_PER_S: f64 = 1e9;
const MS_PER_S: f64 = 1e3;

pub(super) fn is(text: &Text) -> bool {
    (text.has_line("Requests ") && text.has_line("Latencies ") && text.has_line("Success "))
        || text.documents().iter().any(is_document)
}

fn is_document(document: &Value) -> bool {
    ["latencies", "status_codes", "bytes_in"]
        .iter()
        .all(|key| document.get(key).is_some_and(Value::is_object))
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    match text.documents().iter().rfind(|found| is_document(found)) {
        Some(document) => of_document(document),
        None => of_text(text),
    }
}

fn of_text(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    let mut seconds = None;
    for line in text.lines() {
        // `Latencies     [mean, 50, 95, 99, max]  1.2ms, ...`
        let Some((label, rest)) = line.split_once('[') else {
            continue;
        };
        let Some((names, values)) = rest.split_once(']') else {
            continue;
        };
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        if names.len() != values.len() {
            continue;
        }
        let value = |name: &str| {
            let n = names.iter().position(|other| *other == name)?;
            values.get(n).copied()
        };
        match label.trim() {
            "Requests" => {
                figures.count("requests", value("total").and_then(number));
                figures.rate("requests/s", value("rate").and_then(number));
                figures.rate("successes/s", value("throughput").and_then(number));
            }
            "Duration" => seconds = value("total").and_then(millis).map(|ms| ms / MS_PER_S),
            "Latencies" => {
                figures.latency("min", value("min").and_then(millis));
                figures.latency("mean", value("mean").and_then(millis));
                for percent in [50.0, 90.0, 95.0, 99.0] {
                    let name = percent.to_string();
                    figures.percentile(percent, value(&name).and_then(millis));
                }
                figures.latency("max", value("max").and_then(millis));
            }
            "Bytes In" => {
                let bytes = value("total").and_then(number);
                figures.throughput("received", rate(bytes, seconds));
            }
            "Bytes Out" => {
                let bytes = value("total").and_then(number);
                figures.throughput("sent", rate(bytes, seconds));
            }
            "Status Codes" => {
                let codes = values
                    .first()
                    .into_iter()
                    .flat_map(|v| v.split_whitespace());
                figures.count("errors", errors(codes.map(|word| word.split_once(':'))));
            }
            _ => {}
        }
    }
    figures.done()
}

fn of_document(document: &Value) -> Vec<Figure> {
    let mut figures = Figures::default();
    let latency = |key| at(&document["latencies"], key).map(|ns| ns / NS_PER_MS);
    figures.count("requests", at(document, "requests"));
    figures.rate("requests/s", at(document, "rate"));
    figures.rate("successes/s", at(document, "throughput"));
    figures.latency("min", latency("min"));
    figures.latency("mean", latency("mean"));
    for (percent, key) in [
        (50.0, "50th"),
        (90.0, "90th"),
        (95.0, "95th"),
        (99.0, "99th"),
    ] {
        figures.percentile(percent, latency(key));
    }
    figures.latency("max", latency("max"));
    let ns = at(document, "duration").zip(at(document, "wait"));
    let seconds = ns.map(|(attack, wait)| (attack + wait) / NS_PER_S);
    for (name, key) in [("received", "bytes_in"), ("sent", "bytes_out")] {
        figures.throughput(name, rate(at(&document[key], "total"), seconds));
    }
    let codes = document["status_codes"].as_object();
    let codes: Vec<_> = codes
        .into_iter()
        .flatten()
        .map(|(code, n)| (code.clone(), n.to_string()))
        .collect();
    let codes = codes
        .iter()
        .map(|(code, n)| Some((code.as_str(), n.as_str())));
    figures.count("errors", errors(codes));
    figures.done()
}

fn rate(bytes: Option<f64>, seconds: Option<f64>) -> Option<f64> {
    Some(bytes? / seconds.filter(|seconds| *seconds > 0.0)?)
}

/// What vegeta counts as no success: all but 200 to 399; 0 stands for no answer.
fn errors<'t>(codes: impl Iterator<Item = Option<(&'t str, &'t str)>>) -> Option<f64> {
    let mut errors = 0.0;
    for code in codes {
        let (code, n) = code?;
        let (code, n) = (number(code)?, number(n)?);
        errors += if (200.0..400.0).contains(&code) {
            0.0
        } else {
            n
        };
    }
    Some(errors)
}
