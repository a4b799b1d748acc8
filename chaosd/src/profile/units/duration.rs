//! Durations: `250ms`, `90s`, `1m 30s`.

use std::time::Duration;

use serde::Serializer;

use crate::profile::{
    problem::{Mistake, quote},
    words,
};

/// The units that are suggested, the likelier before the others; humantime reads more forms.
const UNITS: &[&str] = &[
    "min", "sec", "ms", "us", "ns", "hours", "days", "s", "m", "h",
];

/// A duration with its unit, by humantime's grammar; never months or years, because `2M` is a slip
/// of the shift key.
pub fn parse_duration(text: &str) -> Result<Duration, Mistake> {
    let text = text.trim();
    let bad = |why: &str| Mistake::new(format!("{} is not a duration{why}", quote(text)));
    if !text.is_empty() && text.parse::<f64>().is_ok_and(|n| n > 0.0 && n.is_finite()) {
        return Err(bad(" without a unit").instead(format!("{text}s")));
    }
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    match humantime::parse_duration(text) {
        Ok(_) if text.contains('M') => Err(bad(": M is a month").instead(text.replace('M', "m"))),
        Ok(duration) => Ok(duration),
        Err(humantime::DurationError::UnknownUnit { unit, .. }) if unit.is_empty() => {
            Err(bad(": its last number has no unit"))
        }
        Err(humantime::DurationError::UnknownUnit {
            unit, start, end, ..
        }) => {
            let mistake = bad(&format!(": {} is not a unit of time", quote(&unit)));
            let ends = text.get(..start).zip(text.get(end..));
            Err(match (words::nearest(&unit, UNITS), ends) {
                (Some(near), Some((before, after))) => {
                    mistake.instead(format!("{before}{near}{after}"))
                }
                _ => mistake,
            })
        }
        Err(humantime::DurationError::NumberOverflow) => Err(bad(": too long, or finer than 1ns")),
        Err(_) => Err(bad(", such as 500ms, 90s or 1m 30s")),
    }
}

pub(crate) fn serialize_duration<S: Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&humantime::format_duration(*d))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
pub(crate) fn serialize_optional_duration<S: Serializer>(
    d: &Option<Duration>,
    s: S,
) -> Result<S::Ok, S::Error> {
    match d {
        Some(d) => serialize_duration(d, s),
        None => s.serialize_none(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_people_write_them() {
        for (text, ms) in [
            ("250ms", 250),
            ("90s", 90_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_millis(ms),
                "{text}"
            );
        }
    }

    #[test]
    fn a_bad_duration_says_what_to_type() {
        for (text, said) in [
            (
                "90",
                "`90` is not a duration without a unit; did you mean `90s`?",
            ),
            (
                "1.5",
                "`1.5` is not a duration without a unit; did you mean `1.5s`?",
            ),
            (
                "2M",
                "`2M` is not a duration: M is a month; did you mean `2m`?",
            ),
            (
                "5mn",
                "`5mn` is not a duration: `mn` is not a unit of time; did you mean `5min`?",
            ),
            (
                "1h30",
                "`1h30` is not a duration: its last number has no unit",
            ),
            (
                "-5s",
                "`-5s` is not a duration, such as 500ms, 90s or 1m 30s",
            ),
            ("", "`` is not a duration, such as 500ms, 90s or 1m 30s"),
            (
                "99999999999999999999s",
                "`99999999999999999999s` is not a duration: too long, or finer than 1ns",
            ),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), said);
        }
    }
}
