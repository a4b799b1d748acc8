//! What becomes of a record: the one place to which every run that is over comes.

use super::{
    Exit,
    out::{self, BAD, GOOD, WARN, paint},
};
use crate::{
    experiment::record::{End, Probe, Record, Stage},
    report::Phase,
};

/// Tells in one line what a run came to.
pub(super) fn keep(record: &Record) {
    out::tell(summary(record));
}

fn summary(record: &Record) -> String {
    let id = &record.id;
    match &record.end {
        End::NotSteady { why } => format!(
            "{} {id}: the steady state does not hold, and nothing was done: {why}",
            paint(BAD, "not started")
        ),
        End::Aborted { why, .. } => format!("{} {id}: {why}", paint(BAD, "aborted")),
        End::Interrupted { .. } => format!("{} {id}", paint(WARN, "interrupted")),
        End::Broken { why, .. } => format!("{} {id}: {why}", paint(BAD, "broken off")),
        End::Completed => {
            let broken = failing(record);
            if record.probes.is_empty() {
                format!("{} {id}", paint(GOOD, "completed"))
            } else if broken.is_empty() {
                format!(
                    "{} {id}: the steady state held under faults",
                    paint(GOOD, "held")
                )
            } else {
                let told: Vec<String> = broken
                    .iter()
                    .map(|(probe, share)| {
                        format!("{} in {:.1} % of looks", probe.name, share * 100.0)
                    })
                    .collect();
                format!(
                    "{} {id}: under faults the steady state held by {}",
                    paint(BAD, "did not hold"),
                    told.join(", by ")
                )
            }
        }
    }
}

/// Probes of the target that held less often under faults than they were to, and how often.
fn failing(record: &Record) -> Vec<(&Probe, f64)> {
    let under_faults = |at: f64| {
        let in_force = |stage: &Stage| {
            let (from, to) = (stage.armed?, stage.over?);
            (from..to).contains(&at).then_some(())
        };
        record.stages.iter().any(|stage| in_force(stage).is_some())
    };
    let share = |probe: &Probe| {
        let mut looks = 0_u32;
        let mut good = 0_u32;
        for sample in probe.samples.iter().filter(|s| under_faults(s.at)) {
            looks += 1;
            good += u32::from(sample.ok);
        }
        (looks > 0).then(|| f64::from(good) / f64::from(looks))
    };
    let probes = record.probes.iter().filter(|probe| !probe.control);
    probes
        .filter_map(|probe| Some((probe, share(probe)?)))
        .filter(|(probe, share)| *share < probe.at_least)
        .collect()
}

/// The exit code of an experiment. The worst news wins, as for a run. `passes`: the load's exit code is
/// passed on.
pub(super) fn verdict(record: &Record, passes: bool) -> Exit {
    let runs = || record.stages.iter().filter_map(|stage| stage.run.as_ref());
    if !record.problems.is_empty() || runs().any(|run| run.phase == Phase::Failed) {
        return Exit::NotReverted;
    }
    match &record.end {
        End::NotSteady { .. } | End::Aborted { .. } => return Exit::Aborted,
        End::Interrupted { .. } => return Exit::Interrupted,
        End::Broken { .. } => {
            let last = record.stages.last();
            let armed = last.is_some_and(|stage| stage.armed.is_some());
            return if armed { Exit::Interrupted } else { Exit::Host };
        }
        End::Completed => {}
    }
    if !failing(record).is_empty() {
        return Exit::Aborted;
    }
    let code = record.load.as_ref().and_then(|load| load.exit);
    if let Some(code) = code.filter(|code| passes && *code != 0) {
        return Exit::Command(code);
    }
    runs()
        .map(|run| Exit::of_run(run, false, None))
        .find(|exit| *exit != Exit::Done)
        .unwrap_or(Exit::Done)
}
