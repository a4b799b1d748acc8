//! The dry run of an experiment: its stages with their plans, its probes, and what would end it.

use super::plan::{UNCHANGED, doing, told_seed};
use crate::cli::{
    out::{BOLD, DIM, WARN, paint},
    plan::Planning,
};

/// All of it.
pub(in crate::cli) fn experiment(planning: &Planning<'_>) -> String {
    let experiment = planning.experiment;
    let mut lines = vec![paint(BOLD, planning.profile)];
    if !planning.about.is_empty() {
        lines.push(planning.about.to_owned());
    }
    let mut item = |name: &str, value: String| {
        lines.push(format!(
            "  {}{value}",
            paint(DIM, format_args!("{name:<13}"))
        ));
    };
    if let Some(hypothesis) = &experiment.hypothesis {
        item("hypothesis", hypothesis.clone());
    }
    item("seed", told_seed(planning.seed, planning.seeded));
    for probe in &experiment.steady_state {
        let every = humantime::format_duration(probe.every);
        item(
            "probe",
            format!("{}: {}, every {every}", probe.name, probe.kind),
        );
    }
    if let Some(control) = &experiment.control {
        for probe in &control.probes {
            item("on control", format!("{}: {}", probe.name, probe.kind));
        }
    }
    for abort in &experiment.abort_when {
        item("abort when", abort.what(&experiment.steady_state));
    }
    if !experiment.load.is_empty() {
        item("load", experiment.load.join(" "));
    }
    for (stage, plan) in experiment.stages.iter().zip(&planning.plans) {
        let set: Vec<String> = stage.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let faults = match plan {
            Some(_) => String::new(),
            None => ", no faults".to_owned(),
        };
        let until = if stage.until_steady {
            ", at most, until the steady state holds again"
        } else {
            ""
        };
        let lasts = humantime::format_duration(stage.lasts);
        item(
            "stage",
            format!("{}: {lasts}{until}{faults} {}", stage.name, set.join(" "))
                .trim_end()
                .to_owned(),
        );
    }
    for warning in &planning.warnings {
        lines.push(format!("{} {warning}", paint(WARN, "note:")));
    }
    for (stage, plan) in experiment.stages.iter().zip(&planning.plans) {
        if let Some(plan) = plan {
            lines.push(String::new());
            lines.push(format!("stage {}", paint(BOLD, &stage.name)));
            lines.push(doing(plan));
        }
    }
    lines.push(String::new());
    lines.push(paint(DIM, UNCHANGED));
    lines.join("\n")
}
