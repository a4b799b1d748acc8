//! What follows from a record. Pure: the same record always comes to the same.
//!
//! *Under faults* is a sample that began while the faults of a stage were in force. A probe *holds*
//! when the share of its samples under faults that were as expected is what it asks for. The control
//! is there to be compared with, and has no part in what holds.
//!
//! The score is `100 * (weights of the probes that held) / (weights of all that were looked at under
//! faults)`; the probe of a condition that ended the experiment did not hold. There is none where the
//! hypothesis neither held nor failed.

mod compare;
mod times;
mod why;

pub(super) use compare::{latest, values};
pub(super) use times::gone;

use super::{
    record::{Analysis, Probe, ProbeAnalysis, Record, Sample, Stage, StageAnalysis},
    stats::{self, count},
};
use crate::report::Verdict;

/// Shares that differ by less are the same share.
const ROUNDING: f64 = 1e-9;

/// What follows from `record`; an analysis that it has already is not looked at.
pub fn analyse(record: &Record) -> Analysis {
    let windows = windows(&record.stages);
    let probes: Vec<ProbeAnalysis> = record
        .probes
        .iter()
        .map(|probe| ProbeAnalysis {
            name: probe.name.clone(),
            control: probe.control,
            held: held(record, probe, &windows),
            stages: record.stages.iter().map(|s| stage(probe, s)).collect(),
        })
        .collect();
    let (held, why) = why::verdict(record, &probes, &windows);
    Analysis {
        held,
        why,
        score: held.and_then(|_| score(record, &probes)),
        detected: times::detected(record, &windows),
        recovered: times::recovered(record),
        comparisons: compare::comparisons(record, &windows),
        probes,
    }
}

impl Record {
    /// With its analysis.
    #[must_use]
    pub fn analysed(mut self) -> Self {
        self.analysis = Some(analyse(&self));
        self
    }

    /// Its analysis: the one that was kept with it, or else a new one.
    pub fn analysis(&self) -> Analysis {
        self.analysis.clone().unwrap_or_else(|| analyse(self))
    }
}

/// A time in which faults were in force: from, to.
type Window = (f64, f64);

/// When the faults of each stage were in force.
pub(crate) fn windows(stages: &[Stage]) -> Vec<Window> {
    let window = |stage: &Stage| Some((stage.armed?, stage.over.unwrap_or(stage.end)));
    stages.iter().filter_map(window).collect()
}

/// The samples that began under faults.
pub(super) fn under<'s>(
    samples: &'s [Sample],
    windows: &'s [Window],
) -> impl Iterator<Item = &'s Sample> {
    let within = |at: f64| windows.iter().any(|(from, to)| (*from..*to).contains(&at));
    samples.iter().filter(move |sample| within(sample.at))
}

/// How many samples began under faults, and how many of those were as expected.
pub(super) fn tally(probe: &Probe, windows: &[Window]) -> (usize, usize) {
    under(&probe.samples, windows).fold((0, 0), |(all, ok), sample| {
        (all + 1, ok + usize::from(sample.ok))
    })
}

fn held(record: &Record, probe: &Probe, windows: &[Window]) -> Option<bool> {
    if !probe.control && ended_it(record, probe) {
        return Some(false);
    }
    let (all, ok) = tally(probe, windows);
    (all > 0).then(|| count(ok) >= probe.at_least * count(all) - ROUNDING)
}

/// A condition on this probe ended the experiment.
fn ended_it(record: &Record, probe: &Probe) -> bool {
    let mut fired = record.aborts.iter().filter(|abort| abort.fired.is_some());
    fired.any(|abort| abort.probe.as_ref() == Some(&probe.name))
}

/// Something that has an effect was in force.
pub(in crate::experiment) fn acted(record: &Record) -> bool {
    let idle = |verdict| {
        matches!(
            verdict,
            Verdict::Spared | Verdict::Ineffective | Verdict::NoTraffic | Verdict::NotTaken
        )
    };
    let mut armed = record.stages.iter().filter(|stage| stage.armed.is_some());
    armed.any(|stage| match &stage.run {
        Some(run) => run.faults.is_empty() || run.faults.iter().any(|f| !idle(f.verdict)),
        None => true,
    })
}

fn stage(probe: &Probe, stage: &Stage) -> StageAnalysis {
    let in_it = |sample: &&Sample| (stage.begin..stage.end).contains(&sample.at);
    let samples = || probe.samples.iter().filter(in_it);
    let values = stats::sorted(samples().filter_map(|sample| sample.value));
    StageAnalysis {
        stage: stage.name.clone(),
        samples: samples().count(),
        failed: samples().filter(|sample| !sample.ok).count(),
        median: stats::median(&values),
        p95: stats::quantile(&values, 0.95),
        most: values.last().copied(),
    }
}

fn score(record: &Record, probes: &[ProbeAnalysis]) -> Option<f64> {
    let (mut all, mut kept) = (0.0, 0.0);
    for (probe, analysis) in record.probes.iter().zip(probes) {
        if let (false, Some(held)) = (probe.control, analysis.held) {
            all += probe.weight;
            kept += if held { probe.weight } else { 0.0 };
        }
    }
    (all > 0.0).then(|| 100.0 * kept / all)
}

#[cfg(test)]
mod tests;
