//! Ports and sets of them.

use serde::{Serialize, Serializer};

use crate::profile::problem::{Mistake, quote};

/// A set of ports: inclusive ranges, sorted, not touching each other, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// Each port that a packet may carry (0 is reserved, RFC 6335 §6).
    pub fn all() -> Self {
        Self(vec![(1, u16::MAX)])
    }

    /// The union of inclusive ranges; `None` when there is none.
    pub fn new(ranges: impl IntoIterator<Item = (u16, u16)>) -> Option<Self> {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|(a, b)| a <= b).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        (!merged.is_empty()).then_some(Self(merged))
    }

    /// The ranges.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Those that are not in `other`; `None` when nothing is left.
    pub fn without(&self, other: &Self) -> Option<Self> {
        let mut left = Vec::new();
        for &(first, last) in &self.0 {
            let mut from = u32::from(first);
            for &(cut_first, cut_last) in &other.0 {
                if cut_last < first || cut_first > last {
                    continue;
                }
                if let (Ok(a), Some(b)) = (u16::try_from(from), cut_first.checked_sub(1))
                    && a <= b
                {
                    left.push((a, b));
                }
                from = u32::from(cut_last) + 1;
            }
            if let Ok(a) = u16::try_from(from)
                && a <= last
            {
                left.push((a, last));
            }
        }
        Self::new(left)
    }

    /// As profiles write them: `5432`, `8000-8100`.
    pub(in crate::profile) fn words(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(a, b)| {
            if a == b {
                a.to_string()
            } else {
                format!("{a}-{b}")
            }
        })
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.words())
    }
}

/// `5432` or `8000-8100`: both ends are meant.
pub(in crate::profile) fn parse_range(text: &str) -> Result<(u16, u16), Mistake> {
    let text = text.trim();
    let Some((first, last)) = text.split_once('-') else {
        return match (port(text), text.split_once([':', ' '])) {
            (Some(port), _) => Ok((port, port)),
            (None, Some((a, b))) if port(a).is_some() && port(b).is_some() => {
                Err(bad(text).instead(format!("{}-{}", a.trim(), b.trim())))
            }
            (None, _) => Err(bad(text)),
        };
    };
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        (Some(first), Some(last)) => Err(Mistake::new(format!(
            "the range {} is backwards",
            quote(text)
        ))
        .instead(format!("{last}-{first}"))),
        _ => Err(bad(text)),
    }
}

fn bad(text: &str) -> Mistake {
    Mistake::new(format!(
        "{} is not a port (1 to 65535) or a range, such as 8000-8100",
        quote(text)
    ))
}

fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn ranges_merge_and_subtract() {
        let set = PortSet::new([(80, 80), (8000, 8100), (81, 90), (8050, 8200)]).unwrap();
        assert_eq!(set.ranges(), [(80, 90), (8000, 8200)]);
        let cut = PortSet::new([(1, 80), (85, 86), (8100, 65535)]).unwrap();
        assert_eq!(
            set.without(&cut).unwrap().ranges(),
            [(81, 84), (87, 90), (8000, 8099)]
        );
        assert_eq!(cut.without(&PortSet::all()), None);
        let all_but = PortSet::all()
            .without(&PortSet::new([(22, 22)]).unwrap())
            .unwrap();
        assert_eq!(all_but.ranges(), [(1, 21), (23, 65535)]);
        assert_eq!(PortSet::new([]), None);
        assert_eq!(
            PortSet::new([(65535, 65535), (65534, 65535)])
                .unwrap()
                .ranges(),
            [(65534, 65535)]
        );
    }

    #[test]
    fn subtracting_agrees_with_the_sets_of_ports_it_stands_for() {
        let holds = |set: &Option<PortSet>, p: u16| {
            set.iter()
                .any(|s| s.ranges().iter().any(|(a, b)| (*a..=*b).contains(&p)))
        };
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            u16::try_from(state >> 16 & 63).unwrap() + 1
        };
        for _ in 0..500 {
            let (a, b) = (
                [(next(), next()), (next(), next())],
                [(next(), next()), (next(), next())],
            );
            let (Some(from), Some(cut)) = (PortSet::new(a), PortSet::new(b)) else {
                continue;
            };
            let left = from.without(&cut);
            let (from, cut) = (Some(from), Some(cut));
            for p in 0..=70 {
                assert_eq!(
                    holds(&left, p),
                    holds(&from, p) && !holds(&cut, p),
                    "{from:?} - {cut:?} at {p}"
                );
            }
        }
    }

    #[test]
    fn a_bad_port_says_what_to_type() {
        for (text, said) in [
            (
                "8100-8000",
                "the range `8100-8000` is backwards; did you mean `8000-8100`?",
            ),
            (
                "80:90",
                "`80:90` is not a port (1 to 65535) or a range, such as 8000-8100; did you mean `80-90`?",
            ),
            (
                "0",
                "`0` is not a port (1 to 65535) or a range, such as 8000-8100",
            ),
            (
                "65536",
                "`65536` is not a port (1 to 65535) or a range, such as 8000-8100",
            ),
            (
                "http",
                "`http` is not a port (1 to 65535) or a range, such as 8000-8100",
            ),
            (
                "-",
                "`-` is not a port (1 to 65535) or a range, such as 8000-8100",
            ),
        ] {
            assert_eq!(parse_range(text).unwrap_err().to_string(), said);
        }
        assert_eq!(parse_range("8000-8100"), Ok((8000, 8100)));
        assert_eq!(parse_range("443"), Ok((443, 443)));
    }
}
