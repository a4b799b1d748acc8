//! What one probe saw: its values as a line, the control's beside it, its limit, and what failed.

use maud::{Markup, html};

use crate::experiment::{
    record::{Probe, ProbeAnalysis, Sample},
    stats,
    words::{line, number, quantity, ratio},
};

use super::{
    super::svg::{Scale, fitted, multiples, nice, points, px, width_of},
    Drawing,
};

/// The plot's height, and that of its heading.
const HEIGHT: f64 = 92.0;
const HEADING: f64 = 20.0;
/// Failed samples with a cross of their own.
const CROSSES: usize = 160;

/// The same question, asked of the control.
pub(super) fn is_twin(other: &Probe, probe: &Probe) -> bool {
    other.control && other.name == probe.name
}

impl Drawing {
    /// Draws a probe of the target and its twin on the control.
    pub(super) fn panel(
        &mut self,
        probe: &Probe,
        analysis: &ProbeAnalysis,
        control: Option<&Probe>,
    ) {
        self.y += 6.0;
        self.heading(probe, analysis);
        let top = self.y + HEADING;
        let bottom = top + HEIGHT;
        let highest = highest(probe, control);
        let scale = Scale::new((0.0, highest), (bottom, top + 4.0));
        self.grid(highest, scale, &probe.unit);
        self.failed(probe, scale, top);
        if let Some(control) = control {
            let line = self.line(&control.samples, scale, top, "control");
            self.parts.push(line);
        }
        if probe.samples.len() > self.columns() {
            let spread = self.spread(&probe.samples, scale, top);
            self.parts.push(spread);
        }
        let line = self.line(&probe.samples, scale, top, "target");
        self.parts.push(line);
        self.dots(probe, scale, top);
        self.limit(probe, scale, top);
        self.parts.push(html! {
            rect class="frame" x=(px(self.left)) y=(px(top)) width=(px(self.right - self.left)) height=(px(HEIGHT)) {}
        });
        self.y = bottom + 8.0;
    }

    /// Lines are drawn in so many columns at most.
    fn columns(&self) -> usize {
        if self.right < 600.0 { 180 } else { 430 }
    }

    fn heading(&mut self, probe: &Probe, analysis: &ProbeAnalysis) {
        let failed: usize = analysis.stages.iter().map(|stage| stage.failed).sum();
        let all: usize = analysis.stages.iter().map(|stage| stage.samples).sum();
        let told = if all == 0 {
            "never looked".to_owned()
        } else if failed == 0 {
            "never failed".to_owned()
        } else {
            format!("{} failed", ratio(failed, all))
        };
        let name = line(&probe.name);
        let room = self.right - self.left - width_of(&told) - 16.0;
        let name = fitted(&name, room);
        // Bold is wider.
        let used = width_of(&name) * 1.08 + 8.0;
        let what = fitted(&line(&probe.what), room - used);
        let y = self.y + 13.0;
        self.parts.push(html! {
            text x=(px(self.left)) y=(px(y)) {
                title { (line(&probe.what)) }
                tspan class="name" { (name) }
                tspan class="soft" dx="8" { (what) }
            }
            text class="soft end" x=(px(self.right)) y=(px(y)) { (told) }
        });
    }

    fn grid(&mut self, highest: f64, scale: Scale, unit: &str) {
        // Seconds take less room than thousands of milliseconds.
        let (factor, unit) = match unit {
            "ms" if highest >= 1e3 => (1e3, "s"),
            unit => (1.0, unit),
        };
        let highest = highest / factor;
        let values = multiples(nice(highest, 3), highest);
        let last = values.len().saturating_sub(1);
        for (n, value) in values.into_iter().enumerate() {
            let y = scale.at(value * factor);
            let named = if unit == "s" {
                format!("{} s", number(value))
            } else {
                quantity(value, unit)
            };
            let text = if n == last && width_of(&named) < self.left {
                named
            } else {
                number(value)
            };
            self.parts.push(html! {
                line class="grid" x1=(px(self.left)) x2=(px(self.right)) y1=(px(y)) y2=(px(y)) {}
                text class="soft end" x=(px(self.left - 4.0)) y=(px(y + 4.0)) { (text) }
            });
        }
    }

    /// The times of failed samples; those that follow each other are one.
    fn failed(&mut self, probe: &Probe, scale: Scale, top: f64) {
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for sample in probe.samples.iter().filter(|sample| !sample.ok) {
            let x0 = self.x.at(sample.at);
            let x1 = self
                .x
                .at(sample.at + sample.took)
                .clamp(x0 + 2.0, self.right.max(x0 + 2.0));
            match spans.last_mut() {
                Some((_, end)) if x0 <= *end + 0.5 => *end = end.max(x1),
                _ => spans.push((x0, x1)),
            }
        }
        for (x0, x1) in spans {
            self.parts.push(html! {
                rect class="failed" x=(px(x0)) y=(px(top)) width=(px(x1 - x0)) height=(px(scale.zero - top)) {}
            });
        }
    }

