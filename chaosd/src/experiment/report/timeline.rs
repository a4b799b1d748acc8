//! The picture of a run: stages and faults as bands, and below them what each probe saw, over one axis
//! of time.

mod panel;

use maud::{Markup, html};

use crate::experiment::{
    analysis::gone,
    record::{Analysis, Band, End, Record},
    words::{AT_ONCE, line, load_name, time},
};

use super::svg::{Scale, fitted, mark, moments, px, width_of};

/// A row of bands.
const ROW: f64 = 22.0;
/// Between rows.
const GAP: f64 = 4.0;
/// Of a stage's name that does not fit, as much as tells it from others. In less room stands its number.
const NAME_ROOM: f64 = 60.0;

/// Draws it, so many units wide.
pub(super) fn timeline(record: &Record, analysis: &Analysis, width: f64) -> Markup {
    let mut drawing = Drawing::new(record, width);
    drawing.stages(record);
    drawing.faults(record);
    drawing.load(record);
    drawing.cut(record);
    let top = drawing.y;
    for (probe, analysis) in record.probes.iter().zip(&analysis.probes) {
        if !probe.control {
            let twin = |other: &&_| panel::is_twin(other, probe);
            let control = record.probes.iter().find(twin);
            drawing.panel(probe, analysis, control);
        }
    }
    drawing.answer(record, analysis);
    drawing.axis(record, top);
    let Drawing { y, parts, back, .. } = drawing;
    html! {
        svg viewBox=(format!("0 0 {} {}", px(width), px(y))) width=(px(width)) height=(px(y))
            role="img" aria-label=(told(record)) {
            @for part in back { (part) }
            @for part in parts { (part) }
        }
    }
}

/// The picture in one sentence, for who does not see it.
fn told(record: &Record) -> String {
    let stages = record.stages.iter().map(|stage| {
        let armed = if stage.armed.is_some() {
            " under faults"
        } else {
            ""
        };
        format!(
            "{} for {}{armed}",
            line(&stage.name),
            time(stage.end - stage.begin)
        )
    });
    let stages: Vec<String> = stages.collect();
    format!(
        "Timeline of {}: {}. The figures are in the tables below.",
        time(record.seconds),
        stages.join(", ")
    )
}

struct Drawing {
    /// Seconds to units.
    x: Scale,
    /// Where the plot begins and ends.
    left: f64,
    right: f64,
    /// Where the next row begins.
    y: f64,
    parts: Vec<Markup>,
    /// Below all others.
    back: Vec<Markup>,
    /// When faults were in force.
    armed: Vec<(f64, f64)>,
}

impl Drawing {
    fn new(record: &Record, width: f64) -> Self {
        let left = if width < 600.0 { 38.0 } else { 52.0 };
        let right = width - 8.0;
        let ends = record.stages.iter().map(|stage| stage.end);
        let seconds = ends.fold(record.seconds, f64::max).max(1e-3);
        Self {
            x: Scale::new((0.0, seconds), (left, right)),
            left,
            right,
            y: 1.0,
            parts: Vec::new(),
            back: Vec::new(),
            armed: crate::experiment::analysis::windows(&record.stages),
        }
    }

