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

/// The exit code of a load that failed. One that was still there after the last stage was ended by us.
fn failed_load(record: &Record) -> Option<u8> {
    let load = record.load.as_ref()?;
    let last = record.stages.last().map_or(0.0, |stage| stage.end);
    let by_signal = load.exit.is_some_and(|code| code > 128);
    load.exit
        .filter(|code| *code != 0 && !(by_signal && load.end >= last))
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
    if let Some(code) = failed_load(record).filter(|_| passes) {
        return Exit::Command(code);
    }
    runs()
        .map(|run| Exit::of_run(run, false, None))
        .find(|exit| *exit != Exit::Done)
        .unwrap_or(Exit::Done)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    /// Faults from 1 s to 2 s, and a look every 0.25 s of which these fail.
    fn record(end: &serde_json::Value, failed: &[usize], at_least: f64) -> Record {
        let samples: Vec<_> = (0..12_u32)
            .map(|n| {
                let ok = failed.iter().all(|bad| u32::try_from(*bad) != Ok(n));
                json!({"at": 0.25 * f64::from(n), "took": 0.01, "ok": ok})
            })
            .collect();
        serde_json::from_value(json!({
            "schema": 1, "id": "x-00000001", "version": "0", "host": {"name": "a", "kernel": "6"},
            "profile": "p", "about": "", "started": "", "seconds": 3.0, "seed": 1, "end": end,
            "stages": [{"name": "s", "begin": 1.0, "end": 2.0, "planned": 1.0, "armed": 1.0, "over": 2.0}],
            "probes": [{
                "name": "http", "kind": "http", "what": "", "weight": 1.0, "at-least": at_least,
                "unit": "ms", "samples": samples,
            }],
            "aborts": [], "blast": {"hit": [], "spared": []}, "problems": [], "notes": [],
        }))
        .unwrap()
    }

    #[test]
    fn only_looks_under_faults_decide_and_enough_is_enough() {
        let completed = json!({"how": "completed"});
        let code = |failed: &[usize], at_least| {
            verdict(&record(&completed, failed, at_least), false).code()
        };
        assert_eq!(code(&[], 1.0), 0);
        assert_eq!(code(&[0, 3, 8, 11], 1.0), 0);
        assert_eq!(code(&[4], 1.0), 4);
        assert_eq!(code(&[4], 0.75), 0);
        assert_eq!(code(&[4, 7], 0.75), 4);
    }

    #[test]
    fn the_end_decides_before_what_was_seen() {
        for (end, code) in [
            (json!({"how": "not-steady", "why": "a"}), 4),
            (
                json!({"how": "aborted", "why": "a", "at": 1.5, "gone": 1.6}),
                4,
            ),
            (json!({"how": "interrupted", "at": 1.5}), 130),
            (json!({"how": "broken", "why": "a", "at": 1.5}), 130),
        ] {
            assert_eq!(
                verdict(&record(&end, &[], 1.0), false).code(),
                code,
                "{end}"
            );
        }
        let mut stuck = record(&json!({"how": "interrupted", "at": 1.5}), &[], 1.0);
        stuck.problems.push("a limit is still in force".into());
        assert_eq!(verdict(&stuck, false).code(), 6);
        let mut refused = record(&json!({"how": "broken", "why": "a", "at": 1.5}), &[], 1.0);
        refused.stages[0].armed = None;
        assert_eq!(verdict(&refused, false).code(), 3);
    }
}
