//! What passes a slow link, in bytes of Ethernet frames without their checksum, as tc(8) counts.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Effort;
use super::scene::{Pair, Scene};
use super::table::{Row, Table};
use super::traffic::{Flood, stream};

const MBIT: [u32; 3] = [1, 10, 100];
/// Slow start is over, and the queue is full.
const WARM_UP: Duration = Duration::from_secs(1);
/// MTU 1500: of a frame of 14 + 1500 bytes, 20 are IPv4's and 32 TCP's with time stamps.
const TCP_FRAME: f64 = 1514.0 / 1448.0;
const UDP_PAYLOAD: u32 = 1200;
/// 14 of Ethernet, 20 of IPv4, 8 of UDP.
const UDP_FRAME: u32 = UDP_PAYLOAD + 42;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let span = Duration::from_secs(effort.pick(10, 5));
    for mbit in MBIT {
        Table::progress(&format!("{mbit} mbit, TCP and UDP"));
        // The queue of the contestants holds the same: 100 ms, and 2 frames at least.
        let frames = (mbit * 100_000 / 8 / 1514).max(2);
        let run = scene.arm(&format!("bandwidth: {{rate: {mbit}mbit, queue: 100ms}}"))?;
        let tcp = tcp(&scene.chaosd, span)?;
        let (udp, offered) = udp(&scene.chaosd, mbit, span)?;
        run.revert()?;
        let netem = scene
            .netem
            .netem(&format!("rate {mbit}mbit limit {frames}"))?;
        let their_tcp = self::tcp(&scene.netem, span)?;
        let (their_udp, they_offered) = self::udp(&scene.netem, mbit, span)?;
        drop(netem);
        let note = format!("offered {offered:.1} mbit, to netem {they_offered:.1}");
        for (what, ours, theirs, note) in [
            ("TCP", tcp, their_tcp, String::new()),
            ("UDP", udp, their_udp, note),
        ] {
            let asked = f64::from(mbit);
            table.push(Row {
                what: format!("bandwidth {mbit} mbit, {what}"),
                chaosd: format!("{ours:.3} mbit"),
                beside: format!("{theirs:.3} mbit"),
                ratio: Some(ours / asked),
                target: "asked +-2 %".to_owned(),
                holds: Some((ours / asked - 1.0).abs() <= 0.02),
                note,
                figures: json!({
                    "asked_mbit": mbit, "measured_mbit": ours, "netem_mbit": theirs,
                    "seconds": span.as_secs(),
                }),
            });
        }
    }
    Ok(())
}

/// Mbit of frames per second.
fn tcp(pair: &Pair, span: Duration) -> Result<f64> {
    Ok(stream(pair, WARM_UP, span)? * TCP_FRAME * 8.0 / 1e6)
}

/// The same of datagrams, of which a third more is offered than passes; and what was offered.
fn udp(pair: &Pair, mbit: u32, span: Duration) -> Result<(f64, f64)> {
    let flood = Flood {
        pair,
        to: &[],
        size: UDP_PAYLOAD as usize,
        warm_up: WARM_UP,
        span,
        rate: Some(mbit * 1_000_000 / 8 / UDP_FRAME * 4 / 3),
    };
    let flooded = flood.run()?;
    let mbit = |per_second: f64| per_second * f64::from(UDP_FRAME) * 8.0 / 1e6;
    Ok((mbit(flooded.per_second), mbit(flooded.sent_per_second)))
}
