//! A run that is over, on the terminal.

use std::path::Path;

use anstyle::Style;
use comfy_table::{Cell, Color};

use super::table;
use crate::{
    cli::out::{BAD, BOLD, DIM, GOOD, WARN, paint},
    experiment::{
        analysis::windows,
        record::{Analysis, Probe, ProbeAnalysis, Record},
        words::{self, Tone, line, number, quantity, share, time},
    },
};

/// Cells of a line of time.
const COLUMNS: u32 = 56;
/// What a cell of it shows, from the least to the most.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The runs that are kept.
pub(in crate::cli) fn list(records: &[Record], dir: &Path) -> String {
    if records.is_empty() {
        return format!("no run is kept in {}", dir.display());
    }
    let mut table = table::table(&["RUN", "STARTED", "PROFILE", "LASTED", "OUTCOME", "SCORE"]);
    for record in records {
        let analysis = record.analysis();
        let (outcome, tone) = words::outcome(record, &analysis);
        let score = analysis
            .score
            .map_or_else(|| "-".to_owned(), |score| number(score.round()));
        table.add_row(vec![
            Cell::new(&record.id),
            Cell::new(words::day(&record.started)),
            Cell::new(line(&record.profile)),
            Cell::new(time(record.seconds)),
            Cell::new(outcome).fg(color(tone)),
            Cell::new(score),
        ]);
    }
    let hint = format!(
        "in {}; chaosd report RUN tells of one, -o html for a browser",
        dir.display()
    );
    format!("{}\n\n{}", table::text(&table), paint(DIM, hint))
}

/// One in short.
pub(in crate::cli) fn kept(record: &Record) -> String {
    let analysis = record.analysis();
    let (outcome, tone) = words::outcome(record, &analysis);
    let sign = match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Warn | Tone::Plain => "!",
    };
    let mut lines = vec![format!(
        "{} {}",
        paint(style(tone).bold(), format_args!("{sign} {outcome}:")),
        paint(BOLD, line(&words::headline(record)))
    )];
    if !words::is_plain(record) || tone != Tone::Good {
        lines.push(format!("  {}", line(&analysis.why)));
    }
    let facts = format!(
        "  {} {} on {}, {}, {}, seed {}",
        record.id,
        line(&record.profile),
        line(&record.host.name),
        words::day(&record.started),
        time(record.seconds),
        record.seed
    );
    lines.push(paint(DIM, facts));
    if !record.blast.hit.is_empty() {
        lines.push(format!(
            "  {} {}",
            paint(DIM, "on"),
            line(&words::hit(record))
        ));
    }
    lines.extend(
        record
            .problems
            .iter()
            .map(|problem| paint(BAD, format_args!("  {}", line(problem)))),
    );
    lines.push(String::new());
    lines.push(figures(record, &analysis));
    lines.push(String::new());
    lines.extend(picture(record, &analysis));
    let faults = faults(record);
    if !faults.is_empty() {
        lines.extend([String::new(), faults]);
    }
    let mut more = Vec::new();
    for comparison in &analysis.comparisons {
        let mut probes = record.probes.iter();
        let unit = probes.find(|probe| probe.name == comparison.probe);
        let told = words::compared(comparison, unit.map_or("", |probe| &probe.unit));
        more.push(format!("{}: {told}", paint(BOLD, line(&comparison.probe))));
    }
    if let Some(load) = &record.load {
        let figures = load.figures.iter();
        let figures =
            figures.map(|f| format!("{} {}", line(&f.name), line(&quantity(f.value, &f.unit))));
        let told = std::iter::once(words::load_ended(record, load)).chain(figures);
        more.push(format!(
            "{}: {}",
            paint(BOLD, words::load_name(load)),
            told.collect::<Vec<_>>().join(", ")
        ));
    }
    if !record.surprises.is_empty() {
        more.push(format!(
            "{}: {}",
            paint(BOLD, "surprises"),
            line(&record.surprises)
        ));
    }
    more.extend(
        record
            .notes
            .iter()
            .map(|note| format!("{} {}", paint(WARN, "note:"), line(note))),
    );
    if let Some(command) = words::repeat(record) {
        more.push(paint(DIM, format_args!("once more: {}", line(&command))));
    }
    if !more.is_empty() {
        lines.push(String::new());
        lines.extend(more);
    }
    lines.join("\n")
}

fn figures(record: &Record, analysis: &Analysis) -> String {
    let mut figures = Vec::new();
    if let Some(score) = analysis.score {
        figures.push(("score", format!("{} of 100", number(score.round()))));
    }
    if words::is_tried(record) {
        figures.push(("detected", words::detected(record, analysis)));
        figures.push(("recovered", words::recovered(record, analysis)));
    }
    figures.push(("hit", record.blast.hit.len().to_string()));
    figures.push(("spared", record.blast.spared.len().to_string()));
    let figures = figures
        .iter()
        .map(|(name, value)| format!("{} {value}", paint(DIM, name)));
    format!("  {}", figures.collect::<Vec<_>>().join("   "))
}

