//! 5,000 packets a second through a second of delay: five thousand are held at any time.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Effort;
use super::figures::float;
use super::scene::{Pair, Scene, overflow};
use super::steady::{Steady, Way};
use super::table::{Row, Table};

const PER_SECOND: u32 = 5000;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let sent = PER_SECOND * effort.pick(10, 4);
    Table::progress("5000 packets a second through 1 s");
    let run = scene.arm("delay: 1s")?;
    let ours = received(&scene.chaosd, sent)?;
    let overflow = overflow(&run.revert()?);
    let netem = scene.netem.netem("delay 1s")?;
    let theirs = received(&scene.netem, sent)?;
    drop(netem);
    let share = |received: u64| 100.0 * float(received) / f64::from(sent);
    table.push(Row {
        what: "5000 packets/s through 1 s".to_owned(),
        chaosd: format!("{ours} of {sent}"),
        beside: format!("{theirs} of {sent}"),
        ratio: Some(float(ours) / float(theirs)),
        target: "no overflow".to_owned(),
        holds: Some(overflow == 0 && ours == u64::from(sent)),
        note: format!(
            "arrived: {:.1} % and {:.1} %; overflow {overflow}; netem at its default limit of 1000 packets",
            share(ours),
            share(theirs),
        ),
        figures: json!({
            "sent": sent, "received": ours, "overflow": overflow, "netem_received": theirs,
        }),
    });
    Ok(())
}

fn received(pair: &Pair, count: u32) -> Result<u64> {
    let steady = Steady {
        way: Way::OneWay,
        to: &[],
        count,
        period: Duration::from_secs(1) / PER_SECOND,
        settle: Duration::from_secs(2),
    };
    let ([samples], ()) = steady.run([pair], || ())?;
    Ok(samples.iter().filter(|s| s.arrived.is_some()).count() as u64)
}
