//! What holds packets: how late datagrams are, how that varies, and how fast a slow link is.

use std::time::Duration;

use anyhow::Context as _;
use support::statistics::{mean_and_deviation, median};
use support::{Timed, queue};

use crate::row::{Group, Row, Seen};
use crate::words;

const PACE: Duration = Duration::from_millis(1);
/// Nothing is held for so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The promise is 0.2 ms and 1 %; a machine that others use too adds to it.
const NEAR_MS: f64 = 1.0;

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
                let without = ms(median(&flow.ways(200, PACE, PATIENCE)?));
                let (with, beside) = scene.under(&fault, || flow.ways(200, PACE, PATIENCE))?;
                let later = ms(median(&with)) - without;
                let off = later - f64::from(time);
                Ok(Seen {
                    measured: format!("{later:.2} ms later"),
                    off: format!("{off:+.2}"),
                    holds: off.abs() < NEAR_MS,
                    beside,
                })
            },
        ));
    }
    Group {
        title: "UDP: how much later the middle datagram arrived (off by: ms)",
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
        let (with, beside) = scene.under(&fault, || flow.ways(2_000, PACE, PATIENCE))?;
        let (mean, deviation) = mean_and_deviation(&with);
        // Of the mean of 2,000 draws, in its own standard errors; the machine adds some.
        let off = (mean - 80.0) / (20.0 / 2_000_f64.sqrt());
        Ok(Seen {
            measured: format!("{mean:.1} ± {deviation:.1} ms"),
            off: words::sigmas(off.abs()),
            holds: (79.0..82.5).contains(&mean) && (19.0..22.0).contains(&deviation),
            beside,
        })
    });
    Group {
        title: "UDP: mean and standard deviation of 2,000 datagrams' delays, in ms",
        rows: with_fq(rows),
    }
}

pub fn bandwidth() -> Group {
    /// Bytes of a frame, and of the payload that makes one over IPv4 or IPv6.
    const FRAME: u16 = 1_262;
    const FRAMES: u32 = 1_000;
    let mut rows = Vec::new();
    for mbit in [1_u32, 10, 100] {
        rows.extend(Row::each_way(
            "bandwidth",
            &format!("{mbit} mbit"),
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
                let arrivals = flow.arrivals();
                let ends = arrivals.first().zip(arrivals.last());
                let (first, last) = ends.context("nothing has arrived")?;
                let bits = f64::from(frames - 1) * f64::from(FRAME) * 8.0;
                let rate = bits / (last.at - first.at).as_secs_f64() / 1e6;
                let off = rate / f64::from(mbit) - 1.0;
                Ok(Seen {
                    measured: format!("{rate:.3} mbit/s"),
                    off: format!("{:+.1} %", off * 100.0),
                    holds: off.abs() < 0.02,
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