    /// A sample's point; what has no value, or one beyond the picture, is at its upper edge.
    fn point(&self, sample: &Sample, scale: Scale, top: f64) -> Option<(f64, f64)> {
        let value = sample.value.filter(|value| value.is_finite())?;
        Some((self.x.at(sample.at), scale.at(value).clamp(top, scale.zero)))
    }

    fn line(&self, samples: &[Sample], scale: Scale, top: f64, class: &str) -> Markup {
        let thin = samples.len() > self.columns();
        let chunk = samples.len().div_ceil(self.columns()).max(1);
        let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
        for some in samples.chunks(chunk) {
            let seen: Vec<_> = some
                .iter()
                .filter_map(|s| self.point(s, scale, top))
                .collect();
            let middle = stats::median(&stats::sorted(seen.iter().map(|(_, y)| *y)));
            match (seen.first(), middle, lines.last_mut()) {
                (Some((x, _)), Some(y), Some(line)) => line.push((*x, y)),
                // Where nothing answered, there is no line.
                _ if thin => {}
                _ => lines.push(Vec::new()),
            }
        }
        html! {
            @for line in lines.iter().filter(|line| line.len() > 1) {
                polyline class=(class) points=(points(line)) {}
            }
        }
    }

    /// From the least to the most, where many samples share a column.
    fn spread(&self, samples: &[Sample], scale: Scale, top: f64) -> Markup {
        let chunk = samples.len().div_ceil(self.columns()).max(1);
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for some in samples.chunks(chunk) {
            let seen: Vec<_> = some
                .iter()
                .filter_map(|s| self.point(s, scale, top))
                .collect();
            let Some((x, y)) = seen.first() else {
                continue;
            };
            let ys = || seen.iter().map(|(_, y)| *y);
            upper.push((*x, ys().fold(*y, f64::min)));
            lower.push((*x, ys().fold(*y, f64::max)));
        }
        upper.extend(lower.into_iter().rev());
        html! { polygon class="spread" points=(points(&upper)) {} }
    }

    fn dots(&mut self, probe: &Probe, scale: Scale, top: f64) {
        let few = probe.samples.len() * 4 <= self.columns() * 3;
        let crosses = probe.samples.iter().filter(|s| !s.ok).count() <= CROSSES;
        let marks = probe
            .samples
            .iter()
            .filter(|s| if s.ok { few } else { crosses });
        let marks: Vec<Markup> = marks.map(|sample| {
            let (x, y) = self.point(sample, scale, top).unwrap_or((self.x.at(sample.at), top + 7.0));
            let value = sample.value.map(|value| quantity(value, &probe.unit));
            let why = sample.why.as_deref().map(line);
            let told: Vec<String> = value.into_iter().chain(why).collect();
            let title = format!("{} s: {}", number(sample.at), told.join(", "));
            html! {
                @if sample.ok {
                    circle class="dot" cx=(px(x)) cy=(px(y)) r="1.8" { title { (title) } }
                } @else {
                    path class="cross" d=(format!("M{} {}l6 6m0-6l-6 6", px(x - 3.0), px((y - 3.0).max(top + 1.0)))) {
                        title { (title) }
                    }
                }
            }
        }).collect();
        self.parts.extend(marks);
    }

    fn limit(&mut self, probe: &Probe, scale: Scale, top: f64) {
        let Some(limit) = probe.limit else {
            return;
        };
        let y = scale.at(limit);
        if y < top {
            return;
        }
        let text = format!("limit {}", quantity(limit, &probe.unit));
        let base = if y - 4.0 < top + 10.0 {
            y + 13.0
        } else {
            y - 4.0
        };
        self.parts.push(html! {
            line class="limit" x1=(px(self.left)) x2=(px(self.right)) y1=(px(y)) y2=(px(y)) {}
            text class="limit-text" x=(px(self.left + 6.0)) y=(px(base)) { (text) }
        });
    }
}

/// The value at the upper edge: all values fit, but for those that would flatten the rest.
fn highest(probe: &Probe, control: Option<&Probe>) -> f64 {
    let samples = control
        .into_iter()
        .chain([probe])
        .flat_map(|probe| &probe.samples);
    let values = stats::sorted(samples.filter_map(|sample| sample.value));
    let most = values.last().copied().unwrap_or(0.0);
    let usual = stats::quantile(&values, 0.95).unwrap_or(0.0);
    let usual = probe.limit.unwrap_or(0.0).max(usual);
    let highest = if most > 3.0 * usual && usual > 0.0 {
        1.6 * usual
    } else {
        1.12 * most.max(usual)
    };
    if highest > 0.0 { highest } else { 1.0 }
}
