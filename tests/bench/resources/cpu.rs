//! The load of a CPU.

use std::time::Duration;

use anyhow::Result;
use chaosd::burn::{Burner, Progress, Work};
use nix::unistd::Pid;
use serde_json::json;

use super::chaosd;
use super::rival::{NICE, Rival};
use super::watch::{self, Cpus, Loads, loads};
use crate::delay::figures::{mean_and_deviation, spread};
use crate::delay::table::{Row, Table};
use crate::options::Effort;

/// In percentage points.
const ERROR_MOST: f64 = 0.1;
/// What a task gets of a CPU beside one that always runs, in percent, if nobody else is there.
const FAIR_SHARE: f64 = 50.0;
/// How much less than such a task it may get, in percentage points: what the scheduler owes at the
/// ends.
const FAIR_MOST: f64 = 0.5;
/// How far what it says may be from what is seen, in percentage points: it counts from its start.
const TOLD_MOST: f64 = 1.0;
const WARM: Duration = Duration::from_millis(500);
/// Until a burner has the weight that it needs, and has made good what it missed before.
const WON: Duration = Duration::from_secs(8);

pub fn rows(effort: Effort, table: &mut Table) -> Result<()> {
    let time = effort.pick(Duration::from_secs(10), Duration::from_secs(3));
    let cpus = Cpus::choose()?;
    watch::pin(Pid::from_raw(0), cpus.meter)?;
    for contended in [false, true] {
        for slice in [10, 100].map(Duration::from_millis) {
            for load in [10, 30, 50, 80] {
                Table::progress(&format!(
                    "{load} % of {} CPU, {slice:?} slices, {time:?}",
                    of(contended)
                ));
                let asked = Asked {
                    load,
                    slice,
                    hog: contended.then(|| Rival::hog(cpus.burnt)).transpose()?,
                };
                let ours = burner(cpus, &asked, time)?;
                let theirs = stress(cpus, &asked, time)?;
                table.push(row(&asked, &ours, &theirs));
            }
        }
    }
    Ok(())
}

fn of(contended: bool) -> &'static str {
    if contended { "a contended" } else { "an idle" }
}

/// What a row is about.
struct Asked {
    /// In percent.
    load: u32,
    slice: Duration,
    /// Who wants all of the CPU.
    hog: Option<Rival>,
}

/// What became of a burner.
struct Burnt {
    seen: Loads,
    /// Its own account.
    told: Progress,
    /// What the hog got meanwhile, as a share of the CPU.
    hog: Option<f64>,
}

fn burner(cpus: Cpus, asked: &Asked, time: Duration) -> Result<Burnt> {
    let work = Work::Cpu {
        cpu: cpus.burnt.try_into()?,
        slice: asked.slice,
        load: f64::from(asked.load) / 100.0,
        nice: NICE,
        insist: true,
    };
    let mut burner = Burner::start_by(&chaosd()?, &work, &[])?;
    let pids = [Pid::from_raw(burner.pid().try_into()?)];
    burner.vouch(1.0)?;
    let warm = if asked.hog.is_some() { WON } else { WARM };
    loads(&pids, asked.slice, warm, || Ok(burner.vouch(1.0)?))?;
    let hog = asked.hog.as_ref().map(Rival::pids).transpose()?;
    let before = hog.as_deref().map(watch::both).transpose()?;
    let seen = loads(&pids, asked.slice, time, || Ok(burner.vouch(1.0)?))?;
    let after = hog.as_deref().map(watch::both).transpose()?;
    Ok(Burnt {
        seen,
        told: burner.progress(),
        hog: before.zip(after).map(|(from, to)| watch::share(from, to)),
    })
}

fn stress(cpus: Cpus, asked: &Asked, time: Duration) -> Result<Loads> {
    let rival = Rival::cpu(cpus.burnt, asked.load, asked.slice)?;
    // It starts its worker, and has no bias to correct yet.
    watch::sleep_until(watch::now()? + WARM * 2);
    loads(&rival.pids()?, asked.slice, time, || Ok(()))
}

fn row(asked: &Asked, ours: &Burnt, theirs: &Loads) -> Row {
    let load = f64::from(asked.load);
    let error = |loads: &Loads| loads.mean * 100.0 - load;
    let written = |loads: &Loads| {
        let (_, deviation) = mean_and_deviation(&loads.slices);
        format!("{:+.3} pp, sd {:.2}", error(loads), deviation * 100.0)
    };
    let (least, most) = spread(&ours.seen.slices);
    let mut note = format!(
        "slices of {:.1} to {:.1} % from outside; sd {:.2} by its own account",
        least * 100.0,
        most * 100.0,
        ours.told.slices.deviation() * 100.0
    );
    let mut target = "";
    let mut holds = error(&ours.seen).abs() <= ERROR_MOST;
    if let Some(hog) = ours.hog.map(|hog| hog * 100.0) {
        let reached = ours.told.load_reached() * 100.0;
        note = format!(
            "{note}; the hog got {hog:.2} %; it says that it reached {reached:.2} of {load} %"
        );
        if load >= FAIR_SHARE {
            target = ", or fair";
            let got = ours.seen.mean * 100.0;
            let fair = got >= hog - FAIR_MOST && got <= load;
            holds |= fair && (reached - got).abs() <= TOLD_MOST;
        }
    }
    let contended = asked.hog.is_some();
    Row {
        what: format!(
            "{load} % of {} CPU, {} ms",
            of(contended),
            asked.slice.as_millis()
        ),
        chaosd: written(&ours.seen),
        beside: written(theirs),
        target: format!("within {ERROR_MOST} pp{target}"),
        holds: Some(holds),
        note,
        figures: json!({
            "load": asked.load, "slice_ms": asked.slice.as_millis(), "contended": contended,
            "chaosd": figures(&ours.seen), "stress_ng": figures(theirs), "hog": ours.hog,
            "told": {
                "asked": ours.told.load_asked(), "reached": ours.told.load_reached(),
                "deviation": ours.told.slices.deviation(),
            },
        }),
        ..Row::default()
    }
}

fn figures(loads: &Loads) -> serde_json::Value {
    let (_, deviation) = mean_and_deviation(&loads.slices);
    let (least, most) = spread(&loads.slices);
    json!({
        "mean": loads.mean, "deviation": deviation, "least": least, "most": most,
        "slices": loads.slices.len(),
    })
}
