//! What was seen: probes stage by stage, target against control, faults asked and measured, the load.

use maud::{Markup, html};

use crate::report::FaultReport;

use crate::experiment::{
    record::{Analysis, Probe, ProbeAnalysis, Record, Stage, StageAnalysis},
    words::{self, Tone, grouped, line, lines, number, quantity, share},
};

use super::{super::distribution::distribution, pill};

/// Names of queries that are written out.
const NAMES_SHOWN: usize = 3;
/// Stages for which a row of a table has room, also on paper.
const COLUMNS: usize = 6;

/// Each probe of the target, stage by stage, with its twin on the control below it.
pub(super) fn probes(record: &Record, analysis: &Analysis) -> Markup {
    if record.probes.is_empty() {
        return html! {};
    }
    let all = || record.probes.iter().zip(&analysis.probes);
    let rows = all()
        .filter(|(probe, _)| !probe.control)
        .flat_map(|(probe, told)| {
            let twin = move |(other, _): &(&Probe, &ProbeAnalysis)| {
                other.control && other.name == probe.name
            };
            std::iter::once((probe, told)).chain(all().filter(twin))
        });
    html! {
        section {
            h2 { "What the probes saw" }
            div.scroll tabindex="0" role="region" aria-label="What the probes saw" {
                table.stacked.many[record.stages.len() > COLUMNS] {
                    thead { tr {
                        th scope="col" { "Probe" }
                        th scope="col" { "Under faults" }
                        @for stage in &record.stages { th.number scope="col" { (line(&stage.name)) } }
                    } }
                    tbody { @for (probe, told) in rows { (row(record, probe, told)) } }
                }
            }
            @if !record.stages.is_empty() { p.muted.foot {
                small { "Per stage: the median, what 95 % of the samples did not pass, and how many failed. The score is the weighted share of probes that held." }
            } }
        }
    }
}

fn row(record: &Record, probe: &Probe, told: &ProbeAnalysis) -> Markup {
    let (all, ok) = words::under_faults(record, probe);
    let verdict = match told.held {
        _ if probe.control => ("control", Tone::Plain),
        Some(true) => ("held", Tone::Good),
        Some(false) => ("did not hold", Tone::Bad),
        None => ("not looked at", Tone::Warn),
    };
    let asked = number(probe.at_least * 100.0);
    html! {
        tr {
            th scope="row" {
                (line(&probe.name))
                @if probe.control { small { "on the control" } }
                @else {
                    small { (line(&probe.what)) }
                    @if (probe.weight - 1.0).abs() > f64::EPSILON { small { "weight " (number(probe.weight)) } }
                }
            }
            td {
                (pill(verdict.0, verdict.1, false))
                @if all > 0 {
                    small { (share(ok, all)) " of " (words::grouped(all as u64)) " as expected"
                        @if !probe.control { ", " (asked) " % asked" } }
                }
                @for why in words::failures(&probe.samples, &probe.unit) { small.failures { (why) } }
            }
            @for stage in &told.stages { (cell(stage, &probe.unit)) }
        }
    }
}

fn cell(stage: &StageAnalysis, unit: &str) -> Markup {
    html! {
        td.number data-name=(line(&stage.stage)) {
            @if stage.samples == 0 { span.muted { "–" } }
            @if let (Some(median), Some(p95)) = (stage.median, stage.p95) {
                (quantity(median, unit))
                small { "95 %: " (quantity(p95, unit)) }
            }
            @if stage.failed > 0 {
                small.bad { (stage.failed) " of " (stage.samples) " failed" }
            }
        }
    }
}

