//! How long until something was noticed, and until all was well again.

use crate::experiment::{
    SETTLED,
    record::{Probe, Record},
};

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

/// Seconds from the end of the last fault to the beginning of the samples with which all probes of the target
/// held for [`SETTLED`], or to the end. `Some(0)`: they held already. `None`: they never did, or there was no
/// fault, or nothing was looked at. What fails later is another matter.
pub(super) fn recovered(record: &Record) -> Option<f64> {
    let gone = gone(record)?;
    let probes: Vec<Vec<Good>> = targets(record).map(|probe| goods(probe, gone)).collect();
    let settled = SETTLED.as_secs_f64();
    let mut moments: Vec<f64> = probes
        .iter()
        .flatten()
        .map(|good| good.since + settled)
        .chain([f64::INFINITY])
        .collect();
    moments.sort_by(f64::total_cmp);
    let all_well = |moment: f64| {
        let well = probes.iter().map(|goods| {
            let mut then = goods.iter().filter(|good| {
                good.since + settled <= moment && good.until.is_none_or(|until| moment < until)
            });
            then.next().map(|good| good.since)
        });
        well.reduce(|a, b| Some(a?.max(b?)))?
    };
    let since = moments.into_iter().find_map(all_well)?;
    Some((since - gone).max(0.0))
}

/// Good looks without a break.
struct Good {
    since: f64,
    /// When the next bad one began; `None`: there was none.
    until: Option<f64>,
}

/// Those of a probe that go on after the end of the last fault, from then on.
fn goods(probe: &Probe, gone: f64) -> Vec<Good> {
    let mut goods: Vec<Good> = Vec::new();
    for chunk in probe.samples.chunk_by(|a, b| a.ok == b.ok) {
        let begin = chunk[0].at;
        if chunk[0].ok {
            goods.push(Good {
                since: begin.max(gone),
                until: None,
            });
        } else if let Some(before) = goods.last_mut() {
            before.until = Some(begin);
        }
    }
    goods.retain(|good| good.until.is_none_or(|until| until > gone));
    goods
}

/// When the last fault was gone.
pub(in crate::experiment) fn gone(record: &Record) -> Option<f64> {
    record.stages.iter().find(|stage| stage.armed.is_some())?;
    let over = record.stages.iter().filter_map(|stage| stage.over);
    over.reduce(f64::max)
}

fn targets(record: &Record) -> impl Iterator<Item = &Probe> {
    record.probes.iter().filter(|probe| !probe.control)
}
