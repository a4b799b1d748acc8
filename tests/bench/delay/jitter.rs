//! Mean and deviation of a jittered delay, one way, over a thousand flows: within a flow packets
//! stay in order, so that a second one would tell of the first.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Effort;
use super::figures::{mean_and_deviation, median, ms};
use super::scene::{NETEM_LIMIT, PEERS, Scene, peer};
use super::steady::{Steady, Way};
use super::table::{Row, Table};

const MEAN_MS: f64 = 100.0;
const DEVIATION_MS: f64 = 20.0;
const BLOCK: usize = 500;
/// A flow's next packet comes two seconds later: no delay is that long.
const PERIOD: Duration = Duration::from_millis(2);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let count = effort.pick(10_000, 3000);
    Table::progress(&format!("jitter, {count} packets each"));
    let run = scene.arm("delay: {time: 100ms, jitter: 20ms, distribution: normal}")?;
    let words = format!("delay 100ms 20ms distribution normal {NETEM_LIMIT}");
    let netem = scene.netem.netem(&words)?;
    let peers: Vec<Ipv4Addr> = (0..PEERS).map(peer).collect();
    let steady = Steady {
        way: Way::OneWay,
        to: &peers,
        count,
        period: PERIOD,
        settle: Duration::from_secs(1),
    };
    let pairs = [&scene.plain, &scene.chaosd, &scene.netem];
    let (samples, ()) = steady.run(pairs, || ())?;
    drop(netem);
    run.revert()?;
    let [plain, ours, theirs] = samples
        .map(|samples| -> Vec<f64> { samples.iter().filter_map(|s| s.took().map(ms)).collect() });
    for times in [&plain, &ours, &theirs] {
        ensure!(
            times.len() == count as usize,
            "{} of {count} packets arrived: none is to be lost",
            times.len()
        );
    }
    let (base, noise) = mean_and_deviation(&plain);
    let (mean, deviation) = mean_and_deviation(&ours);
    let (their_mean, their_deviation) = mean_and_deviation(&theirs);
    let [blocks, their_blocks] = [&ours, &theirs].map(|times| of_blocks(times));
    for (what, asked, ours, theirs, block, their_block) in [
        (
            "mean",
            MEAN_MS,
            mean - base,
            their_mean - base,
            blocks.0 - base,
            their_blocks.0 - base,
        ),
        (
            "deviation",
            DEVIATION_MS,
            deviation,
            their_deviation,
            blocks.1,
            their_blocks.1,
        ),
    ] {
        table.push(Row {
            what: format!("jitter 20 ms on 100 ms, normal: {what}"),
            chaosd: format!("{ours:.2} ms"),
            beside: format!("{theirs:.2} ms"),
            ratio: Some(ours / asked),
            target: "asked +-3 %".to_owned(),
            holds: Some((ours / asked - 1.0).abs() <= 0.03),
            note: format!(
                "{count} packets, one way, {PEERS} flows; without a fault {base:.3} ms, deviation \
                 {noise:.3}; median of blocks of {BLOCK}: {block:.2}, netem {their_block:.2} ms"
            ),
            figures: json!({
                "asked_ms": asked, "measured_ms": ours, "netem_ms": theirs, "packets": count,
                "blocks_ms": block, "netem_blocks_ms": their_block,
            }),
        });
    }
    Ok(())
}

/// The middle one of the means, and of the deviations, of blocks: a pause of the machine, which
/// delays everybody, spoils a block and not the figure.
fn of_blocks(times: &[f64]) -> (f64, f64) {
    let blocks = times.chunks_exact(BLOCK).map(mean_and_deviation);
    let (means, deviations): (Vec<_>, Vec<_>) = blocks.unzip();
    (median(&means), median(&deviations))
}
