//! Sizes: `64KB`, `1.5MiB`, `1514B`.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::profile::problem::{Mistake, quote};

use super::quantity;

/// In bytes. K is 1000 and Ki is 1024, as for rates; tc(8) reads `kb` as 1024.
const UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];
const DECIMAL: &[(&str, u64)] = &[
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
const BINARY: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Bytes, up to 1000 TB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The largest.
    pub const MOST: Self = Self(1_000_000_000_000_000);

    /// `None` when it is more than [`Size::MOST`].
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes <= Self::MOST.0).then_some(Self(bytes))
    }

    /// What people read of a number of bytes that was measured: the nearest that takes three or four
    /// digits, of whichever unit it is closest to. More than [`Size::MOST`] is that.
    pub fn about(bytes: u64) -> Self {
        let bytes = bytes.min(Self::MOST.0);
        let units = BINARY.iter().chain(DECIMAL).map(|(_, unit)| *unit);
        let whole = units
            .filter(|unit| (*unit..=unit * 1000).contains(&bytes))
            .map(|unit| (bytes + unit / 2) / unit * unit);
        let within = |near: &u64| near.abs_diff(bytes) <= bytes / 1000;
        let near = whole.filter(within).min_by_key(|near| near.abs_diff(bytes));
        let near = near.unwrap_or_else(|| {
            let below = DECIMAL.iter().find(|(_, unit)| *unit <= bytes);
            let step = below.map_or(1, |(_, unit)| (unit / 100).max(1));
            (bytes + step / 2) / step * step
        });
        Self::new(near).unwrap_or(Self::MOST)
    }

    /// Bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// True when the word has a unit of size, be its number good or bad.
    pub(in crate::profile) fn looks_like(text: &str) -> bool {
        let unit = text.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let unit = unit.to_ascii_lowercase();
        unit.ends_with('b') || unit.ends_with("bytes")
    }

    fn written(self, space: &str) -> String {
        // Powers of two as such, everything else by thousands.
        for (name, unit) in BINARY {
            if self.0 >= *unit && self.0.is_multiple_of(*unit) && !self.0.is_multiple_of(1000) {
                return format!("{}{space}{name}", self.0 / unit);
            }
        }
        quantity::write(self.0, DECIMAL, space)
    }
}

impl FromStr for Size {
    type Err = Mistake;

    /// `64KB`, `1.5 MiB`, upper or lower case.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        let bad = |why: &str| Mistake::new(format!("{} is not a size{why}", quote(text)));
        let Some((number, unit)) = quantity::split(text) else {
            return Err(bad(", such as 64KB or 1MiB"));
        };
        let lower = unit.to_ascii_lowercase();
        if lower.is_empty() && number == 0.0 {
            return Ok(Self::NONE);
        }
        if lower.is_empty() {
            return Err(bad(" without a unit").instead(format!("{number}B")));
        }
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == lower) else {
            let mistake = bad(&format!(
                ": {} is not a unit of sizes (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)",
                quote(unit)
            ));
            if let Some(bytes) = of_bits(number, &lower) {
                return Err(mistake.instead(bytes.written("")));
            }
            let near = match lower.as_str() {
                "byte" | "bytes" => "B",
                "k" => "KB",
                "m" => "MB",
                "g" => "GB",
                "t" => "TB",
                "ki" => "KiB",
                "mi" => "MiB",
                "gi" => "GiB",
                "ti" => "TiB",
                _ => return Err(mistake),
            };
            return Err(mistake.instead(format!("{number}{near}")));
        };
        quantity::whole(number, *size, Self::MOST.0)
            .map(Self)
            .ok_or_else(|| {
                let what = format!("{} is more than {}", quote(text), Self::MOST);
                Mistake::new(what)
            })
    }
}

/// `5mbit`, in bytes.
fn of_bits(number: f64, unit: &str) -> Option<Size> {
    let (_, bits) = [
        ("bit", 1),
        ("kbit", 1_000),
        ("mbit", 1_000_000),
        ("gbit", 1_000_000_000),
    ]
    .into_iter()
    .find(|(name, _)| unit.strip_suffix("/s").unwrap_or(unit) == *name)?;
    quantity::whole(number / 8.0, bits, Size::MOST.0).map(Size)
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(" "))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written(""))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_as_people_write_them_and_are_written_exactly() {
        for (text, bytes, shown) in [
            ("64KB", 64_000, "64 KB"),
            ("1MiB", 1 << 20, "1 MiB"),
            ("1.5 mib", 3 << 19, "1536 KiB"),
            ("1514b", 1514, "1.514 KB"),
            ("0", 0, "0 B"),
            ("0.5KB", 500, "500 B"),
            ("1000GB", 1_000_000_000_000, "1 TB"),
            ("2TiB", 2 << 40, "2 TiB"),
            ("1000TB", 1_000_000_000_000_000, "1000 TB"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown));
            assert_eq!(size.written("").parse::<Size>().unwrap(), size, "{text}");
        }
    }

    #[test]
    fn what_was_measured_is_told_in_few_digits() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (64 << 20, "64 MiB"),
            ((64 << 20) + 4096, "64 MiB"),
            (10_002_432, "10 MB"),
            (52_428_812_345, "52.43 GB"),
            (24_684_100 << 10, "25.28 GB"),
            (550_002_688, "550 MB"),
            (3_141_592_653_589, "3.14 TB"),
            (u64::MAX, "1000 TB"),
        ] {
            assert_eq!(Size::about(bytes).to_string(), shown, "{bytes}");
        }
    }

    #[test]
    fn a_bad_size_says_what_to_type() {
        for (text, said) in [
            (
                "64",
                "`64` is not a size without a unit; did you mean `64B`?",
            ),
            (
                "64k",
                "`64k` is not a size: `k` is not a unit of sizes (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB); did you mean `64KB`?",
            ),
            (
                "32kbit",
                "`32kbit` is not a size: `kbit` is not a unit of sizes (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB); did you mean `4KB`?",
            ),
            ("1001TB", "`1001TB` is more than 1000 TB"),
            ("big", "`big` is not a size, such as 64KB or 1MiB"),
        ] {
            assert_eq!(text.parse::<Size>().unwrap_err().to_string(), said);
        }
    }
}
