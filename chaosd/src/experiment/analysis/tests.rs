//! What follows from records whose truth is known.
#![expect(clippy::float_cmp, reason = "what is compared was never rounded")]

use super::*;
use crate::experiment::report::sample::{abort, probe, record, run};
use crate::experiment::{record::End, words};

fn with(probes: Vec<Probe>) -> Record {
    Record { probes, ..record() }
}

#[test]
fn probes_that_never_fail_hold() {
    let analysis = analyse(&with(vec![
        probe("http", |_| false),
        probe("tcp", |_| false),
    ]));
    assert_eq!(analysis.held, Some(true));
    assert_eq!(analysis.score, Some(100.0));
    assert_eq!((analysis.detected, analysis.recovered), (None, Some(0.0)));
    assert!(
        analysis.why.contains("Both probes held"),
        "{}",
        analysis.why
    );
    assert!(analysis.why.contains("40 of 40"), "{}", analysis.why);
}

#[test]
fn a_share_of_samples_must_hold() {
    let asked = |at_least| {
        let mut probe = probe("http", |second| second == 15);
        probe.at_least = at_least;
        analyse(&with(vec![probe]))
    };
    assert_eq!(asked(0.95).held, Some(true));
    let missed = asked(0.96);
    assert_eq!(missed.held, Some(false));
    for part in ["http", "95 %", "96 %", "20 samples"] {
        assert!(missed.why.contains(part), "{part} in {}", missed.why);
    }
}

#[test]
fn what_fails_before_and_after_the_faults_is_not_held_against_them() {
    let analysis = analyse(&with(vec![probe("http", |second| second == 5)]));
    assert_eq!(analysis.held, Some(true));
    assert_eq!((analysis.detected, analysis.recovered), (None, Some(0.0)));
}

#[test]
fn the_times_are_those_of_the_first_failure_and_of_the_last() {
    let late = probe("http", |second| (12..33).contains(&second));
    let later = probe("tcp", |second| (14..35).contains(&second));
    let analysis = analyse(&with(vec![late, later]));
    // The sample at 12.5 took 0.1; faults were in force from 10 to 30; the sample at 35.5 is well.
    assert!((analysis.detected.expect("it failed") - 2.6).abs() < 1e-9);
    assert_eq!(analysis.recovered, Some(5.5));
}

#[test]
fn what_never_holds_again_has_not_recovered() {
    let analysis = analyse(&with(vec![probe("http", |second| second >= 20)]));
    assert_eq!(analysis.recovered, None);
    let at_once = analyse(&with(vec![probe("http", |second| second == 20)]));
    assert_eq!(at_once.recovered, Some(0.0));
}

#[test]
fn a_look_that_fails_later_is_no_late_recovery() {
    let once_more = analyse(&with(vec![probe("http", |second| {
        (12..33).contains(&second) || second == 37
    })]));
    assert_eq!(once_more.recovered, Some(3.5));
    // All at once for a second: the one was well before the other, and not with it.
    let early = probe("http", |second| (12..31).contains(&second) || second == 34);
    let late = probe("tcp", |second| (12..34).contains(&second));
    assert_eq!(analyse(&with(vec![early, late])).recovered, Some(5.5));
}

#[test]
fn an_abort_in_a_pause_does_not_move_the_end_of_the_faults() {
    let mut record = with(vec![probe("http", |second| (12..37).contains(&second))]);
    record.end = End::Aborted {
        why: "http failing".into(),
        at: 35.0,
        gone: 35.0,
    };
    assert_eq!(analyse(&record).recovered, Some(7.5));
}

#[test]
fn who_never_looked_says_nothing_of_a_recovery() {
    let mut unseen = probe("http", |_| false);
    unseen.samples.clear();
    let record = with(vec![unseen]);
    let analysis = analyse(&record);
    assert_eq!((analysis.detected, analysis.recovered), (None, None));
    let told = (
        words::detected(&record, &analysis),
        words::recovered(&record, &analysis),
    );
    assert_eq!(told, ("not looked at".into(), "not looked at".into()));
}

#[test]
fn the_score_is_weighed() {
    let mut light = probe("http", |second| second == 15);
    light.weight = 1.0;
    let mut heavy = probe("tcp", |_| false);
    heavy.weight = 3.0;
    let mut unseen = probe("never", |_| true);
    unseen.samples.clear();
    let analysis = analyse(&with(vec![light, heavy, unseen]));
    assert_eq!(analysis.score, Some(75.0));
}

