//! Target against control: is it an effect, or noise?

use crate::experiment::{
    record::{Comparison, Probe, Record, Sample},
    stats,
};

use super::{Window, under};

/// One for each probe with a twin on the control and enough samples under faults on both.
pub(super) fn comparisons(record: &Record, windows: &[Window]) -> Vec<Comparison> {
    let targets = record.probes.iter().filter(|probe| !probe.control);
    targets
        .filter_map(|target| {
            let mut controls = record.probes.iter().filter(|probe| probe.control);
            let control = controls.find(|control| control.name == target.name)?;
            compare(target, control, windows, record.seed)
        })
        .collect()
}

fn compare(target: &Probe, control: &Probe, windows: &[Window], seed: u64) -> Option<Comparison> {
    let late = (target.unit == "ms").then(|| latest(target, control, windows));
    let of = |probe: &Probe| values(&probe.samples, windows, late);
    let (on_target, on_control) = (of(target), of(control));
    let found = stats::difference(&on_target, &on_control, seed)?;
    Some(Comparison {
        probe: target.name.clone(),
        target: stats::median(&stats::sorted(on_target))?,
        control: stats::median(&stats::sorted(on_control))?,
        difference: found.shift,
        low: found.low,
        high: found.high,
        differs: found.low > 0.0 || found.high < 0.0,
    })
}

/// What was measured under faults, in order. What did not answer counts as `late`, or an answer that
/// never came would make the rest look quick.
pub(in crate::experiment) fn values(
    samples: &[Sample],
    windows: &[Window],
    late: Option<f64>,
) -> Vec<f64> {
    let values = under(samples, windows).filter_map(|sample| sample.value.or(late));
    values.filter(|value| value.is_finite()).collect()
}

/// The longest that any sample of the two took, in milliseconds.
pub(in crate::experiment) fn latest(target: &Probe, control: &Probe, windows: &[Window]) -> f64 {
    let both = [target, control].into_iter();
    both.flat_map(|probe| under(&probe.samples, windows))
        .map(|sample| sample.value.unwrap_or(0.0).max(sample.took * 1e3))
        .fold(0.0, f64::max)
}
