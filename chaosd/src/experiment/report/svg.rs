//! What drawings share: scales, ticks and coordinates. Colours are classes of the page's style.

use crate::experiment::{stats::count, words::number};

/// Takes values to a drawing's units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Where 0 is.
    pub(super) zero: f64,
    /// Units for one of the value.
    pub(super) step: f64,
}

impl Scale {
    /// `low` comes to `from`, `high` to `to`.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let step = (to - from) / (high - low).max(f64::MIN_POSITIVE);
        Self {
            zero: from - low * step,
            step,
        }
    }

    /// Where a value is.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.zero + value * self.step
    }
}

/// A coordinate, to a tenth.
pub(super) fn px(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// Points of a line.
pub(super) fn points(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y)));
    points.collect::<Vec<_>>().join(" ")
}

/// A length that people count in: 1, 2 or 5 of a power of ten, so that `most` of them cover `to`.
pub(super) fn nice(to: f64, most: usize) -> f64 {
    let least = to / count(most.max(1));
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].into_iter();
    steps
        .map(|step| step * power)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(10.0 * power)
}

/// Lengths of time that people count in, in seconds.
const TIMES: [f64; 18] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0,
    3_600.0, 7_200.0, 14_400.0,
];

/// The moments at which a time axis has its marks.
pub(super) fn moments(seconds: f64, most: usize) -> Vec<f64> {
    let least = seconds / count(most.max(1));
    let step = TIMES.into_iter().find(|step| *step >= least);
    multiples(step.unwrap_or_else(|| nice(seconds, most)), seconds)
}

/// The multiples of `step` from 0 to `to`.
pub(super) fn multiples(step: f64, to: f64) -> Vec<f64> {
    let within = |value: &f64| *value <= to * 1.000_001;
    (0..1_000)
        .map(|n| count(n) * step)
        .take_while(within)
        .collect()
}

/// A moment of an axis that is so many seconds long: `2.5 s`, of one that is longer than a minute as a clock
/// has it, `0:30`, `1:05:00`.
pub(super) fn mark(moment: f64, axis: f64) -> String {
    if axis < 60.0 {
        return format!("{} s", number(moment));
    }
    let whole = moment.round();
    let (hours, minutes, rest) = (
        (whole / 3_600.0).floor(),
        (whole / 60.0).floor() % 60.0,
        whole % 60.0,
    );
    if hours > 0.0 {
        format!("{hours}:{minutes:02}:{rest:02}")
    } else {
        format!("{minutes}:{rest:02}")
    }
}

/// About as wide as a text of 12 units is.
pub(super) fn width_of(text: &str) -> f64 {
    6.4 * count(text.chars().count())
}

/// The text, shortened to a width.
pub(super) fn fitted(text: &str, width: f64) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if width_of(&short) + 2.0 * 6.4 > width {
            break;
        }
        short.push(c);
    }
    if short.is_empty() {
        short
    } else {
        format!("{}…", short.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_count_as_people_do() {
        for (to, step) in [
            (100.0, 50.0),
            (97.0, 50.0),
            (3.0, 1.0),
            (0.4, 0.2),
            (0.0, 1.0),
        ] {
            assert!((nice(to, 3) - step).abs() < 1e-9, "{to}: {}", nice(to, 3));
        }
        assert_eq!(
            moments(150.0, 10),
            [
                0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 105.0, 120.0, 135.0, 150.0
            ]
        );
        assert_eq!(moments(0.0, 10), [0.0]);
        assert!(moments(1e7, 10).len() <= 11);
    }

    #[test]
    fn moments_are_told_as_by_a_clock_when_there_are_minutes() {
        for (moment, axis, text) in [
            (0.0, 4.0, "0 s"),
            (0.5, 4.0, "0.5 s"),
            (0.0, 240.0, "0:00"),
            (75.0, 240.0, "1:15"),
            (3_725.0, 7_200.0, "1:02:05"),
        ] {
            assert_eq!(mark(moment, axis), text);
        }
    }

    #[test]
    fn coordinates_are_short_and_texts_fit() {
        assert_eq!(
            (px(12.0), px(12.34), px(-0.01), px(f64::NAN)),
            ("12".into(), "12.3".into(), "0".into(), "0".into())
        );
        assert_eq!(fitted("baseline", 100.0), "baseline");
        assert_eq!(fitted("baseline", 35.0), "base…");
        assert_eq!(fitted("baseline", 3.0), "");
    }
}
