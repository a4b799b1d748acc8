//! Target and control as two histograms back to back, and the interval of their difference.

use maud::{Markup, html};

use crate::experiment::{
    analysis::{latest, values, windows},
    record::{Comparison, Probe, Record},
    stats::{self, count},
    words::{number, quantity},
};

use super::svg::{Scale, multiples, nice, px};

/// Of a histogram.
const BINS: usize = 36;
const WIDTH: f64 = 440.0;
const SIDE: f64 = 8.0;
/// The tallest bar.
const TALL: f64 = 62.0;
/// The line that the bars stand on and hang from.
const FLOOR: f64 = 82.0;

/// Draws a comparison; nothing, where its probes are not in the record.
pub(super) fn distribution(record: &Record, comparison: &Comparison) -> Markup {
    let of = |control| {
        let mut probes = record.probes.iter();
        probes.find(|probe| probe.control == control && probe.name == comparison.probe)
    };
    let (Some(target), Some(control)) = (of(false), of(true)) else {
        return html! {};
    };
    draw(record, comparison, target, control)
}

fn draw(record: &Record, comparison: &Comparison, target: &Probe, control: &Probe) -> Markup {
    let windows = windows(&record.stages);
    let late = (target.unit == "ms").then(|| latest(target, control, &windows));
    let of = |probe: &Probe| stats::sorted(values(&probe.samples, &windows, late));
    let (on_target, on_control) = (of(target), of(control));
    let all = stats::sorted(on_target.iter().chain(&on_control).copied());
    let low = all.first().copied().unwrap_or(0.0);
    let high = stats::quantile(&all, 0.98).unwrap_or(1.0);
    let high = high.max(low + low.abs() * 1e-6).max(low + 1e-9);
    let scale = Scale::new((low, high), (SIDE, WIDTH - SIDE));
    let (above, below) = (
        shares(&on_target, low, high),
        shares(&on_control, low, high),
    );
    let most = above
        .iter()
        .chain(&below)
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    let wide = (WIDTH - 2.0 * SIDE) / count(BINS);
    let bar = |n: usize, share: f64, up: bool| {
        let (x, tall) = (SIDE + count(n) * wide, TALL * share / most);
        let y = if up { FLOOR - tall } else { FLOOR };
        html! {
            @if share > 0.0 {
                rect class=(if up { "target-bar" } else { "control-bar" }) x=(px(x + 0.5)) y=(px(y))
                    width=(px(wide - 1.0)) height=(px(tall.max(1.0))) {}
            }
        }
    };
    let middle = |value: f64, up: bool, name: &str| {
        let x = scale.at(value).min(WIDTH - SIDE);
        let (y1, y2) = if up {
            (FLOOR - TALL - 4.0, FLOOR)
        } else {
            (FLOOR, FLOOR + TALL + 4.0)
        };
        let base = if up {
            FLOOR - TALL - 8.0
        } else {
            FLOOR + TALL + 15.0
        };
        let text = format!("{name}: median {}", quantity(value, &target.unit));
        let place = if x < WIDTH / 3.0 {
            ""
        } else if x > WIDTH * 2.0 / 3.0 {
            "end"
        } else {
            "mid"
        };
        html! {
            line class="middle" x1=(px(x)) x2=(px(x)) y1=(px(y1)) y2=(px(y2)) {}
            text class=(place) x=(px(x)) y=(px(base)) { (text) }
        }
    };
    let bottom = FLOOR + TALL + 26.0;
    let step = nice(high - low, 5);
    let first = (low / step).ceil() * step;
    let marks = multiples(step, high - first)
        .into_iter()
        .map(|more| first + more);
    let told = format!(
        "{} samples on the target above, {} on the control below",
        on_target.len(),
        on_control.len(),
    );
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", bottom + 20.0)) width=(WIDTH) height=(bottom + 20.0)
            role="img" aria-label=(told) {
            @for (n, share) in above.iter().enumerate() { (bar(n, *share, true)) }
            @for (n, share) in below.iter().enumerate() { (bar(n, *share, false)) }
            line class="grid" x1=(SIDE) x2=(WIDTH - SIDE) y1=(FLOOR) y2=(FLOOR) {}
            (middle(comparison.target, true, "target"))
            (middle(comparison.control, false, "control"))
            line class="grid" x1=(SIDE) x2=(WIDTH - SIDE) y1=(bottom) y2=(bottom) {}
            @for mark in marks {
                text class="soft mid" x=(px(scale.at(mark).clamp(16.0, WIDTH - 16.0))) y=(px(bottom + 14.0)) {
                    (number(mark))
                }
            }
        }
        (interval(comparison, &target.unit))
    }
}

/// The share of the values in each bin; the last one has all that is beyond it.
fn shares(values: &[f64], low: f64, high: f64) -> [f64; BINS] {
    let mut bins = [0.0; BINS];
    let edge = |n: usize| low + (high - low) * count(n) / count(BINS);
    let mut from = 0;
    for (n, bin) in bins.iter_mut().enumerate() {
        let below = |value: &f64| *value < edge(n + 1);
        let to = if n + 1 == BINS {
            values.len()
        } else {
            values.partition_point(below)
        };
        *bin = count(to.saturating_sub(from)) / count(values.len().max(1));
        from = to.max(from);
    }
    bins
}

/// Between what the difference lies, beside 0.
fn interval(comparison: &Comparison, unit: &str) -> Markup {
    let (low, high) = (comparison.low.min(0.0), comparison.high.max(0.0));
    let room = ((high - low) * 0.15).max(1e-9);
    let scale = Scale::new((low - room, high + room), (SIDE, WIDTH - SIDE));
    let at = |value: f64| px(scale.at(value));
    let text = |value: f64| quantity(value, unit);
    let told = format!(
        "The difference lies between {} and {}",
        text(comparison.low),
        text(comparison.high)
    );
    // Texts at the ends of a short interval would meet.
    let apart = scale.at(comparison.high) - scale.at(comparison.low);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} 46")) width=(WIDTH) height="46" role="img" aria-label=(told) {
            line class="grid" x1=(SIDE) x2=(WIDTH - SIDE) y1="14" y2="14" {}
            line class="middle" x1=(at(0.0)) x2=(at(0.0)) y1="4" y2="24" {}
            line class="interval" x1=(at(comparison.low)) x2=(at(comparison.high)) y1="14" y2="14" {}
            circle class="dot" cx=(at(comparison.difference)) cy="14" r="5" {}
            text class="soft mid" x=(at(0.0)) y="38" { "0" }
            @if apart > 130.0 {
                text class="soft end" x=(px((scale.at(comparison.low) + 20.0).max(60.0))) y="38" { (text(comparison.low)) }
                text class="soft end" x=(px((scale.at(comparison.high) + 20.0).min(WIDTH))) y="38" { (text(comparison.high)) }
            } @else {
                text class="soft mid" x=(px(scale.at(comparison.difference).clamp(110.0, WIDTH - 80.0))) y="38" {
                    (text(comparison.low)) " to " (text(comparison.high))
                }
            }
        }
    }
}
