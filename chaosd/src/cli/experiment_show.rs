//! What a user sees of an experiment while it runs: one live line on a terminal, and a line for each
//! thing that happens.

use std::io::{IsTerminal, Write};

use super::{
    live,
    out::{self, BAD, BOLD, DIM, GOOD, WARN, paint},
    render,
};
use crate::{
    experiment::{Heading, News, Now, Shows, words::AT_ONCE},
    profile::{Experiment, StageSpec},
    report::{FaultReport, RunReport},
};

const BAR_CELLS: u32 = 20;

pub(super) struct Show<'e> {
    experiment: &'e Experiment,
    on: bool,
    drawn: bool,
    json: bool,
}

impl<'e> Show<'e> {
    pub(super) fn new(experiment: &'e Experiment, heading: &Heading, json: bool) -> Self {
        let seconds = experiment.lasts().as_secs_f64();
        out::tell(format_args!(
            "{}, {} stages in {}, seed {}",
            paint(BOLD, &heading.profile),
            experiment.stages.len(),
            render::seconds(seconds),
            heading.seed
        ));
        if let Some(hypothesis) = &experiment.hypothesis {
            out::tell(format_args!("hypothesis: {hypothesis}"));
        }
        for warning in experiment.warnings() {
            out::tell(format_args!("{} {warning}", paint(WARN, "note:")));
        }
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            experiment,
            // The load has the terminal to itself.
            on: experiment.load.is_empty() && !dumb && std::io::stderr().is_terminal(),
            drawn: false,
            json,
        }
    }

    /// Takes the live line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            write(format_args!("\r\x1b[2K"));
        }
    }

    fn stage(&self, number: usize) -> Option<&'e StageSpec> {
        self.experiment.stages.get(number)
    }

    fn told_stage(&self, number: usize, armed_ms: Option<f64>) -> String {
        let Some(stage) = self.stage(number) else {
            return String::new();
        };
        let of = self.experiment.stages.len();
        let lasts = render::seconds(stage.lasts.as_secs_f64());
        let set: Vec<String> = stage.set.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let set = if set.is_empty() {
            String::new()
        } else {
            format!(", {}", set.join(" "))
        };
        let faults = match (&stage.profile, armed_ms) {
            (Some(profile), Some(ms)) => {
                let names: Vec<&str> = profile.faults.iter().map(|f| f.name.as_str()).collect();
                format!("; {} armed in {ms:.1} ms", names.join(", "))
            }
            _ => "; no faults".to_owned(),
        };
        let until = if stage.until_steady { "up to " } else { "" };
        format!(
            "stage {} ({} of {of}), {until}{lasts}{set}{faults}",
            paint(BOLD, &stage.name),
            number + 1
        )
    }
}

impl Shows for Show<'_> {
    fn news(&mut self, news: &News) {
        self.clear();
        match news {
            News::Looking => out::tell("looking at the steady state"),
            News::Steady => out::tell(format_args!("{} the steady state", paint(GOOD, "holds:"))),
            News::Stage {
                number,
                armed_ms,
                notes,
            } => {
                out::tell(self.told_stage(*number, *armed_ms));
                for note in notes {
                    out::tell(format_args!("{} {note}", paint(WARN, "note:")));
                }
            }
            News::Probe { name, why } => match why {
                Some(why) => out::tell(format_args!("probe {name} {} {why}", paint(BAD, "fails:"))),
                None => out::tell(format_args!("probe {name} {}", paint(GOOD, "holds again"))),
            },
            News::Ending { why } => out::tell(format_args!("{why}: reverting")),
            News::Broken { why } => out::tell(paint(BAD, why)),
            News::Reverted { after } => {
                out::tell(format_args!("reverted after {:.0} ms", after * 1e3));
            }
            // No time that anybody could measure.
            News::Recovered { after } if *after < AT_ONCE => out::tell(format_args!(
                "{} as soon as the last fault was gone",
                paint(GOOD, "steady again")
            )),
            News::Recovered { after } => out::tell(format_args!(
                "{} {after:.2} s after the last fault",
                paint(GOOD, "steady again")
            )),
            News::NotRecovered => out::tell(paint(BAD, "the steady state did not come back")),
            News::Load { code } => out::tell(format_args!("the load ended with code {code}")),
        }
    }

    fn is_live(&self) -> bool {
        self.on
    }

    fn has_stdout(&self) -> bool {
        self.json
    }

    fn draw(&mut self, now: &Now<'_>) {
        self.drawn = true;
        let line = line(now, live::width());
        // ECMA-48: to the line's start, erase to its end.
        write(format_args!("\r\x1b[2K{line}"));
    }
}

fn write(text: std::fmt::Arguments<'_>) {
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{text}").and_then(|()| stderr.flush()).ok();
}

/// One line that fits in `width` cells, if those of the bar do.
fn line(now: &Now<'_>, width: usize) -> String {
    let share = (now.left / now.lasts.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    let left = (0..BAR_CELLS)
        .filter(|cell| f64::from(*cell) < share * f64::from(BAR_CELLS))
        .count();
    let cells = BAR_CELLS as usize;
    let head = format!("{} ", now.stage);
    let tail = format!(" {} left", render::seconds(now.left));
    let taken = head.chars().count() + cells + tail.chars().count() + 1;
    let mut room = width.saturating_sub(taken);
    let mut text = format!(
        "{}{}{}{tail}",
        paint(BOLD, head),
        paint(GOOD, "━".repeat(left)),
        paint(DIM, "━".repeat(cells - left)),
    );
    let probes = now.probes.iter().map(|probe| {
        let (style, mark) = match probe.good {
            Some(true) => (GOOD, '✓'),
            Some(false) => (BAD, '✗'),
            None => (DIM, '·'),
        };
        let value = format!("{} {}", probe.name, probe.value);
        (style, format!("  {mark} {}", value.trim_end()))
    });
    let faults = now.run.iter().flat_map(|run: &&RunReport| &run.faults);
    let faults = faults.map(|fault| (DIM, format!("  {}", doing(fault))));
    for (style, part) in probes.chain(faults) {
        let length = part.chars().count();
        if length > room {
            text.push_str(if room >= 2 { " …" } else { "" });
            break;
        }
        room -= length;
        text.push_str(&paint(style, part));
    }
    text
}

fn doing(fault: &FaultReport) -> String {
    match &fault.effect {
        Some(effect) => format!("{}: {}", fault.name, effect.told),
        None => format!(
            "{}: {} hit",
            fault.name,
            render::grouped(fault.total().affected)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ProbeNow;

    #[test]
    fn the_line_shows_each_probe_and_fits_the_terminal() {
        let probe = |name: &str, good, value: &str| ProbeNow {
            name: name.into(),
            good,
            value: value.into(),
        };
        let now = Now {
            stage: "full",
            lasts: 60.0,
            left: 30.0,
            probes: vec![
                probe("http", Some(true), "12.3 ms"),
                probe("tcp", Some(false), ""),
                probe("dns", None, ""),
            ],
            run: None,
        };
        let told = |width| anstream::adapter::strip_str(&line(&now, width)).to_string();
        assert_eq!(
            told(100),
            format!(
                "full {} 30s left  ✓ http 12.3 ms  ✗ tcp  · dns",
                "━".repeat(20)
            )
        );
        for width in [0, 20, 40, 50, 60, 80] {
            let length = told(width).chars().count();
            assert!(length <= width.max(36), "{length} cells for {width}");
        }
    }
}