    /// A row of bands, and their name: in the first that has room for it, or else beside them.
    fn row(&mut self, class: &str, bands: &[(f64, f64)], name: &str, titles: &[String]) {
        let ends: Vec<(f64, f64)> = bands
            .iter()
            .map(|(from, to)| {
                let (x0, x1) = (self.x.at(*from), self.x.at(*to).min(self.right));
                (x0, x1.max(x0 + 1.5))
            })
            .collect();
        for ((x0, x1), title) in ends.iter().zip(titles) {
            self.parts.push(html! {
                rect class=(class) x=(px(*x0)) y=(px(self.y)) width=(px(x1 - x0)) height=(px(ROW)) rx="3" {
                    title { (title) }
                }
            });
        }
        let (Some((first, _)), Some((_, last))) = (ends.first(), ends.last()) else {
            return;
        };
        let fits = width_of(name) + 10.0;
        let inside = ends.iter().find(|(x0, x1)| fits <= x1 - x0);
        let (before, behind) = (first - self.left - 5.0, self.right - first - 12.0);
        let (class, at, room) = match inside {
            Some((x0, x1)) if class == "band" => ("on-hot", x0 + 6.0, x1 - x0),
            Some((x0, x1)) => ("", x0 + 6.0, x1 - x0),
            None if last + fits <= self.right => ("", last + 5.0, fits),
            None if fits <= before || before > behind => ("end", first - 5.0, before),
            None => ("over", first + 6.0, behind),
        };
        let name = fitted(name, room);
        self.parts.push(html! {
            text class=(class) x=(px(at)) y=(px(self.y + 15.0)) { (name) }
        });
        self.y += ROW + GAP;
    }

    fn stages(&mut self, record: &Record) {
        for (n, stage) in record.stages.iter().enumerate() {
            let (x0, x1) = (self.x.at(stage.begin), self.x.at(stage.end));
            let set: Vec<String> = stage
                .set
                .iter()
                .map(|(k, v)| format!(", {k}={v}"))
                .collect();
            let lasted = time(stage.end - stage.begin);
            let title = line(&format!("{}: {lasted}{}", stage.name, set.concat()));
            let hot = stage.armed.is_some();
            let name = line(&stage.name);
            let long = format!("{name} · {lasted}");
            let room = x1 - x0 - 6.0;
            let name = if width_of(&long) + 4.0 < room {
                long
            } else if width_of(&name) <= room || room >= NAME_ROOM {
                fitted(&name, room)
            } else {
                fitted(&(n + 1).to_string(), room)
            };
            let middle = f64::midpoint(x0, x1);
            let y = self.y;
            self.parts.push(html! {
                g {
                    title { (title) }
                    rect class=(if hot { "hot" } else { "stage" }) x=(px(x0)) y=(px(y))
                        width=(px((x1 - x0).max(1.0))) height=(px(ROW)) rx="3" {}
                    text class=(if hot { "mid on-hot" } else { "mid" }) x=(px(middle)) y=(px(y + 15.0)) {
                        (name)
                    }
                }
            });
        }
        if !record.stages.is_empty() {
            self.y += ROW + GAP;
        }
    }

    /// A row for each fault.
    fn faults(&mut self, record: &Record) {
        let bands = bands(record);
        let mut names: Vec<&str> = Vec::new();
        for band in &bands {
            if !names.contains(&band.fault.as_str()) {
                names.push(&band.fault);
            }
        }
        for name in names {
            let own = bands.iter().filter(|band| band.fault == name);
            let (times, titles): (Vec<_>, Vec<_>) = own
                .map(|band| {
                    let (from, to) = (time(band.begin), time(band.end));
                    let title = format!("{}: from {from} to {to}", line(name));
                    ((band.begin, band.end), title)
                })
                .unzip();
            self.row("band", &times, &line(name), &titles);
        }
    }

    fn load(&mut self, record: &Record) {
        if let Some(load) = &record.load {
            let name = format!("load: {}", load_name(load));
            let title = line(&load.command.join(" "));
            self.row("load", &[(load.begin, load.end)], &name, &[title]);
        }
    }

    /// A row for the word at the line where it was cut short.
    fn cut(&mut self, record: &Record) {
        let Some((at, word)) = cut(record) else {
            return;
        };
        let x = self.x.at(at);
        let right = x + width_of(word) + 8.0 > self.right;
        let (place, y) = (if right { x - 5.0 } else { x + 5.0 }, self.y + 11.0);
        self.parts.push(html! {
            text class={ "limit-text" @if right { " end" } } x=(px(place)) y=(px(y)) { (word) }
        });
        self.y += 16.0;
    }

