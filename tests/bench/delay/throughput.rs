//! As fast as they can through 20 ms: a TCP stream, and small datagrams.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use support::Run;

use super::Effort;
use super::figures::{median, spread};
use super::scene::{NETEM_LIMIT, Pair, Scene, overflow};
use super::table::{Row, Table};
use super::traffic::{Flood, stream};

const SIZE: usize = 64;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let turns = effort.pick(7, 3);
    let span = Duration::from_secs(effort.pick(3, 2));
    let run = scene.arm("delay: 20ms")?;
    let netem = scene.netem.netem(&format!("delay 20ms {NETEM_LIMIT}"))?;
    let tcp = |pair: &Pair| Ok(stream(pair, Duration::from_secs(2), span)? * 8.0 / 1e6);
    let what = "TCP bulk through 20 ms";
    compare(scene, &run, turns, table, (what, "Mbit/s"), tcp)?;
    let udp = |pair: &Pair| {
        let flood = Flood {
            pair,
            to: &[],
            size: SIZE,
            warm_up: Duration::from_millis(500),
            span,
            rate: None,
        };
        Ok(flood.run()?.per_second)
    };
    let what = "UDP of 64 bytes through 20 ms";
    compare(scene, &run, turns, table, (what, "packets/s"), udp)?;
    drop(netem);
    run.revert().map(drop)
}

/// In turns, so that what the machine does besides hits both.
fn compare(
    scene: &Scene,
    run: &Run<'_>,
    turns: u32,
    table: &mut Table,
    (what, unit): (&str, &str),
    measure: impl Fn(&Pair) -> Result<f64>,
) -> Result<()> {
    Table::progress(&format!("{what}, {turns} turns"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        ours.push(measure(&scene.chaosd)?);
        theirs.push(measure(&scene.netem)?);
    }
    let (our, their) = (median(&ours), median(&theirs));
    let say = |values: &[f64]| {
        let (least, most) = spread(values);
        format!("{least:.0} to {most:.0}")
    };
    let overflow = overflow(&run.report()?);
    table.push(Row {
        what: what.to_owned(),
        chaosd: format!("{our:.0} {unit}"),
        beside: format!("{their:.0} {unit}"),
        ratio: Some(our / their),
        target: ">= 1.00 x".to_owned(),
        holds: Some(our >= their && overflow == 0),
        note: format!(
            "medians of {turns} turns; chaosd {}, netem {}; overflow {overflow}",
            say(&ours),
            say(&theirs)
        ),
        figures: json!({"unit": unit, "overflow": overflow, "chaosd": ours, "netem": theirs}),
    });
    Ok(())
}
