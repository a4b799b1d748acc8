//! Rates of a link: `10mbit`, `1.5gbit`, `500kbps`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::profile::problem::{Mistake, quote};

use super::quantity;

/// The units of tc(8), in bits per second. `bps` is bytes per second there, and so it is here.
const UNITS: &[(&str, u64)] = &[
    ("bit", 1),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("kibit", 1 << 10),
    ("mibit", 1 << 20),
    ("gibit", 1 << 30),
    ("tibit", 1 << 40),
    ("bps", 8),
    ("kbps", 8_000),
    ("mbps", 8_000_000),
    ("gbps", 8_000_000_000),
    ("tbps", 8_000_000_000_000),
    ("kibps", 8 << 10),
    ("mibps", 8 << 20),
    ("gibps", 8 << 30),
    ("tibps", 8 << 40),
];
const WRITTEN: &[(&str, u64)] = &[
    ("tbit", 1_000_000_000_000),
    ("gbit", 1_000_000_000),
    ("mbit", 1_000_000),
    ("kbit", 1_000),
    ("bit", 1),
];
const SHOWN: &[(&str, u64)] = &[
    ("Tbit/s", 1_000_000_000_000),
    ("Gbit/s", 1_000_000_000),
    ("Mbit/s", 1_000_000),
    ("kbit/s", 1_000),
    ("bit/s", 1),
];

/// Bits per second, from 1 kbit/s to 1 Tbit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// The slowest link.
    pub const LEAST: Self = Self(1_000);
    /// The fastest link.
    pub const MOST: Self = Self(1_000_000_000_000);

    /// `None` unless within [`Rate::LEAST`] and [`Rate::MOST`].
    pub fn new(bits_per_second: u64) -> Option<Self> {
        let rate = Self(bits_per_second);
        (Self::LEAST..=Self::MOST).contains(&rate).then_some(rate)
    }

    /// Bits per second.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Bytes per second, as the kernel's netem counts.
    pub fn bytes(self) -> u64 {
        self.0 / 8
    }
}

impl FromStr for Rate {
    type Err = Mistake;

    /// `10mbit`, `1.5 gbit`; tc(8)'s units, upper or lower case.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        let bad = |why: &str| Mistake::new(format!("{} is not a rate{why}", quote(text)));
        let Some((number, unit)) = quantity::split(text) else {
            return Err(bad(", such as 10mbit or 1.5gbit"));
        };
        let lower = unit.to_ascii_lowercase();
        if lower.is_empty() {
            // A number of millions is one of bits, as tc reads it.
            let guess = if number >= 1e6 { "bit" } else { "mbit" };
            return Err(bad(" without a unit").instead(format!("{number}{guess}")));
        }
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == lower) else {
            let mistake = bad(&format!(
                ": {} is not a unit of rates (kbit, mbit, gbit: bits; kbps, mbps: bytes)",
                quote(unit)
            ));
            return Err(match meant(&lower) {
                Some(near) => mistake.instead(format!("{number}{near}")),
                None => mistake,
            });
        };
        let limit = |limit: Self| format!("{} is", quote(text)) + &format!(" {limit}");
        match quantity::whole(number, *size, Self::MOST.0).map(Self) {
            None => {
                let what = format!("{} is more than {}", quote(text), Self::MOST);
                Err(Mistake::new(what).instead(Self::MOST.written()))
            }
            Some(rate) if rate < Self::LEAST => {
                let what = format!("{}: the least is {}", limit(rate), Self::LEAST);
                Err(Mistake::new(what).instead(Self::LEAST.written()))
            }
            Some(rate) => Ok(rate),
        }
    }
}

