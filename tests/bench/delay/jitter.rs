//! Mean and deviation of a jittered delay, one way, over a thousand flows: within a flow packets
//! stay in order, so that a second one would tell of the first.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Effort;
use super::figures::{mean_and_deviation, ms};
use super::scene::{NETEM_LIMIT, PEERS, Pair, Scene, peer};
use super::table::{Row, Table};
use super::traffic::Steady;

const MEAN_MS: f64 = 100.0;
const DEVIATION_MS: f64 = 20.0;
/// A flow's next packet comes a second later: no delay is that long.
const PERIOD: Duration = Duration::from_millis(1);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let count = effort.pick(10_000, 3000);
    table.progress(&format!("jitter, {count} packets each"));
    let (base, _) = mean_and_deviation(&times(&scene.chaosd, 1000)?);
    let run = scene.arm("delay: {time: 100ms, jitter: 20ms, distribution: normal}")?;
    let ours = times(&scene.chaosd, count)?;
    run.revert()?;
    let words = format!("delay 100ms 20ms distribution normal {NETEM_LIMIT}");
    let netem = scene.netem.netem(&words)?;
    let theirs = times(&scene.netem, count)?;
    drop(netem);
    let (mean, deviation) = mean_and_deviation(&ours);
    let (their_mean, their_deviation) = mean_and_deviation(&theirs);
    for (what, asked, ours, theirs) in [
        ("mean", MEAN_MS, mean - base, their_mean - base),
        ("deviation", DEVIATION_MS, deviation, their_deviation),
    ] {
        table.push(Row {
            what: format!("jitter 20 ms on 100 ms, normal: {what}"),
            chaosd: format!("{ours:.2} ms"),
            netem: format!("{theirs:.2} ms"),
            ratio: Some(ours / asked),
            target: "asked +-3 %".to_owned(),
            holds: Some((ours / asked - 1.0).abs() <= 0.03),
            note: format!("{count} packets, one way, 1000 flows; the way itself {base:.3} ms"),
            figures: json!({"asked_ms": asked, "measured_ms": ours, "netem_ms": theirs}),
        });
    }
    Ok(())
}

/// In ms.
fn times(pair: &Pair, count: u32) -> Result<Vec<f64>> {
    let peers: Vec<Ipv4Addr> = (0..PEERS).map(peer).collect();
    let steady = Steady {
        pair,
        to: &peers,
        count,
        period: PERIOD,
        echo: false,
        settle: Duration::from_secs(2),
    };
    let (samples, ()) = steady.run(|| ())?;
    let times: Vec<_> = samples.iter().filter_map(|s| s.took().map(ms)).collect();
    ensure!(
        times.len() == count as usize,
        "{} of {count} packets arrived: none is to be lost",
        times.len()
    );
    Ok(times)
}
