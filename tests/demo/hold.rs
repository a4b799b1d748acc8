//! What holds packets: how late datagrams are, how that varies, and how fast a slow link is.
//!
//! An emulated processor takes a millisecond for a datagram, and is itself late by some: less is asked
//! of it there, and less is promised.

use std::time::Duration;

use anyhow::Context as _;
use support::statistics::{mean_and_deviation, median};
use support::{Arrival, Timed, is_emulated, queue};

use crate::row::{Group, Row, Seen};
use crate::words;

/// Nothing is held for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two datagrams.
fn pace() -> Duration {
    Duration::from_millis(if is_emulated() { 5 } else { 1 })
}

/// The promise is 0.2 ms and 1 %; a machine that others use too adds to it.
fn near_ms() -> f64 {
    if is_emulated() { 3.0 } else { 1.0 }
}

/// The middle one; of an emulated processor the fastest, on which it weighs least.
fn typical(ways: &[Duration]) -> f64 {
    let fastest = ways.iter().min().copied().unwrap_or_default();
    ms(if is_emulated() { fastest } else { median(ways) })
}

/// Mean and standard deviation in ms; of an emulated processor what the middle half says of them,
/// for it stands still now and then.
fn spread(ways: &[Duration]) -> (f64, f64) {
    /// Of a normal distribution.
    const QUARTILES_PER_DEVIATION: f64 = 1.349;
    if !is_emulated() {
        return mean_and_deviation(ways);
    }
    let mut sorted = ways.to_vec();
    sorted.sort_unstable();
    let at = |quarter| {
        sorted
            .get(sorted.len() * quarter / 4)
            .map_or(0.0, |way| ms(*way))
    };
    (at(2), (at(3) - at(1)) / QUARTILES_PER_DEVIATION)
}

/// Seconds from one arrival to the next; for the same reason, over the middle one of many stretches
/// where the processor is emulated.
fn gap(arrivals: &[Arrival]) -> Option<f64> {
    let parts = if is_emulated() { 10 } else { 1 };
    let stretch = (arrivals.len() / parts).max(1);
    let times = arrivals
        .windows(stretch)
        .map(|part| part[stretch - 1].at - part[0].at);
    let times: Vec<Duration> = times.collect();
    let gaps = u32::try_from(stretch - 1).ok()?;
    (!times.is_empty() && gaps > 0).then(|| median(&times).as_secs_f64() / f64::from(gaps))
}

pub fn delays() -> Group {
    let mut rows = Vec::new();
    for time in [1_u32, 10, 100] {
        rows.extend(Row::each_way(
            "delay",
            &format!("{time} ms"),
            move |scene, family, direction| {
                let fault = format!(
                    "delay --time {time}ms --protocol udp --direction {}",
                    direction.word()
                );
                let (from, to) = scene.ends(direction);
                let flow = Timed::start(from, to, family, 0)?;
                let without = typical(&flow.ways(200, pace(), PATIENCE)?);
                let (with, beside) = scene.under(&fault, || flow.ways(200, pace(), PATIENCE))?;
                let later = typical(&with) - without;
                let off = later - f64::from(time);
                Ok(Seen {
                    measured: format!("{later:.2} ms later"),
                    off: format!("{off:+.2}"),
                    holds: off.abs() < near_ms(),
                    beside,
                })
            },
        ));
    }
    Group {
        title: "UDP: how much later datagrams arrived (off by: ms)",
        rows: with_fq(rows),
    }
}

pub fn jitter() -> Group {
    let rows = Row::each_way("jitter", "80±20", |scene, family, direction| {
        let fault = format!(
            "delay --time 80ms --jitter 20ms --keep-order false --protocol udp --direction {}",
            direction.word()
        );
        let (from, to) = scene.ends(direction);
        let flow = Timed::start(from, to, family, 0)?;
        let draws = if is_emulated() { 500 } else { 2_000 };
        let (with, beside) = scene.under(&fault, || flow.ways(draws, pace(), PATIENCE))?;
        let (mean, deviation) = spread(&with);
        // Of the mean of so many draws, in its own standard errors; the machine adds some.
        let off = (mean - 80.0) / (20.0 / f64::from(draws).sqrt());
        let (means, deviations) = if is_emulated() {
            (77.0..100.0, 15.0..32.0)
        } else {
            (79.0..82.5, 19.0..22.0)
        };
        Ok(Seen {
            measured: format!("{mean:.1} ± {deviation:.1} ms"),
            off: words::sigmas(off.abs()),
            holds: means.contains(&mean) && deviations.contains(&deviation),
            beside,
        })
    });
    Group {
        title: "UDP: mean and standard deviation of datagrams' delays, in ms",
        rows: with_fq(rows),
    }
}

pub fn bandwidth() -> Group {
    /// Bytes of a frame, and of the payload that makes one over IPv4 or IPv6.
    const FRAME: u16 = 1_262;
    const FRAMES: u32 = 1_000;
    let mut rows = Vec::new();
    // An emulated processor makes no 10,000 frames a second.
    let rates: &[u32] = if is_emulated() {
        &[1, 10]
    } else {
        &[1, 10, 100]
    };
    for &mbit in rates {
        rows.extend(Row::each_way(
            "bandwidth",
            &format!("{mbit}mbit"),
            move |scene, family, direction| {
                let fault = format!(
                    "bandwidth --rate {mbit}mbit --queue 30s --protocol udp --direction {}",
                    direction.word()
                );
                let (from, to) = scene.ends(direction);
                let mut flow = Timed::start(from, to, family, 0)?;
                let headers = match family {
                    support::Family::V4 => 42,
                    support::Family::V6 => 62,
                };
                flow.size = usize::from(FRAME - headers);
                let frames = FRAMES.min(mbit * 300);
                let (_, beside) =
                    scene.under(&fault, || flow.ways(frames, Duration::ZERO, PATIENCE))?;
                let gap = gap(&flow.arrivals()).context("nothing has arrived")?;
                let rate = f64::from(FRAME) * 8.0 / gap / 1e6;
                let off = rate / f64::from(mbit) - 1.0;
                Ok(Seen {
                    measured: format!("{rate:.3} mbit/s"),
                    off: format!("{:+.1} %", off * 100.0),
                    holds: off.abs() < if is_emulated() { 0.05 } else { 0.02 },
                    beside,
                })
            },
        ));
    }
    Group {
        title: "UDP: frames per second through a slow link, as Mbit/s",
        rows: with_fq(rows),
    }
}

/// A kernel without the queue shows what it lacks.
fn with_fq(rows: Vec<Row>) -> Vec<Row> {
    let needs = queue::no_fq().map(|_| "needs fq");
    rows.into_iter().map(|row| row.needing(needs)).collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
