//! The round-trip time that a delay of leaving packets adds, against the same way without it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Effort;
use super::figures::{float, median, ms, percentile};
use super::scene::{NETEM_LIMIT, Pair, Scene};
use super::table::{Row, Table};
use super::traffic::Steady;

const ASKED_MS: [u64; 4] = [1, 10, 100, 1000];
const PERIOD: Duration = Duration::from_millis(5);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let (turns, count) = (effort.pick(4, 2), effort.pick(500, 200));
    for asked in ASKED_MS {
        table.progress(&format!("{asked} ms, round trips"));
        let longest = Duration::from_millis(asked);
        let [mut bases, mut ours, mut theirs] = [const { Vec::new() }; 3];
        let mut their_bases = Vec::new();
        for _ in 0..turns {
            bases.extend(round_trips(&scene.chaosd, count, longest)?);
            let run = scene.arm(&format!("delay: {asked}ms"))?;
            ours.extend(round_trips(&scene.chaosd, count, longest)?);
            run.revert()?;
            their_bases.extend(round_trips(&scene.netem, count, longest)?);
            let netem = scene
                .netem
                .netem(&format!("delay {asked}ms {NETEM_LIMIT}"))?;
            theirs.extend(round_trips(&scene.netem, count, longest)?);
            drop(netem);
        }
        let [base, their_base] = [median(&bases), median(&their_bases)];
        let [added, their_added] = [median(&ours) - base, median(&theirs) - their_base];
        let [p99, their_p99] = [
            percentile(&ours, 99) - base,
            percentile(&theirs, 99) - their_base,
        ];
        let asked_ms = float(asked);
        let within = 0.2 + asked_ms / 100.0;
        let sent = turns * count;
        table.push(Row {
            what: format!("delay {asked} ms: RTT added, p50 / p99"),
            chaosd: format!("{added:.2} / {p99:.2} ms"),
            netem: format!("{their_added:.2} / {their_p99:.2} ms"),
            ratio: Some(added / asked_ms),
            target: format!("p50 +-{within:.2} ms"),
            holds: Some((added - asked_ms).abs() <= within),
            note: format!(
                "off by {:+.3} ms, netem by {:+.3} ms; RTT before {base:.2} and {their_base:.2} \
                 ms; {sent} probes each, {} and {} lost",
                added - asked_ms,
                their_added - asked_ms,
                sent as usize - ours.len(),
                sent as usize - theirs.len(),
            ),
            figures: json!({
                "asked_ms": asked, "added_ms": added, "p99_ms": p99, "base_ms": base,
                "netem_added_ms": their_added, "netem_p99_ms": their_p99,
                "netem_base_ms": their_base,
            }),
        });
    }
    Ok(())
}

/// In ms.
fn round_trips(pair: &Pair, count: u32, longest: Duration) -> Result<Vec<f64>> {
    let steady = Steady {
        pair,
        to: &[],
        count,
        period: PERIOD,
        echo: true,
        settle: longest + Duration::from_secs(1),
    };
    let (samples, ()) = steady.run(|| ())?;
    let times: Vec<_> = samples.iter().filter_map(|s| s.took().map(ms)).collect();
    times.first().context("no echo came back")?;
    Ok(times)
}
