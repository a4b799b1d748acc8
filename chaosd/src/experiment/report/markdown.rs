//! The report as Markdown, for a ticket.

use std::fmt::{Display, Write};

use crate::{
    experiment::{
        record::{Analysis, Probe, ProbeAnalysis, Record},
        words::{self, Tone, line, lines, number, quantity, share, time},
    },
    report::RunReport,
};

/// The document.
pub fn markdown(record: &Record) -> String {
    let analysis = record.analysis();
    let mut text = Text::default();
    text.head(record, &analysis);
    text.list("Not everything is as it should be", &record.problems);
    text.probes(record, &analysis);
    text.comparisons(record, &analysis);
    text.faults(record);
    text.load(record);
    text.list("Hit", &record.blast.hit);
    text.list("Spared", &record.blast.spared);
    let aborts = record.aborts.iter().map(|abort| match abort.fired {
        Some(at) => format!("{}: came true after {}", abort.what, time(at)),
        None => format!("{}: did not come true", abort.what),
    });
    text.list("Conditions to abort", &aborts.collect::<Vec<_>>());
    text.heading("Surprises");
    let surprises = lines(&record.surprises);
    if surprises.is_empty() {
        text.line("_(nothing was written down)_");
    }
    for paragraph in surprises.lines() {
        text.line(Plain(paragraph));
    }
    text.list("Notes", &record.notes);
    text.heading("Once more");
    if let Some(command) = words::repeat(record) {
        text.line(format_args!("    {}\n", line(&command)));
    }
    text.line(format_args!(
        "Seed {}, chaosd {}, run {}",
        record.seed,
        Plain(&record.version),
        Plain(&record.id)
    ));
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        writeln!(self.0, "{line}").ok();
    }

    fn heading(&mut self, text: &str) {
        self.line(format_args!("\n### {text}\n"));
    }

    fn list(&mut self, heading: &str, entries: &[String]) {
        if entries.is_empty() {
            return;
        }
        self.heading(heading);
        for entry in entries {
            self.line(format_args!("- {}", Plain(entry)));
        }
    }

    fn table(&mut self, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        let headings: Vec<String> = headings
            .iter()
            .map(|text| Plain(text).to_string())
            .collect();
        self.line(format_args!("| {} |", headings.join(" | ")));
        self.line(format_args!("|{}", "---|".repeat(headings.len())));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| Plain(cell).to_string()).collect();
            self.line(format_args!("| {} |", cells.join(" | ")));
        }
    }

    fn head(&mut self, record: &Record, analysis: &Analysis) {
        let (outcome, tone) = words::outcome(record, analysis);
        let sign = match tone {
            Tone::Good => "✅",
            Tone::Bad => "❌",
            Tone::Warn | Tone::Plain => "⚠️",
        };
        self.line(format_args!(
            "## {sign} {outcome}: {}\n",
            Plain(&words::headline(record))
        ));
        if !words::is_plain(record) || tone != Tone::Good {
            self.line(format_args!("{}\n", Plain(&analysis.why)));
        }
        let mut figures = vec![
            vec!["Profile".to_owned(), record.profile.clone()],
            vec!["Started".to_owned(), words::day(&record.started)],
            vec![
                "Host".to_owned(),
                format!("{}, Linux {}", record.host.name, record.host.kernel),
            ],
            vec!["Lasted".to_owned(), time(record.seconds)],
            vec!["Hit".to_owned(), words::hit(record)],
        ];
        if let Some(score) = analysis.score {
            figures.push(vec![
                "Resilience score".into(),
                format!("{} of 100", number(score.round())),
            ]);
        }
        if words::is_tried(record) {
            figures.push(vec![
                "Time to detect".into(),
                words::detected(record, analysis),
            ]);
            figures.push(vec![
                "Time to recover".into(),
                words::recovered(record, analysis),
            ]);
        }
        let (hit, spared) = (record.blast.hit.len(), record.blast.spared.len());
        figures.push(vec![
            "Blast radius".into(),
            format!("{hit} hit, {spared} spared"),
        ]);
        self.table(&["", ""], figures);
    }

    fn probes(&mut self, record: &Record, analysis: &Analysis) {
        if record.probes.is_empty() {
            return;
        }
        self.heading("What the probes saw");
        let mut headings = vec!["Probe", "Held", "Under faults"];
        headings.extend(record.stages.iter().map(|stage| stage.name.as_str()));
        let probes = record.probes.iter().zip(&analysis.probes);
        self.table(
            &headings,
            probes.map(|(probe, told)| row(record, probe, told)),
        );
        self.line("\nPer stage: median / 95 % below, and failed samples.");
        for probe in &record.probes {
            let why = words::failures(&probe.samples, &probe.unit).join(", ");
            if !why.is_empty() {
                let control = if probe.control { " on the control" } else { "" };
                self.line(format_args!(
                    "\n**{}**{control} failed: {}",
                    Plain(&probe.name),
                    Plain(&why)
                ));
            }
        }
    }

    fn comparisons(&mut self, record: &Record, analysis: &Analysis) {
        if analysis.comparisons.is_empty() {
            return;
        }
        self.heading("Target against control");
        for comparison in &analysis.comparisons {
            let mut probes = record.probes.iter();
            let unit = probes.find(|probe| probe.name == comparison.probe);
            let told = words::compared(comparison, unit.map_or("", |probe| &probe.unit));
            self.line(format_args!(
                "- **{}**: {}",
                Plain(&comparison.probe),
                Plain(&told)
            ));
        }
    }

    fn faults(&mut self, record: &Record) {
        let rows: Vec<Vec<String>> = record
            .stages
            .iter()
            .flat_map(|stage| {
                let rows = stage.run.iter().flat_map(RunReport::rows);
                rows.map(move |(member, fault)| (stage, member, fault))
            })
            .map(|(stage, member, fault)| {
                let name = match member {
                    Some(target) => format!("{} on {target}", fault.name),
                    None => fault.name.clone(),
                };
                let verdict = words::verdict(fault.verdict).0.to_owned();
                vec![
                    stage.name.clone(),
                    name,
                    fault.what.clone(),
                    words::measured(fault),
                    verdict,
                ]
            })
            .collect();
        if !rows.is_empty() {
            self.heading("Faults: asked and measured");
            self.table(&["Stage", "Fault", "Asked", "Measured", "Verdict"], rows);
            let runs = record.stages.iter().filter_map(|stage| stage.run.as_ref());
            for (amiss, _) in runs.flat_map(|run| &run.faults).filter_map(words::amiss) {
                self.line(format_args!("\n{}.", Plain(&words::upper_first(&amiss))));
            }
        }
    }

    fn load(&mut self, record: &Record) {
        let Some(load) = &record.load else {
            return;
        };
        self.heading("Load");
        let words: Vec<String> = load
            .command
            .iter()
            .map(|word| words::quoted(word))
            .collect();
        self.line(format_args!("    {}\n", line(&words.join(" "))));
        let figures = load.figures.iter();
        let rows =
            figures.map(|figure| vec![figure.name.clone(), quantity(figure.value, &figure.unit)]);
        self.line(format_args!(
            "{}.\n",
            words::upper_first(&words::load_ended(record, load))
        ));
        if !load.figures.is_empty() {
            self.table(&["", ""], rows);
        }
    }
}

fn row(record: &Record, probe: &Probe, told: &ProbeAnalysis) -> Vec<String> {
    let (all, ok) = words::under_faults(record, probe);
    let held = match told.held {
        _ if probe.control => "control",
        Some(true) => "✓ yes",
        Some(false) => "✗ no",
        None => "not looked at",
    };
    let mut row = vec![
        probe.name.clone(),
        held.to_owned(),
        format!(
            "{} of {all}, {} % asked",
            share(ok, all),
            number(probe.at_least * 100.0)
        ),
    ];
    row.extend(told.stages.iter().map(|stage| {
        let values = match (stage.median, stage.p95) {
            (Some(median), Some(p95)) => words::both(median, "/", p95, &probe.unit),
            _ => "–".to_owned(),
        };
        match stage.failed {
            0 => values,
            failed => format!("{values}, {failed} of {} failed", stage.samples),
        }
    }));
    row
}

/// Text that Markdown takes for text.
struct Plain<'t>(&'t str);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in line(self.0).chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '&' => f.write_str("&amp;")?,
                '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => write!(f, "\\{c}")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
