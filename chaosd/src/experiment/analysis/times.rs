//! How long until something was noticed, and until all was well again.

use crate::experiment::record::{End, Probe, Record};

use super::Window;

/// Seconds from the first fault to the end of the first sample on the target that failed because of
/// one: while faults were in force, or across their beginning. `None`: nothing failed.
pub(super) fn detected(record: &Record, windows: &[Window]) -> Option<f64> {
    let first = windows.iter().map(|(from, _)| *from).reduce(f64::min)?;
    let last = windows.iter().map(|(_, to)| *to).reduce(f64::max)?;
    targets(record)
        .flat_map(|probe| &probe.samples)
        .filter(|sample| !sample.ok && sample.at < last)
        .map(|sample| sample.at + sample.took)
        .filter(|end| *end >= first)
        .reduce(f64::min)
        .map(|end| end - first)
}

/// Seconds from the end of the last fault to the beginning of the first samples from which on all
/// probes of the target hold. `Some(0)`: they held already. `None`: they did not hold until the end, or
/// there was no fault, or nothing was looked at.
pub(super) fn recovered(record: &Record) -> Option<f64> {
    let gone = gone(record)?;
    targets(record)
        .map(|probe| well_since(probe).map(|since| (since - gone).max(0.0)))
        .reduce(|a, b| Some(a?.max(b?)))?
}

/// When the last fault was gone.
pub(in crate::experiment) fn gone(record: &Record) -> Option<f64> {
    record.stages.iter().find(|stage| stage.armed.is_some())?;
    if let End::Aborted { gone, .. } = record.end {
        return Some(gone);
    }
    let over = record.stages.iter().filter_map(|stage| stage.over);
    over.reduce(f64::max)
}

/// When the first sample after the last failed one began. The beginning of time, when none failed;
/// `None`, when none came after, or it never looked.
fn well_since(probe: &Probe) -> Option<f64> {
    match probe.samples.iter().rposition(|sample| !sample.ok) {
        None if probe.samples.is_empty() => None,
        None => Some(f64::NEG_INFINITY),
        Some(failed) => probe.samples.get(failed + 1).map(|sample| sample.at),
    }
}

fn targets(record: &Record) -> impl Iterator<Item = &Probe> {
    record.probes.iter().filter(|probe| !probe.control)
}
