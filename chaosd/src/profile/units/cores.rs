//! CPU time: `50%` of a core, `250%` of two and a half, or `2.5`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::profile::problem::{Mistake, quote};

/// CPU time per time, in millionths of a core: from a thousandth of one to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores(u64);

const MILLION: f64 = 1e6;
const LEAST: f64 = 0.001;
const MOST: f64 = 1024.0;

impl Cores {
    /// In millionths of a core.
    pub fn millionths(self) -> u64 {
        self.0
    }
}

impl FromStr for Cores {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        let bad = |why: &str| {
            Mistake::new(format!(
                "{} is not CPU time{why}, such as 50% of a core, or 2.5 cores",
                quote(text)
            ))
        };
        let (number, unit) = match text.strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text.trim_end_matches("cores").trim_end_matches("core"), 1.0),
        };
        let cores: f64 = number.trim().parse().map_err(|_| bad(""))?;
        let cores = cores / unit;
        if !(LEAST..=MOST).contains(&cores) {
            return Err(bad(" from 0.1% to 1024 cores"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the range above"
        )]
        Ok(Self((cores * MILLION).round() as u64))
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "at most 2^30")]
        let percent = self.0 as f64 / MILLION * 100.0;
        write!(f, "{percent}%")
    }
}

impl Serialize for Cores {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_core_and_several_cores_are_read_and_written() {
        for (text, millionths, written) in [
            ("50%", 500_000, "50%"),
            ("250 %", 2_500_000, "250%"),
            ("2.5", 2_500_000, "250%"),
            ("1 core", 1_000_000, "100%"),
            ("0.1%", 1_000, "0.1%"),
        ] {
            let cores: Cores = text.parse().unwrap();
            assert_eq!(cores.millionths(), millionths, "{text}");
            assert_eq!(cores.to_string(), written, "{text}");
            assert_eq!(written.parse::<Cores>(), Ok(cores));
        }
        for text in ["", "x", "0", "-1", "0%", "2000", "nan", "5s"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
    }
}
