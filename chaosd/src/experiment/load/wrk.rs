//! wrk and wrk2: what `print_stats` of wrk's `src/wrk.c` prints. Its K is 1024.

use super::{
    figures::Figures,
    text::Text,
    units::{bytes, millis, number},
};
use crate::experiment::record::Figure;

const KILO: f64 = 1024.0;

pub(super) fn is(text: &Text) -> bool {
    text.has_line("Transfer/sec:") || text.has_line("Thread Stats ")
}

/// wrk2 says more of latencies, and calibrates itself.
pub(super) fn is_wrk2(text: &Text) -> bool {
    text.has_line("Latency Distribution (HdrHistogram") || text.has_line("Thread calibration:")
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    let mut distribution = false;
    // Errors are told between the sum of requests and their rate, and not at all when there are none.
    let mut errors = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if distribution
            && let [percent, time] = words.as_slice()
            && let Some(percent) = percent.strip_suffix('%').and_then(number)
        {
            figures.percentile(percent, millis(time));
            continue;
        }
        distribution = false;
        match words.as_slice() {
            ["Latency", "Distribution", ..] => distribution = true,
            // Without a request there is no latency, and the share is `-nan%`.
            ["Latency", mean, _, max, share] if share.strip_suffix('%').is_some_and(is_number) => {
                figures.latency("mean", millis(mean));
                figures.latency("max", millis(max));
            }
            [requests, "requests", "in", _, _, "read"] => {
                figures.count("requests", number(requests));
                errors = Some(0.0);
            }
            ["Socket", "errors:", rest @ ..] => errors = sum(errors, &numbers(rest)),
            ["Non-2xx", "or", "3xx", "responses:", n] => errors = sum(errors, &[number(n)]),
            ["Requests/sec:", rate] => {
                figures.count("errors", errors.take());
                figures.rate("requests/s", number(rate));
            }
            ["Transfer/sec:", rate] => figures.throughput("received", bytes(rate, KILO)),
            _ => {}
        }
    }
    figures.done()
}

fn is_number(word: &str) -> bool {
    number(word).is_some()
}

/// `connect 0, read 3, write 0, timeout 5`
fn numbers(words: &[&str]) -> Vec<Option<f64>> {
    let values = words.iter().skip(1).step_by(2);
    values
        .map(|word| number(word.trim_end_matches(',')))
        .collect()
}

fn sum(errors: Option<f64>, more: &[Option<f64>]) -> Option<f64> {
    more.iter().try_fold(errors?, |sum, n| Some(sum + (*n)?))
}
