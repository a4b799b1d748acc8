//! What passes a slow link, in bytes of Ethernet frames without their checksum, as tc(8) counts.
//!
//! The figure is the middle one of the seconds: what a link does not send while the machine keeps
//! its sender waiting for longer than the queue lasts, it cannot make up for. The mean of them all
//! stands beside it.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Effort;
use super::figures::{mean_and_deviation, median, spread};
use super::scene::{Pair, Scene};
use super::table::{Row, Table};
use super::traffic::{Flood, delivered, stream};

const MBIT: [u32; 3] = [1, 10, 100];
/// Slow start is over, what it lost has been sent again, and the queue is full.
const WARM_UP: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);
/// MTU 1500: of a frame of 14 + 1500 bytes, 20 are IPv4's and 32 TCP's with time stamps.
const TCP_FRAME: f64 = 1514.0 / 1448.0;
const UDP_PAYLOAD: u32 = 1200;
/// 14 of Ethernet, 20 of IPv4, 8 of UDP.
const UDP_FRAME: u32 = UDP_PAYLOAD + 42;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let seconds = effort.pick(10, 5);
    for mbit in MBIT {
        Table::progress(&format!("{mbit} mbit, TCP and UDP"));
        // The queue of the contestants holds the same: 100 ms, and 2 frames at least.
        let frames = (mbit * 100_000 / 8 / 1514).max(2);
        let run = scene.arm(&format!("bandwidth: {{rate: {mbit}mbit, queue: 100ms}}"))?;
        let tcp = tcp(&scene.chaosd, seconds)?;
        let (udp, offered) = udp(&scene.chaosd, mbit, seconds)?;
        run.revert()?;
        let netem = scene
            .netem
            .netem(&format!("rate {mbit}mbit limit {frames}"))?;
        let their_tcp = self::tcp(&scene.netem, seconds)?;
        let (their_udp, they_offered) = self::udp(&scene.netem, mbit, seconds)?;
        drop(netem);
        let offers = format!("; offered {offered:.1} mbit, to netem {they_offered:.1}");
        for (what, ours, theirs, offers) in [
            ("TCP", tcp, their_tcp, ""),
            ("UDP", udp, their_udp, offers.as_str()),
        ] {
            let asked = f64::from(mbit);
            let (our, their) = (median(&ours), median(&theirs));
            let ([mean, their_mean], (least, most)) = (
                [&ours, &theirs].map(|mbit| mean_and_deviation(mbit).0),
                spread(&ours),
            );
            table.push(Row {
                what: format!("bandwidth {mbit} mbit, {what}"),
                chaosd: format!("{our:.3} mbit"),
                beside: format!("{their:.3} mbit"),
                ratio: Some(our / asked),
                target: "asked +-2 %".to_owned(),
                holds: Some((our / asked - 1.0).abs() <= 0.02),
                note: format!(
                    "median of {seconds} seconds; over all {mean:.3}, netem {their_mean:.3}; \
                     {least:.3} to {most:.3}{offers}"
                ),
                figures: json!({
                    "asked_mbit": mbit, "mbit": ours, "netem_mbit": theirs, "mean_mbit": mean,
                }),
            });
        }
    }
    Ok(())
}

/// Mbit of frames in each second.
fn tcp(pair: &Pair, seconds: u32) -> Result<Vec<f64>> {
    let payload = stream(pair, WARM_UP, SECOND, seconds)?;
    let frames = payload.iter().map(|bytes| bytes * TCP_FRAME * 8.0 / 1e6);
    Ok(frames.collect())
}

/// The same of datagrams, of which a third more is offered than passes; and what was offered.
fn udp(pair: &Pair, mbit: u32, seconds: u32) -> Result<(Vec<f64>, f64)> {
    let flood = Flood {
        pair,
        to: &[],
        size: UDP_PAYLOAD as usize,
        warm_up: WARM_UP,
        span: SECOND,
        spans: seconds,
        rate: Some(mbit * 1_000_000 / 8 / UDP_FRAME * 4 / 3),
    };
    let spans = flood.run()?;
    let mbit = |per_second: f64| per_second * f64::from(UDP_FRAME) * 8.0 / 1e6;
    let arrived = delivered(&spans).into_iter().map(mbit).collect();
    let sent: Vec<f64> = spans.iter().map(|span| span.sent_per_second).collect();
    Ok((arrived, mbit(mean_and_deviation(&sent).0)))
}
