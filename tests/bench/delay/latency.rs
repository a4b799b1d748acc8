//! The round-trip time that a delay of leaving packets adds, against the same way without it.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Effort;
use super::figures::{float, median, ms, percentile};
use super::scene::{NETEM_LIMIT, Scene};
use super::steady::{Steady, Way};
use super::table::{Row, Table};

const ASKED_MS: [u64; 4] = [1, 10, 100, 1000];
const PERIOD: Duration = Duration::from_millis(6);

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let count = effort.pick(3000, 500);
    for asked in ASKED_MS {
        Table::progress(&format!("{asked} ms, {count} round trips"));
        let run = scene.arm(&format!("delay: {asked}ms"))?;
        let netem = scene
            .netem
            .netem(&format!("delay {asked}ms {NETEM_LIMIT}"))?;
        let steady = Steady {
            way: Way::RoundTrip,
            to: &[],
            count,
            period: PERIOD,
            settle: Duration::from_millis(asked + 500),
        };
        let pairs = [&scene.plain, &scene.chaosd, &scene.netem];
        let (samples, ()) = steady.run(pairs, || ())?;
        drop(netem);
        run.revert()?;
        let times = samples.map(|samples| -> Vec<f64> {
            samples.iter().filter_map(|s| s.took().map(ms)).collect()
        });
        let lost = times.each_ref().map(|times| count as usize - times.len());
        let base = median(&times[0]);
        let [added, their_added] = [&times[1], &times[2]].map(|times| median(times) - base);
        let [p99, their_p99] = [&times[1], &times[2]].map(|times| percentile(times, 99) - base);
        let asked_ms = float(asked);
        let within = 0.2 + asked_ms / 100.0;
        table.push(Row {
            what: format!("delay {asked} ms: RTT added, p50 / p99"),
            chaosd: format!("{added:.2} / {p99:.2} ms"),
            beside: format!("{their_added:.2} / {their_p99:.2} ms"),
            ratio: Some(added / asked_ms),
            target: format!("p50 +-{within:.2} ms"),
            holds: Some((added - asked_ms).abs() <= within),
            note: format!(
                "off by {:+.3} ms, netem by {:+.3} ms; without a fault {base:.3} ms, p99 {:.3}; \
                 lost {}, {} and {} of {count}",
                added - asked_ms,
                their_added - asked_ms,
                percentile(&times[0], 99),
                lost[1],
                lost[2],
                lost[0],
            ),
            figures: json!({
                "asked_ms": asked, "added_ms": added, "p99_ms": p99, "base_ms": base,
                "netem_added_ms": their_added, "netem_p99_ms": their_p99, "probes": count,
                "lost": lost[1], "netem_lost": lost[2],
            }),
        });
    }
    Ok(())
}
