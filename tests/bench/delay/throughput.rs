//! As fast as they can through 20 ms: a TCP stream, and small datagrams.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Effort;
use super::figures::{median, spread};
use super::scene::{NETEM_LIMIT, Pair, Scene, overflow};
use super::table::{Row, Table};
use super::traffic::{Flood, delivered, stream};

const SIZE: usize = 64;

/// A stream.
pub fn tcp(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let span = span(effort);
    let what = ("TCP bulk through 20 ms", "Mbit/s");
    compare(scene, effort, table, what, |pair| {
        Ok(median(&stream(pair, Duration::from_secs(2), span, 1)?) * 8.0 / 1e6)
    })
}

/// Datagrams.
pub fn udp(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let span = span(effort);
    let what = ("UDP of 64 bytes through 20 ms", "packets/s");
    compare(scene, effort, table, what, |pair| {
        let flood = Flood {
            pair,
            to: &[],
            size: SIZE,
            warm_up: Duration::from_millis(500),
            span,
            spans: 1,
            rate: None,
        };
        Ok(median(&delivered(&flood.run()?)))
    })
}

/// What is measured in one turn.
fn span(effort: Effort) -> Duration {
    Duration::from_secs(effort.pick(3, 2))
}

/// In turns, so that what the machine does besides hits both.
fn compare(
    scene: &Scene,
    effort: Effort,
    table: &mut Table,
    (what, unit): (&str, &str),
    measure: impl Fn(&Pair) -> Result<f64>,
) -> Result<()> {
    let turns = effort.pick(7, 3);
    let run = scene.arm("delay: 20ms")?;
    let netem = scene.netem.netem(&format!("delay 20ms {NETEM_LIMIT}"))?;
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
    drop(netem);
    let overflow = overflow(&run.revert()?);
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
