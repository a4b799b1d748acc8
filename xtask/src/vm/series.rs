//! The kernels of the laboratory, by the series that `--kernel` names.

use std::fmt;
use std::str::FromStr;

/// A series of Debian kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// Debian 12's own: the oldest we support, without tcx.
    V6_1,
    /// Debian 13's own, which is long-term too.
    V6_12,
    /// The newest that Debian carries.
    V7,
}

impl Series {
    pub const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::V7];

    /// What the version of each of its kernels begins with.
    pub fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7 => "7",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Series {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|series| series.name() == name)
            .ok_or_else(|| format!("the laboratory has the kernels {}", names(&Self::ALL)))
    }
}

/// What `cargo xtask vm --kernel` takes: one series, several by commas, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice(pub Vec<Series>);

impl FromStr for Choice {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        if words == "all" {
            return Ok(Self(Series::ALL.to_vec()));
        }
        words
            .split(',')
            .map(|word| {
                word.parse()
                    .map_err(|known| format!("{known}, or all; not {word:?}"))
            })
            .collect::<Result<_, String>>()
            .map(Self)
    }
}

fn names(series: &[Series]) -> String {
    series
        .iter()
        .map(|series| series.name())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Choice, Series};

    #[test]
    fn one_several_or_all_series_can_be_chosen() {
        assert_eq!("6.12".parse(), Ok(Choice(vec![Series::V6_12])));
        assert_eq!("7,6.1".parse(), Ok(Choice(vec![Series::V7, Series::V6_1])));
        assert_eq!("all".parse(), Ok(Choice(Series::ALL.to_vec())));
    }

    #[test]
    fn an_unknown_kernel_is_refused_with_those_there_are() {
        let error = "5.10"
            .parse::<Choice>()
            .map_err(|error| error.contains("6.1, 6.12, 7"));
        assert_eq!(error, Err(true));
    }
}