/// Target against control.
pub(super) fn comparisons(record: &Record, analysis: &Analysis) -> Markup {
    if analysis.comparisons.is_empty() {
        return html! {};
    }
    let unit = |name: &str| {
        let mut probes = record.probes.iter();
        probes
            .find(|probe| probe.name == name)
            .map_or("", |probe| probe.unit.as_str())
    };
    html! {
        section {
            h2 { "Target against control" }
            @if let Some(control) = &record.control {
                p.muted { "The control was spared: " (line(control)) }
            }
            @for comparison in &analysis.comparisons {
                div.two {
                    div {
                        h3 {
                            (line(&comparison.probe)) " "
                            @if comparison.differs { (pill("an effect", Tone::Warn, false)) }
                            @else { (pill("noise", Tone::Plain, false)) }
                        }
                        p { (words::compared(comparison, unit(&comparison.probe))) }
                        p.muted { small { "Above the line the target's samples, below it the control's; then the interval beside 0." } }
                    }
                    div { (distribution(record, comparison)) }
                }
            }
        }
    }
}

/// Per fault: what was asked against what was measured.
pub(super) fn faults(record: &Record) -> Markup {
    let armed: Vec<&Stage> = record
        .stages
        .iter()
        .filter(|stage| stage.run.is_some())
        .collect();
    if armed.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Faults: asked and measured" }
            div.scroll tabindex="0" role="region" aria-label="Faults: asked and measured" {
                table.stacked {
                    thead { tr {
                        th scope="col" { "Fault" } th scope="col" { "Asked" }
                        th scope="col" { "Measured" } th scope="col" { "Verdict" }
                    } }
                    tbody { @for stage in armed { (of_stage(stage, record.stages.len() > 1)) } }
                }
            }
        }
    }
}

fn of_stage(stage: &Stage, named: bool) -> Markup {
    let set = stage
        .set
        .iter()
        .map(|(name, value)| format!("{name} {value}"));
    let set = set.collect::<Vec<_>>().join(", ");
    let place = match (named, set.is_empty()) {
        (false, _) => String::new(),
        (true, true) => line(&stage.name),
        (true, false) => format!("{}: {}", line(&stage.name), line(&set)),
    };
    html! {
        @if let Some(run) = &stage.run {
            @for (member, fault) in run.rows() {
                @match member {
                    None => { (of_fault(fault, &place)) }
                    Some(target) => { (of_fault(fault, &format!("on {}", line(target)))) }
                }
            }
        }
    }
}

fn of_fault(fault: &FaultReport, place: &str) -> Markup {
    let total = fault.total();
    let (word, tone) = words::verdict(fault.verdict);
    let mut names: Vec<&str> = Vec::new();
    for query in fault.dns.iter().flat_map(|dns| &dns.last) {
        if names.len() < NAMES_SHOWN && !names.contains(&query.name.as_str()) {
            names.push(&query.name);
        }
    }
    html! {
        tr {
            th scope="row" {
                (line(&fault.name))
                @if !place.is_empty() { small { (place) } }
            }
            td data-name="Asked" { (line(&fault.what)) }
            td data-name="Measured" {
                (line(&words::measured(fault)))
                @if let Some((amiss, _)) = words::amiss(fault) { small { (line(&words::upper_first(&amiss))) } }
                @else if fault.effect.is_none() && total.seen > total.matched {
                    small { (grouped(total.seen)) " packets passed its interfaces" }
                }
                @if !names.is_empty() { small { "last " (line(&names.join(", "))) } }
            }
            td { (pill(word, tone, false)) }
        }
    }
}

/// The command that ran under the faults.
pub(super) fn load(record: &Record) -> Markup {
    let Some(load) = &record.load else {
        return html! {};
    };
    let words: Vec<String> = load
        .command
        .iter()
        .map(|word| words::quoted(word))
        .collect();
    let output = lines(&load.output);
    html! {
        section {
            h2 { "Load" }
            p { code { (line(&words.join(" "))) } }
            p.muted { (words::upper_first(&words::load_ended(record, load))) "." }
            @if !load.figures.is_empty() {
                dl.figures {
                    @for figure in &load.figures {
                        div { dt { (line(&figure.name)) } dd { (quantity(figure.value, &figure.unit)) } }
                    }
                }
            }
            @if !output.is_empty() {
                details { summary { "The end of what it printed" } pre { (output) } }
            }
        }
    }
}
