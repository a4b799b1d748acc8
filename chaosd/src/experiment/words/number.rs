//! Numbers, times and amounts as people read them.

use super::line;
use crate::experiment::stats::count;

/// Three significant digits, thousands grouped, nothing after a point that says nothing.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "?".into();
    }
    let text = match size {
        _ if size >= 999.5 => {
            let sign = if value < 0.0 { "-" } else { "" };
            return format!("{sign}{}", group(&format!("{size:.0}")));
        }
        _ if size >= 99.95 => format!("{value:.0}"),
        _ if size >= 9.995 => format!("{value:.1}"),
        _ if size >= 0.9995 => format!("{value:.2}"),
        _ if size >= 0.0005 => format!("{value:.3}"),
        _ => "0".into(),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A number with its unit.
pub fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "" => number(value),
        "s" => time(value),
        "ms" if value.abs() >= 999.5 => time(value / 1e3),
        "percent" => format!("{} %", number(value)),
        "bytes" => bytes(value, ""),
        "bytes/s" | "bytes per second" => bytes(value, "/s"),
        "1/s" => format!("{}/s", number(value)),
        unit => format!("{} {}", number(value), line(unit)),
    }
}

/// Two numbers with a word between, and their unit once when it is the same: `312 to 523 ms`.
pub fn both(first: f64, word: &str, second: f64, unit: &str) -> String {
    let (first, second) = (quantity(first, unit), quantity(second, unit));
    let first = match (first.split_once(' '), second.split_once(' ')) {
        (Some((number, unit)), Some((_, other))) if unit == other && !unit.contains(' ') => number,
        _ => &first,
    };
    format!("{first} {word} {second}")
}

fn bytes(value: f64, per: &str) -> String {
    let mut value = value;
    let mut units = ["bytes", "KiB", "MiB", "GiB", "TiB"].into_iter().peekable();
    let mut unit = "bytes";
    while let Some(next) = units.next() {
        unit = next;
        if value.abs() < 1024.0 || units.peek().is_none() {
            break;
        }
        value /= 1024.0;
    }
    format!("{} {unit}{per}", number(value))
}

/// A length of time: `340 ms`, `1.24 s`, `42 s`, `2 min 5 s`.
pub fn time(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".into();
    }
    if seconds.abs() < 0.9995 {
        return format!("{} ms", number((seconds * 1e3).round()));
    }
    if seconds < 59.95 {
        return format!("{} s", number(seconds));
    }
    let whole = seconds.round();
    let (minutes, rest) = ((whole / 60.0).floor(), whole % 60.0);
    let (hours, minutes) = ((minutes / 60.0).floor(), minutes % 60.0);
    let parts = [(hours, "h"), (minutes, "min"), (rest, "s")];
    let parts = parts.iter().filter(|(amount, _)| *amount > 0.0);
    let parts: Vec<String> = parts
        .map(|(amount, unit)| format!("{amount} {unit}"))
        .collect();
    parts.join(" ")
}

/// `2026-11-22 01:02:03 UTC`, of RFC 3339.
pub fn day(started: &str) -> String {
    let moment: Result<jiff::Timestamp, _> = started.parse();
    moment.map_or_else(
        |_| line(started),
        |moment| moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// `117 of 120`
pub fn ratio(part: usize, whole: usize) -> String {
    format!("{} of {}", number(count(part)), number(count(whole)))
}

/// A part of a whole in percent, never rounded to all or nothing.
pub fn share(part: usize, whole: usize) -> String {
    share_of(part as u64, whole as u64)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn share_of(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".into();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    let text = number(percent);
    match text.as_str() {
        "100" if part < whole => "99.9 %".into(),
        "0" if part > 0 => "0.001 %".into(),
        _ => format!("{text} %"),
    }
}

/// 1234567 as `1,234,567`.
pub fn grouped(number: u64) -> String {
    group(&number.to_string())
}

fn group(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