/// Stages, faults and probes over one line of time.
fn picture(record: &Record, analysis: &Analysis) -> Vec<String> {
    let names = record
        .probes
        .iter()
        .map(|probe| line(&probe.name).chars().count());
    let wide = names.max().unwrap_or(0).clamp(7, 24);
    let row = |name: &str, cells: String, more: &str| {
        let name: String = name.chars().take(wide).collect();
        format!(
            "  {} {cells}  {more}",
            paint(DIM, format_args!("{name:<wide$}"))
        )
        .trim_end()
        .to_owned()
    };
    let step = record.seconds / f64::from(COLUMNS);
    let moments = || (0..COLUMNS).map(|n| (f64::from(n) * step, f64::from(n + 1) * step));
    let mut lines = Vec::new();
    if record.stages.len() > 1 {
        let names: Vec<String> = record
            .stages
            .iter()
            .map(|stage| line(&stage.name))
            .collect();
        lines.push(row(
            "stages",
            stages(record, step),
            &paint(DIM, names.join(", ")),
        ));
    }
    let windows = windows(&record.stages);
    let cells = moments().map(|(from, to)| {
        let armed = windows.iter().any(|(a, b)| *a < to && from < *b);
        if armed {
            paint(WARN, '█')
        } else {
            paint(DIM, '·')
        }
    });
    lines.push(row("faults", cells.collect(), ""));
    for (probe, told) in record.probes.iter().zip(&analysis.probes) {
        let name = if probe.control {
            "(control)".to_owned()
        } else {
            line(&probe.name)
        };
        let cells = moments().map(|(from, to)| cell(probe, from, to)).collect();
        lines.push(row(&name, cells, &in_words(record, probe, told)));
        let why = words::failures(&probe.samples, &probe.unit);
        if !why.is_empty() {
            lines.push(row("", why.join(", "), ""));
        }
    }
    lines
}

/// Where each stage begins.
fn stages(record: &Record, step: f64) -> String {
    let begins = |from: f64, to: f64| {
        record
            .stages
            .iter()
            .any(|stage| (from..to).contains(&stage.begin))
    };
    let cells = (0..COLUMNS).map(|n| {
        let (from, to) = (f64::from(n) * step, f64::from(n + 1) * step);
        if begins(from, to) { '├' } else { '─' }
    });
    cells.collect()
}

/// The largest value of that time, or that it failed.
fn cell(probe: &Probe, from: f64, to: f64) -> String {
    let samples = || {
        probe
            .samples
            .iter()
            .filter(|sample| (from..to).contains(&sample.at))
    };
    if samples().any(|sample| !sample.ok) {
        return paint(BAD, '×');
    }
    let values = || probe.samples.iter().filter_map(|sample| sample.value);
    let most = values().fold(probe.limit.unwrap_or(0.0), f64::max);
    let Some(value) = samples().filter_map(|sample| sample.value).reduce(f64::max) else {
        return if samples().next().is_some() {
            "─".into()
        } else {
            " ".into()
        };
    };
    let share = if most > 0.0 {
        (value / most).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let block = BLOCKS
        .iter()
        .zip(1_u32..)
        .find(|(_, n)| share <= f64::from(*n) / 8.0);
    block.map_or(BLOCKS[7], |(block, _)| *block).to_string()
}

fn in_words(record: &Record, probe: &Probe, told: &ProbeAnalysis) -> String {
    let (all, ok) = words::under_faults(record, probe);
    let kept = format!("{} of {all} as expected", share(ok, all));
    match told.held {
        _ if probe.control => paint(DIM, kept),
        Some(true) => format!("{} {kept}", paint(GOOD, "held")),
        Some(false) => format!(
            "{} {kept}, {} % asked",
            paint(BAD, "did not hold"),
            number(probe.at_least * 100.0)
        ),
        None => paint(WARN, "not looked at under faults"),
    }
}

fn faults(record: &Record) -> String {
    let mut table = table::table(&["FAULT", "STAGE", "ASKED", "MEASURED", "VERDICT"]);
    for stage in &record.stages {
        for fault in stage.run.iter().flat_map(|run| &run.faults) {
            table.add_row(vec![
                Cell::new(line(&fault.name)),
                Cell::new(line(&stage.name)),
                Cell::new(line(&fault.what)),
                Cell::new(line(&words::measured(fault))),
                table::verdict(fault.verdict),
            ]);
        }
    }
    if table.is_empty() {
        String::new()
    } else {
        table::text(&table)
    }
}

/// How it is shown on a terminal.
pub(in crate::cli) fn style(tone: Tone) -> Style {
    match tone {
        Tone::Good => GOOD,
        Tone::Bad => BAD,
        Tone::Warn => WARN,
        Tone::Plain => Style::new(),
    }
}

fn color(tone: Tone) -> Color {
    match tone {
        Tone::Good => Color::Green,
        Tone::Bad => Color::Red,
        Tone::Warn => Color::Yellow,
        Tone::Plain => Color::Reset,
    }
}
