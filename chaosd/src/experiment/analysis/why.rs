//! Whether the hypothesis held, in one sentence.

use crate::experiment::record::{End, Probe, ProbeAnalysis, Record};
use crate::experiment::words::{grouped, is_plain, ratio, reasons, share, time, upper_first};

use super::{Window, acted, ended_it, tally, under};

/// Probes that are named in the sentence.
const NAMED: usize = 3;

/// Whether it held, and why.
pub(super) fn verdict(
    record: &Record,
    probes: &[ProbeAnalysis],
    windows: &[Window],
) -> (Option<bool>, String) {
    if let End::NotSteady { why } = &record.end {
        let why = format!("The steady state did not hold before anything was done: {why}");
        return (None, ended(why));
    }
    let targets: Vec<(&Probe, Option<bool>)> = record
        .probes
        .iter()
        .zip(probes)
        .filter(|(probe, _)| !probe.control)
        .map(|(probe, analysis)| (probe, analysis.held))
        .collect();
    let failed: Vec<&Probe> = targets
        .iter()
        .filter(|(_, held)| *held == Some(false))
        .map(|(probe, _)| *probe)
        .collect();
    let told = told(record, &failed, targets.len(), windows);
    match &record.end {
        End::Aborted { why, at, .. } => {
            let why = format!("It was aborted after {}: {why}", time(*at));
            return (Some(false), ended(why));
        }
        End::Broken { why, .. } => {
            let more = if failed.is_empty() {
                String::new()
            } else {
                format!(" {told}")
            };
            let why = upper_first(&ended(why.clone()));
            return (broken(&failed), format!("{why}{more}"));
        }
        End::Interrupted { at } => {
            let state = if failed.is_empty() {
                "until then nothing spoke against the hypothesis.".to_owned()
            } else {
                format!("until then {}", lower_first(&told))
            };
            let why = format!("It was interrupted after {}; {state}", time(*at));
            return (broken(&failed), why);
        }
        End::Completed | End::NotSteady { .. } => {}
    }
    if windows.is_empty() {
        return (None, "No fault was in force.".into());
    }
    if !failed.is_empty() {
        return (Some(false), told);
    }
    if !acted(record) {
        let why = if is_plain(record) {
            "No fault had an effect."
        } else {
            "No fault had an effect, so that the hypothesis was not put to the test."
        };
        return (None, why.into());
    }
    if targets.is_empty() {
        return (
            None,
            "Nothing was looked at while the faults were in force.".into(),
        );
    }
    if let Some((probe, _)) = targets.iter().find(|(_, held)| held.is_none()) {
        let why = format!(
            "Probe {} never looked while faults were in force.",
            probe.name
        );
        return (None, why);
    }
    let (all, ok) = targets.iter().fold((0, 0), |(all, ok), (probe, _)| {
        let (more, good) = tally(probe, windows);
        (all + more, ok + good)
    });
    let who = match targets.as_slice() {
        [(only, _)] => format!("Probe {} held", only.name),
        both if both.len() == 2 => "Both probes held".to_owned(),
        many => format!("All {} probes held", many.len()),
    };
    let why = format!(
        "{who} while the faults were in force: {} samples were as expected.",
        ratio(ok, all)
    );
    (Some(true), why)
}

/// What was cut short has not held; it may have failed already.
fn broken(failed: &[&Probe]) -> Option<bool> {
    (!failed.is_empty()).then_some(false)
}

/// Which probes did not hold, and by how much.
fn told(record: &Record, failed: &[&Probe], of: usize, windows: &[Window]) -> String {
    let one = |probe: &&Probe| {
        let (all, ok) = tally(probe, windows);
        if all == 0 || ended_it(record, probe) {
            return format!("{} ended it", probe.name);
        }
        let reasons = reasons(under(&probe.samples, windows), &probe.unit);
        let why = match reasons.as_slice() {
            [] => String::new(),
            [(_, why)] => format!("; {why}"),
            [(_, why), ..] => format!("; mostly {why}"),
        };
        format!(
            "{} was as expected in {} of its {} samples ({} asked{why})",
            probe.name,
            share(ok, all),
            grouped(all as u64),
            at_least(probe.at_least),
        )
    };
    let mut named: Vec<String> = failed.iter().take(NAMED).map(one).collect();
    if failed.len() > NAMED {
        named.push(format!("and {} more", failed.len() - NAMED));
    }
    let who = match (failed.len(), of) {
        (1, 1) => "The probe did not hold".to_owned(),
        (n, of) => format!("{n} of {of} probes did not hold"),
    };
    format!("{who}: {}.", named.join(", "))
}

/// The share that a probe asks for.
fn at_least(share: f64) -> String {
    format!("{} %", crate::experiment::words::number(share * 100.0))
}

/// A sentence that goes on after another's words.
fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

/// A sentence has an end.
fn ended(sentence: String) -> String {
    if sentence.ends_with(['.', '!', '?']) {
        sentence
    } else {
        format!("{sentence}.")
    }
}
