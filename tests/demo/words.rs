//! Figures as people read them.

use std::time::Duration;

/// 1234567 as 1,234,567.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.008 %  2,015 of 200,000`
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn share(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / (whole as f64).max(1.0);
    let share = format!("{percent:.3}");
    format!("{share:>6} %  {} of {}", grouped(part), grouped(whole))
}

/// `0.4 σ`, `447 σ`
pub fn sigmas(distance: f64) -> String {
    match distance {
        ..100.0 => format!("{distance:.1} σ"),
        _ => format!("{distance:.0} σ"),
    }
}

/// `0.4 ms`, `12 ms`, `2.02 s`
pub fn time(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ..10.0 => format!("{ms:.1} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}
