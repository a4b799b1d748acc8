//! How soon glibc's getaddrinfo returns for a name that is hit, and what it says.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use support::dns::{Libc, Resolved, Resolver};

use super::Effort;
use super::scene::{Pair, Scene};
use crate::delay::figures::{median, ms, percentile, spread};
use crate::delay::table::{Row, Table};

const NAME: &str = "api.payments.example";
/// What the resolver waits for an answer (its `resolv.conf` says so).
const TIMEOUT: Duration = Duration::from_secs(1);
/// With a fault and without, by turns.
const TURNS: u32 = 4;

pub fn rows(scene: &Scene, effort: Effort, table: &mut Table) -> Result<()> {
    let count = effort.pick(1000, 100);
    Table::progress(&format!("getaddrinfo, {count} times each, in turns"));
    let ask = |pair: &Pair, count| -> Result<Vec<Resolved>> {
        let resolver = Resolver::new(Libc::Glibc, &[pair.server()?])?;
        resolver.ask(pair.client(), None, NAME, None, count)
    };
    for (answer, result) in [
        ("nxdomain", "EAI_NONAME"),
        ("servfail", "EAI_AGAIN"),
        ("{A: 192.0.2.1}", "OK"),
    ] {
        let run = scene.arm(&format!("names: [{NAME}], answer: {answer}"))?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            ours.extend(ask(&scene.chaosd, count / TURNS)?);
            theirs.extend(ask(&scene.plain, count / TURNS)?);
        }
        run.revert()?;
        let wrong = ours.iter().filter(|one| one.result != result).count();
        ensure!(wrong == 0, "{wrong} of {count} were not {result}: {ours:?}");
        let [ours, theirs] =
            [ours, theirs].map(|all| all.iter().map(|one| ms(one.took)).collect::<Vec<_>>());
        table.push(Row {
            what: format!("getaddrinfo, {answer}"),
            chaosd: format!("{result} in {:.3} ms", median(&ours)),
            beside: format!("OK in {:.3} ms", median(&theirs)),
            ratio: Some(median(&ours) / median(&theirs)),
            target: "< 1 ms".to_owned(),
            holds: Some(median(&ours) < 1.0 && percentile(&ours, 99) < 1.0),
            note: format!(
                "A and AAAA, median of {count}; 99 % within {:.3} ms, the longest {:.3}; no fault: \
                 {:.3} and {:.3}",
                percentile(&ours, 99),
                spread(&ours).1,
                percentile(&theirs, 99),
                spread(&theirs).1,
            ),
            figures: json!({"ms": ours, "no_fault_ms": theirs}),
        });
    }
    let run = scene.arm(&format!("names: [{NAME}], answer: drop"))?;
    let lost = ask(&scene.chaosd, 2)?;
    run.revert()?;
    let times: Vec<f64> = lost.iter().map(|one| ms(one.took)).collect();
    let (least, most) = spread(&times);
    let timed_out = lost.iter().all(|one| one.result == "EAI_AGAIN");
    table.push(Row {
        what: "getaddrinfo, drop".to_owned(),
        chaosd: format!("{} in {:.0} ms", lost[0].result, median(&times)),
        beside: "-".to_owned(),
        target: "its own time-out".to_owned(),
        holds: Some(timed_out && least >= ms(TIMEOUT) && most < 1.5 * ms(TIMEOUT)),
        note: "resolv.conf: timeout:1 attempts:1".to_owned(),
        figures: json!({"ms": times}),
        ..Row::default()
    });
    Ok(())
}
