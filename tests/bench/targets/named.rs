//! From the name to an armed fault: with chaosd's programs in the target's network already, and before
//! they are there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use support::{Daemon, is_emulated};

use super::echo::Echo;
use super::{Ask, Subject, bound, verdict};
use crate::delay::figures::{median, ms, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

const LIMIT_MS: f64 = 100.0;
/// A daemon that was started so long ago has loaded its programs.
const LOADS: Duration = Duration::from_secs(2);

pub fn rows(subject: &Subject, effort: Effort, table: &mut Table) -> Result<()> {
    let name = subject.name;
    Table::progress(&format!("{name}: to the first fault"));
    let first = (0..effort.pick(9, 3)).map(|_| first(subject));
    let first = first.collect::<Result<Vec<_>>>()?;
    table.push(row(format!("{name}: name to first fault"), &first));

    Table::progress(&format!("{name}: to the next"));
    let daemon = Daemon::start(&subject.options())?;
    let ask = Ask::new(&daemon)?;
    let mut next = Vec::new();
    for round in 0..=effort.pick(21, 5) {
        let one = arm(&ask, subject)?;
        if round > 0 {
            next.push(one);
        }
    }
    table.push(row(format!("{name}: name to next fault"), &next));
    Ok(())
}

/// The time until a run was told to be armed, and that of arming alone.
struct Took {
    whole: f64,
    arming: f64,
}

fn arm(ask: &Ask, subject: &Subject) -> Result<Took> {
    let since = Instant::now();
    let report = ask.arm(subject)?;
    let whole = ms(since.elapsed());
    ask.revert(&report.id)?;
    Ok(Took {
        whole,
        arming: report.arm_ms,
    })
}

/// By a daemon that has spoken to nobody yet, and has loaded its programs ahead.
fn first(subject: &Subject) -> Result<Took> {
    let echo = Echo::new(subject.pid()?)?;
    let daemon = Daemon::start(&subject.options())?;
    let ask = Ask::new(&daemon)?;
    std::thread::sleep(if is_emulated() { 3 * LOADS } else { LOADS });
    let since = Instant::now();
    let report = ask.arm(subject)?;
    let whole = ms(since.elapsed());
    // That it is armed is not only said.
    ensure!(echo.is_cut()?, "it is not hit");
    ask.revert(&report.id)?;
    ensure!(!echo.is_cut()?, "it is hit still");
    Ok(Took {
        whole,
        arming: report.arm_ms,
    })
}

fn row(what: String, took: &[Took]) -> Row {
    let of = |of: fn(&Took) -> f64| took.iter().map(of).collect::<Vec<f64>>();
    let [whole, arming] = [of(|took| took.whole), of(|took| took.arming)];
    let rest = of(|took| took.whole - took.arming);
    let (least, most) = spread(&whole);
    Row {
        what,
        chaosd: format!("{:.1} ms", median(&whole)),
        beside: format!("{:.1} found, {:.1} armed", median(&rest), median(&arming)),
        target: format!("< {LIMIT_MS:.0} ms"),
        holds: verdict(median(&whole) < LIMIT_MS),
        note: format!(
            "median of {}, {least:.1} to {most:.1} ms, of the request to the daemon{}",
            took.len(),
            bound()
        ),
        figures: json!({"ms": whole, "arm_ms": arming}),
        ..Row::default()
    }
}
