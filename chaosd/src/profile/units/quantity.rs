//! A number and its unit in one word, such as `1.5mbit` or `64 KB`.

/// Decimal places that [`write()`] uses at most.
const PLACES: u64 = 1000;

/// The number and what follows it; `None` when it does not begin with a number that is not
/// negative.
pub(super) fn split(text: &str) -> Option<(f64, &str)> {
    let digits = |c: char| c.is_ascii_digit() || c == '.';
    let end = text.find(|c| !digits(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// `number` units as a whole number from 0 to `most`; `None` when it is out of that range.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "checked to be within 0 and `most`, which all callers keep below 2^53"
)]
pub(super) fn whole(number: f64, unit: u64, most: u64) -> Option<u64> {
    let value = (number * unit as f64).round();
    (0.0..=most as f64).contains(&value).then_some(value as u64)
}

/// In the largest of these units (largest first, the last one 1) that needs no more than three
/// decimal places: the text is exact.
pub(super) fn write(value: u64, units: &[(&str, u64)], space: &str) -> String {
    let fits = |unit: u64| value >= unit && value.is_multiple_of((unit / PLACES).max(1));
    let unit = units.iter().find(|(_, unit)| fits(*unit));
    let (name, unit) = unit.or(units.last()).copied().unwrap_or(("", 1));
    let rest = value % unit * PLACES / unit;
    if rest == 0 {
        return format!("{}{space}{name}", value / unit);
    }
    let decimals = format!("{rest:03}");
    let decimals = decimals.trim_end_matches('0');
    format!("{}.{decimals}{space}{name}", value / unit)
}
