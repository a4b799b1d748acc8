//! How a clock is wrong: `5m` or `-90s` at once, `200ppm` or `-2s/h` as time passes.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};

use super::parse_duration;
use crate::profile::problem::{Mistake, quote};

/// A step of a clock: 1 ms to 10 years, forward or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(i64);

const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_hours(3650 * 24);

impl Offset {
    /// In microseconds.
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl FromStr for Offset {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let (sign, rest) = signed(text.trim());
        let size = parse_duration(rest)?;
        if !(LEAST..=MOST).contains(&size) {
            return Err(Mistake::new(format!(
                "{} is no step of a clock: it takes 1ms to 3650days, forward or back",
                quote(text)
            )));
        }
        let micros = i64::try_from(size.as_micros()).unwrap_or(i64::MAX);
        Ok(Self(sign * micros))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let size = Duration::from_micros(self.0.unsigned_abs());
        humantime::format_duration(size).fmt(f)
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// How much faster or slower a clock runs: to a second per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drift(i64);

/// Billionths in a millionth.
const PPM: f64 = 1e3;
const MOST_PPM: f64 = 1e6;

impl Drift {
    /// In billionths of the time that passes.
    pub fn ppb(self) -> i64 {
        self.0
    }
}

impl FromStr for Drift {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let bad = |why: &str| {
            Mistake::new(format!(
                "{} is no drift{why}, such as 200ppm, or -2s/h",
                quote(text)
            ))
        };
        let (sign, rest) = signed(text.trim());
        let ppm = if let Some(number) = rest.strip_suffix("ppm") {
            let number: f64 = number.trim().parse().map_err(|_| bad(""))?;
            number
        } else {
            let (gained, per) = rest.split_once('/').ok_or_else(|| bad(""))?;
            let per = match per.trim() {
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" | "day" => 86400.0,
                _ => return Err(bad(" per s, m, h or d")),
            };
            parse_duration(gained)?.as_secs_f64() / per * MOST_PPM
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within the range that is checked"
        )]
        let ppb = if (0.0..=MOST_PPM).contains(&ppm) {
            (ppm * PPM).round() as i64
        } else {
            return Err(bad(" of at most a second per second"));
        };
        if ppb == 0 {
            return Err(bad(": it is none"));
        }
        Ok(Self(sign * ppb))
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "at most 1e9")]
        let ppm = self.0 as f64 / PPM;
        write!(f, "{ppm}ppm")
    }
}

impl Serialize for Drift {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest.trim_start()),
        None => (1, text.strip_prefix('+').unwrap_or(text).trim_start()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_forward_and_back_and_written() {
        for (text, micros, written) in [
            ("5m", 300_000_000, "5m"),
            ("+5m", 300_000_000, "5m"),
            ("- 1h 30m", -5_400_000_000, "-1h 30m"),
            ("1ms", 1_000, "1ms"),
        ] {
            let offset: Offset = text.parse().unwrap();
            assert_eq!(offset.micros(), micros, "{text}");
            assert_eq!(offset.to_string(), written);
            assert_eq!(written.parse::<Offset>(), Ok(offset));
        }
        for text in ["", "5", "0", "--5m", "1us", "4000days", "x"] {
            assert!(text.parse::<Offset>().is_err(), "{text}");
        }
    }

    #[test]
    fn drifts_are_read_in_millionths_and_as_time_per_time() {
        for (text, ppb, written) in [
            ("200ppm", 200_000, "200ppm"),
            ("-0.5 ppm", -500, "-0.5ppm"),
            ("1ms/s", 1_000_000, "1000ppm"),
            ("-36s/h", -10_000_000, "-10000ppm"),
            ("1s/s", 1_000_000_000, "1000000ppm"),
        ] {
            let drift: Drift = text.parse().unwrap();
            assert_eq!(drift.ppb(), ppb, "{text}");
            assert_eq!(drift.to_string(), written);
            assert_eq!(written.parse::<Drift>(), Ok(drift));
        }
        for text in ["", "5", "0ppm", "2s/s", "1s/y", "nanppm", "x/s"] {
            assert!(text.parse::<Drift>().is_err(), "{text}");
        }
    }
}
