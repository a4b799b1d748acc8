//! What becomes of a record: the one place to which every run that is over comes.

use super::{
    Exit, Global,
    out::{self, DIM, paint},
    render,
};
use crate::{
    experiment::{
        record::{End, Record},
        words::{is_ended_by_us, is_plain, outcome},
    },
    report::Phase,
};

/// Keeps it, and tells in one line what an experiment came to. That it cannot be kept changes nothing of what
/// the run came to.
pub(super) fn keep(record: &Record, global: &Global) {
    if !is_plain(record) {
        out::tell(summary(record));
    }
    match global.runs.store().keep(record) {
        Ok(kept) => {
            kept.problems.iter().for_each(out::tell);
            let page = kept.page();
            out::tell(paint(DIM, format_args!("report: {}", page.display())));
        }
        Err(error) => out::tell(format_args!("the run is not kept: {}", out::chain(&error))),
    }
}

/// The words that run this.
pub(super) fn words() -> Vec<String> {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    // Whatever path it was started by.
    words.next();
    std::iter::once("chaosd".to_owned()).chain(words).collect()
}

fn summary(record: &Record) -> String {
    let analysis = record.analysis();
    let (outcome, tone) = outcome(record, &analysis);
    format!(
        "{} {}: {}",
        paint(render::style(tone), outcome),
        record.id,
        analysis.why
    )
}

/// The exit code of a load that failed.
fn failed_load(record: &Record) -> Option<u8> {
    let load = record.load.as_ref()?;
    load.exit
        .filter(|code| *code != 0 && !is_ended_by_us(record, load))
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
        End::Broken { at, .. } => {
            // Faults that were in force then went after it.
            let mut gone = record.stages.iter().filter_map(|stage| stage.over);
            let armed = gone.any(|gone| gone >= *at);
            return if armed { Exit::Interrupted } else { Exit::Host };
        }
        End::Completed => {}
    }
    let analysis = record.analysis();
    if analysis.held == Some(false) {
        return Exit::Aborted;
    }
    if let Some(code) = failed_load(record).filter(|_| passes) {
        return Exit::Command(code);
    }
    // A probe never looked while something was in force.
    let unseen = analysis
        .probes
        .iter()
        .any(|one| !one.control && one.held.is_none());
    runs()
        .map(|run| Exit::of_run(run, false, None))
        .find(|exit| *exit != Exit::Done)
        .unwrap_or(if unseen { Exit::NoEffect } else { Exit::Done })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiment::record::Stage;

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
        (refused.stages[0].armed, refused.stages[0].over) = (None, None);
        assert_eq!(verdict(&refused, false).code(), 3);
        // The stage before it had faults, which went in order.
        let mut second = record(&json!({"how": "broken", "why": "a", "at": 2.5}), &[], 1.0);
        assert_eq!(verdict(&second, false).code(), 3);
        // The recovery that is looked at afterwards has none.
        second.end =
            serde_json::from_value(json!({"how": "broken", "why": "a", "at": 1.5})).unwrap();
        let recovery = Stage {
            armed: None,
            over: None,
            ..second.stages[0].clone()
        };
        second.stages.push(recovery);
        assert_eq!(verdict(&second, false).code(), 130);
    }
}
