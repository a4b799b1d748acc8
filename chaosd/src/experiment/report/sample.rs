//! Records as small as a test needs them.

use std::collections::BTreeMap;

use crate::{
    experiment::record::{Abort, Blast, End, Host, Probe, Record, SCHEMA, Sample, Stage},
    report::{Count, Ended, FaultReport, Phase, RunReport, Verdict},
};

/// A run that is over, with these faults: name, affected, matched, verdict.
pub(crate) fn run(id: &str, faults: &[(&str, u64, u64, Verdict)]) -> RunReport {
    let faults = faults
        .iter()
        .map(|(name, affected, matched, verdict)| FaultReport {
            name: (*name).into(),
            kind: "drop".into(),
            part_of: None,
            what: "drops 2 % of packets".into(),
            ingress: Count::default(),
            egress: Count {
                seen: *matched,
                matched: *matched,
                affected: *affected,
                ..Count::default()
            },
            verdict: *verdict,
            dns: None,
            effect: None,
        });
    RunReport {
        id: id.into(),
        profile: "lossy".into(),
        target: "the host".into(),
        phase: Phase::Reverted,
        ended: Some(Ended::Deadline),
        started: "2026-11-22T01:02:03Z".into(),
        for_seconds: 60.0,
        left_seconds: 0.0,
        seed: 7,
        arm_ms: 1.0,
        faults: faults.collect(),
        members: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

/// 10 s of rest, 20 s under a fault that acts, 10 s of recovery; no probes.
pub(crate) fn record() -> Record {
    let effective = run(
        "r-00000001",
        &[("lossy", 2_050, 100_000, Verdict::Effective)],
    );
    Record {
        schema: SCHEMA,
        id: "x-0000000a".into(),
        version: "0.1.0".into(),
        host: Host {
            name: "shop1".into(),
            kernel: "6.12.0".into(),
        },
        profile: "slow-database".into(),
        command: Vec::new(),
        about: String::new(),
        hypothesis: Some("The shop answers within 300 ms.".into()),
        started: "2026-11-22T01:02:03Z".into(),
        seconds: 40.0,
        seed: 7,
        end: End::Completed,
        stages: vec![
            stage("baseline", 0.0, 10.0, None),
            stage("full", 10.0, 30.0, Some(effective)),
            stage("recovery", 30.0, 40.0, None),
        ],
        probes: Vec::new(),
        aborts: Vec::new(),
        load: None,
        control: None,
        blast: Blast::default(),
        surprises: String::new(),
        problems: Vec::new(),
        notes: Vec::new(),
        analysis: None,
    }
}

fn stage(name: &str, begin: f64, end: f64, run: Option<RunReport>) -> Stage {
    Stage {
        name: name.into(),
        begin,
        end,
        planned: end - begin,
        set: BTreeMap::new(),
        armed: run.is_some().then_some(begin),
        over: run.is_some().then_some(end),
        bands: Vec::new(),
        run,
    }
}

/// A probe that looked every second for 40 s at half past, took 0.1 s, and failed in these seconds.
pub(crate) fn probe(name: &str, failed: impl Fn(u32) -> bool) -> Probe {
    let samples = (0..40).map(|second| {
        let ok = !failed(second);
        Sample {
            at: f64::from(second) + 0.5,
            took: 0.1,
            value: ok.then_some(100.0),
            ok,
            why: (!ok).then(|| "refused".into()),
        }
    });
    Probe {
        name: name.into(),
        kind: "http".into(),
        what: "GET http://shop.local/: 200 within 300 ms".into(),
        control: false,
        weight: 1.0,
        at_least: 1.0,
        unit: "ms".into(),
        limit: Some(300.0),
        samples: samples.collect(),
    }
}

/// A condition on a probe.
pub(crate) fn abort(probe: &str, fired: Option<f64>) -> Abort {
    Abort {
        what: format!("{probe} failing for 5 s"),
        probe: Some(probe.into()),
        fired,
    }
}