/// The unit that somebody meant by `m`, `Mb`, `Mbit/s`, `Mbits` or `MB/s`.
fn meant(unit: &str) -> Option<&'static str> {
    let bytes = unit.strip_suffix("b/s").is_some_and(|p| p.len() < 3) && unit.len() < 5;
    let prefix = unit.chars().next()?;
    let binary = unit.chars().nth(1) == Some('i') && unit.len() > 2;
    let known = |name: &str| UNITS.iter().find(|(n, _)| *n == name).map(|(n, _)| *n);
    if !unit.chars().all(|c| "kmgtibyesp/cond".contains(c)) {
        return None;
    }
    let middle = if binary { "i" } else { "" };
    let end = if bytes || unit.contains("byte") {
        "bps"
    } else {
        "bit"
    };
    let prefix = match prefix {
        'b' => String::new(),
        'k' | 'm' | 'g' | 't' => format!("{prefix}{middle}"),
        _ => return None,
    };
    known(&format!("{prefix}{end}"))
}

impl Rate {
    /// As a profile writes it: exact.
    fn written(self) -> String {
        quantity::write(self.0, WRITTEN, "")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::write(self.0, SHOWN, " "))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn rates_parse_as_tc_reads_them() {
        for (text, bits) in [
            ("10mbit", 10_000_000),
            ("10Mbit", 10_000_000),
            ("1.5 gbit", 1_500_000_000),
            ("500kbps", 4_000_000),
            ("1kibit", 1024),
            ("2mibps", 16 << 20),
            ("1000bit", 1000),
            ("1tbit", 1_000_000_000_000),
            ("33.333kbit", 33_333),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().bits(), bits, "{text}");
        }
    }

    #[test]
    fn a_rate_is_shown_in_its_natural_unit_and_written_exactly() {
        for (text, shown) in [
            ("10mbit", "10 Mbit/s"),
            ("1.5gbit", "1.5 Gbit/s"),
            ("1500kbit", "1.5 Mbit/s"),
            ("1kibit", "1.024 kbit/s"),
            ("1tbit", "1 Tbit/s"),
            ("1234567bit", "1234.567 kbit/s"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string(), shown);
            assert_eq!(rate.written().parse::<Rate>().unwrap(), rate, "{text}");
        }
    }

    #[test]
    fn a_bad_rate_says_what_to_type() {
        for (text, said) in [
            (
                "10",
                "`10` is not a rate without a unit; did you mean `10mbit`?",
            ),
            (
                "10000000",
                "`10000000` is not a rate without a unit; did you mean `10000000bit`?",
            ),
            (
                "10m",
                "`10m` is not a rate: `m` is not a unit of rates (kbit, mbit, gbit: bits; kbps, mbps: bytes); did you mean `10mbit`?",
            ),
            (
                "10Mbit/s",
                "`10Mbit/s` is not a rate: `Mbit/s` is not a unit of rates (kbit, mbit, gbit: bits; kbps, mbps: bytes); did you mean `10mbit`?",
            ),
            (
                "10 MB/s",
                "`10 MB/s` is not a rate: `MB/s` is not a unit of rates (kbit, mbit, gbit: bits; kbps, mbps: bytes); did you mean `10mbps`?",
            ),
            (
                "10 MiB/s",
                "`10 MiB/s` is not a rate: `MiB/s` is not a unit of rates (kbit, mbit, gbit: bits; kbps, mbps: bytes); did you mean `10mibps`?",
            ),
            (
                "10ms",
                "`10ms` is not a rate: `ms` is not a unit of rates (kbit, mbit, gbit: bits; kbps, mbps: bytes)",
            ),
            (
                "2tbit",
                "`2tbit` is more than 1 Tbit/s; did you mean `1tbit`?",
            ),
            (
                "0mbit",
                "`0mbit` is 0 bit/s: the least is 1 kbit/s; did you mean `1kbit`?",
            ),
            (
                "-1mbit",
                "`-1mbit` is not a rate, such as 10mbit or 1.5gbit",
            ),
            ("fast", "`fast` is not a rate, such as 10mbit or 1.5gbit"),
            (
                "1.2.3mbit",
                "`1.2.3mbit` is not a rate, such as 10mbit or 1.5gbit",
            ),
            ("", "`` is not a rate, such as 10mbit or 1.5gbit"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err().to_string(), said);
        }
    }
}
