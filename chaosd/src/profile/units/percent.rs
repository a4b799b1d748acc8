//! Shares.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::profile::problem::{Mistake, quote};

/// A share from 0 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100.0);
    /// None of it.
    pub const NONE: Self = Self(0.0);

    /// `None` unless within 0 to 100.
    pub fn new(percent: f64) -> Option<Self> {
        (0.0..=100.0).contains(&percent).then_some(Self(percent))
    }

    /// From 0 to 100.
    pub fn get(self) -> f64 {
        self.0
    }

    /// As a 32-bit fixed-point probability, the form that the programs compare with.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 2^32 is exact in f64 and fits"
    )]
    pub fn fixed_point(self) -> u64 {
        (self.0 / 100.0 * chaosd_ebpf::ONE as f64).round() as u64
    }

    /// True when no packet is meant.
    pub fn is_none(self) -> bool {
        self.fixed_point() == 0
    }
}

impl FromStr for Percent {
    type Err = Mistake;

    /// `30%`, `0.5 %`.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        let Some(number) = text.strip_suffix('%') else {
            return Err(without_sign(text));
        };
        let bad = || Mistake::new(format!("{} is not a share, such as 30%", quote(text)));
        let value: f64 = number.trim().parse().map_err(|_| bad())?;
        if value.is_nan() {
            return Err(bad());
        }
        // Adding zero turns -0 into 0.
        let Some(percent) = Self::new(value + 0.0) else {
            return Err(if value > 100.0 {
                Mistake::new(format!("{} is more than 100%", quote(text))).instead("100%")
            } else {
                Mistake::new(format!("{} is less than 0%", quote(text)))
            });
        };
        if value > 0.0 && percent.is_none() {
            return Err(Mistake::new(format!(
                "{} is too small: the finest share is about 0.00000002%",
                quote(text)
            )));
        }
        Ok(percent)
    }
}

/// `0.3` and `30` are one typing away from a share.
fn without_sign(text: &str) -> Mistake {
    let mistake = |why: &str| Mistake::new(format!("{} is not a share{why}", quote(text)));
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n < 1.0 => {
            // Rounded, because 0.07 * 100 is 7.000000000000001.
            let percent = (n * 100.0 * 1e9).round() / 1e9;
            mistake(" without a percent sign").instead(format!("{percent}%"))
        }
        Ok(n) if (0.0..=100.0).contains(&n) => {
            mistake(" without a percent sign").instead(format!("{n}%"))
        }
        _ => mistake(", such as 30%"),
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{}%", self.0))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn shares_parse_as_people_write_them() {
        for (text, percent) in [
            ("30%", 30.0),
            ("0.5 %", 0.5),
            (" 100%", 100.0),
            ("-0%", 0.0),
        ] {
            let parsed: Percent = text.parse().unwrap();
            assert_eq!(parsed.get().to_bits(), f64::to_bits(percent), "{text}");
        }
    }

    #[test]
    fn a_bad_share_says_what_to_type() {
        for (text, said) in [
            (
                "0.3",
                "`0.3` is not a share without a percent sign; did you mean `30%`?",
            ),
            (
                "0.07",
                "`0.07` is not a share without a percent sign; did you mean `7%`?",
            ),
            (
                "30",
                "`30` is not a share without a percent sign; did you mean `30%`?",
            ),
            ("130%", "`130%` is more than 100%; did you mean `100%`?"),
            ("-1%", "`-1%` is less than 0%"),
            ("nan%", "`nan%` is not a share, such as 30%"),
            ("inf%", "`inf%` is more than 100%; did you mean `100%`?"),
            ("half", "`half` is not a share, such as 30%"),
            ("", "`` is not a share, such as 30%"),
            (
                "0.00000000001%",
                "`0.00000000001%` is too small: the finest share is about 0.00000002%",
            ),
        ] {
            assert_eq!(text.parse::<Percent>().unwrap_err().to_string(), said);
        }
    }
}