#[test]
fn an_abort_counts_its_probe_as_failed() {
    let mut spared = probe("http", |second| second == 28);
    spared.at_least = 0.5;
    let mut record = Record {
        end: End::Aborted {
            why: "http failing for 5 s".into(),
            at: 29.0,
            gone: 29.1,
        },
        aborts: vec![abort("http", Some(29.0)), abort("tcp", None)],
        ..with(vec![spared, probe("tcp", |_| false)])
    };
    record.stages[1].over = Some(29.1);
    let analysis = analyse(&record);
    assert_eq!(analysis.held, Some(false));
    assert_eq!(analysis.score, Some(50.0));
    assert!((analysis.recovered.expect("it did") - 0.4).abs() < 1e-9);
    assert!(
        analysis.why.contains("after 29 s: http failing for 5 s."),
        "{}",
        analysis.why
    );
}

#[test]
fn what_was_not_put_to_the_test_has_neither_held_nor_failed() {
    let good = || probe("http", |_| false);
    let unarmed = |mut record: Record| {
        record
            .stages
            .iter_mut()
            .for_each(|stage| stage.armed = None);
        record
    };
    let idle = |mut record: Record| {
        record.stages[1].run = Some(run("r-1", &[("lossy", 0, 0, Verdict::Ineffective)]));
        record
    };
    let ended = |end: End| Record {
        end,
        ..with(vec![good()])
    };
    let not_steady = ended(End::NotSteady {
        why: "http: refused".into(),
    });
    let interrupted = ended(End::Interrupted { at: 20.0 });
    for (record, said) in [
        (not_steady, "http: refused."),
        (interrupted, "after 20 s"),
        (with(Vec::new()), "Nothing was looked at"),
        (unarmed(with(vec![good()])), "No fault was in force"),
        (idle(with(vec![good()])), "No fault had an effect"),
    ] {
        let analysis = analyse(&record);
        assert_eq!((analysis.held, analysis.score), (None, None));
        assert!(analysis.why.contains(said), "{}", analysis.why);
    }
}

#[test]
fn an_interrupted_experiment_may_have_failed_already() {
    let record = Record {
        end: End::Interrupted { at: 20.0 },
        ..with(vec![probe("http", |second| second > 12)])
    };
    assert_eq!(analyse(&record).held, Some(false));
}

#[test]
fn the_control_has_no_part_in_what_holds() {
    let control = Probe {
        control: true,
        ..probe("http", |second| second > 12)
    };
    let analysis = analyse(&with(vec![probe("http", |_| false), control]));
    assert_eq!(analysis.held, Some(true));
    assert_eq!((analysis.score, analysis.detected), (Some(100.0), None));
    assert_eq!(analysis.probes[1].held, Some(false));
}

#[test]
fn target_and_control_are_compared_and_silence_counts_as_late() {
    let mut target = probe("http", |second| second % 3 == 0);
    for (n, sample) in target.samples.iter_mut().enumerate() {
        sample.value = sample.value.map(|_| 110.0 + count(n % 4));
        sample.took = if sample.ok { 0.11 } else { 1.0 };
    }
    let mut control = Probe {
        control: true,
        ..probe("http", |_| false)
    };
    for (n, sample) in control.samples.iter_mut().enumerate() {
        sample.value = Some(100.0 + count(n % 4));
    }
    let analysis = analyse(&with(vec![target, control]));
    let [found] = analysis.comparisons.as_slice() else {
        panic!("{:?}", analysis.comparisons);
    };
    assert!(found.differs && found.low > 0.0, "{found:?}");
    assert_eq!(found.control, 101.5);
    // A third of the samples lies above all others.
    assert!(found.target >= 112.0, "{found:?}");
}

#[test]
fn each_stage_has_its_figures() {
    let analysis = analyse(&with(vec![probe("http", |second| second == 15)]));
    let [baseline, full, _] = analysis.probes[0].stages.as_slice() else {
        panic!("{:?}", analysis.probes);
    };
    assert_eq!((baseline.samples, baseline.failed), (10, 0));
    assert_eq!((full.samples, full.failed), (20, 1));
    assert_eq!(
        (full.median, full.p95, full.most),
        (Some(100.0), Some(100.0), Some(100.0))
    );
}

#[test]
fn a_kept_analysis_is_the_same_made_anew() {
    let record = with(vec![probe("http", |second| second == 15)]).analysed();
    let again = analyse(&record);
    let text = |analysis: &Analysis| serde_json::to_string(analysis).expect("plain data");
    assert_eq!(text(&record.analysis()), text(&again));
}