    /// How long until it was noticed, and until all was well again.
    fn answer(&mut self, record: &Record, analysis: &Analysis) {
        let first = self.armed.iter().map(|(from, _)| *from).reduce(f64::min);
        let mut any = false;
        self.y += GAP;
        if let (Some(first), Some(seconds)) = (first, analysis.detected) {
            let text = format!("detected after {}", time(seconds));
            self.mark("slow", (first, first + seconds), &text);
            any = true;
        }
        if let (Some(gone), Some(seconds)) = (gone(record), analysis.recovered)
            && seconds >= AT_ONCE
        {
            // Two texts do not meet in one row.
            if any {
                self.y += 16.0;
            }
            let text = format!("recovered after {}", time(seconds));
            self.mark("well", (gone, gone + seconds), &text);
            any = true;
        }
        self.y += if any { 18.0 } else { 0.0 };
    }

    fn mark(&mut self, class: &str, (from, to): (f64, f64), text: &str) {
        let (x0, x1) = (self.x.at(from), self.x.at(to).min(self.right));
        let y = self.y + 6.0;
        let fits = x1 + 6.0 + width_of(text) <= self.right;
        let at = if fits { x1 + 6.0 } else { x0 - 6.0 };
        self.parts.push(html! {
            rect class=(class) x=(px(x0)) y=(px(y)) width=(px((x1 - x0).max(2.0))) height="4" rx="2" {}
            text class=(if fits { "" } else { "end" }) x=(px(at)) y=(px(y + 6.0)) { (text) }
        });
    }

    /// The axis, and what reaches from `top` down to it.
    fn axis(&mut self, record: &Record, top: f64) {
        let bottom = self.y + 2.0;
        for (from, to) in std::mem::take(&mut self.armed) {
            let (x0, x1) = (self.x.at(from), self.x.at(to));
            self.back.push(html! {
                rect class="armed" x=(px(x0)) y=(px(top)) width=(px((x1 - x0).max(1.0))) height=(px(bottom - top)) {}
            });
        }
        if let Some((at, _)) = cut(record) {
            let x = self.x.at(at);
            self.parts.push(html! {
                line class="stop" x1=(px(x)) x2=(px(x)) y1=(px(top - 16.0)) y2=(px(bottom)) {}
            });
        }
        let most = if self.right < 600.0 { 6 } else { 12 };
        let seconds = (self.right - self.x.zero) / self.x.step;
        for moment in moments(seconds, most) {
            let x = self.x.at(moment);
            let class = if x + 16.0 > self.right {
                "soft end"
            } else {
                "soft mid"
            };
            self.parts.push(html! {
                line class="grid" x1=(px(x)) x2=(px(x)) y1=(px(bottom)) y2=(px(bottom + 4.0)) {}
                text class=(class) x=(px(x)) y=(px(bottom + 16.0)) { (mark(moment, seconds)) }
            });
        }
        self.parts.push(html! {
            line class="grid" x1=(px(self.left)) x2=(px(self.right)) y1=(px(bottom)) y2=(px(bottom)) {}
        });
        self.y = bottom + 22.0;
    }
}

/// When and how a run was cut short.
fn cut(record: &Record) -> Option<(f64, &'static str)> {
    match record.end {
        End::Aborted { at, .. } => Some((at, "aborted")),
        End::Interrupted { at } => Some((at, "interrupted")),
        End::Broken { at, .. } => Some((at, "broken off")),
        End::Completed | End::NotSteady { .. } => None,
    }
}

/// When each fault acts; where nothing tells, as long as it was in force.
fn bands(record: &Record) -> Vec<Band> {
    let of_stage = record.stages.iter().flat_map(|stage| {
        let armed = stage.armed.filter(|_| stage.bands.is_empty());
        let faults = stage.run.iter().flat_map(|run| &run.faults);
        let told = faults
            .zip(std::iter::repeat(armed))
            .filter_map(|(fault, armed)| {
                Some(Band {
                    fault: fault.name.clone(),
                    begin: armed?,
                    end: stage.over.unwrap_or(stage.end),
                })
            });
        stage.bands.iter().cloned().chain(told)
    });
    of_stage.collect()
}
