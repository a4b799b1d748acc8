//! pgbench: what `printResults` of `src/bin/pgbench/pgbench.c` prints (versions 9.5 to 17), for all
//! scripts together. Its numbers are in the C locale whatever the environment says.

use super::{figures::Figures, text::Text, units::number};
use crate::experiment::record::Figure;

pub(super) fn is(text: &Text) -> bool {
    text.has_line("number of transactions actually processed:")
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(" = ").or_else(|| line.split_once(": ")) else {
            continue;
        };
        // `400/400` where the number was asked for, `0 (0.000%)` of failures, `6.046 ms`.
        let mut words = value.split_whitespace();
        let first = words.next().unwrap_or_default();
        let plain = number(first.split('/').next().unwrap_or_default());
        let ms = number(first).filter(|_| words.next() == Some("ms"));
        match key {
            "number of transactions actually processed" => figures.count("transactions", plain),
            "number of failed transactions" => figures.count("errors", plain),
            "latency average" => figures.latency("mean", ms),
            "latency stddev" => figures.latency("stdev", ms),
            "initial connection time" => figures.add("connect", ms, "ms"),
            // Before version 14 there was a second line, with the time that connecting took.
            "tps" if !value.contains("(including") => figures.rate("tps", plain),
            _ => {}
        }
    }
    figures.done()
}
