//! Where tests run: on this machine, or under a kernel of the laboratory.

use std::fmt;
use std::str::FromStr;

use crate::vm::series::Series;

/// One column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Host,
    Under(Series),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Under(series) => series.fmt(f),
        }
    }
}

/// What `cargo xtask test --kernel` takes: one place, several by commas, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(pub Vec<Place>);

impl FromStr for Places {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        if words == "all" {
            let guests = Series::ALL.into_iter().map(Place::Under);
            return Ok(Self(std::iter::once(Place::Host).chain(guests).collect()));
        }
        let mut places = Vec::new();
        for word in words.split(',') {
            let place = match word {
                "host" => Place::Host,
                word => Place::Under(
                    word.parse()
                        .map_err(|known| format!("{known}, host or all; not {word:?}"))?,
                ),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(Self(places))
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Places};
    use crate::vm::series::Series;

    #[test]
    fn this_machine_and_other_kernels_can_be_mixed() {
        let places = "host,6.12,host".parse();
        assert_eq!(
            places,
            Ok(Places(vec![Place::Host, Place::Under(Series::V6_12)]))
        );
        assert_eq!("all".parse::<Places>().map(|all| all.0.len()), Ok(4));
        assert!("host,5.4".parse::<Places>().is_err());
    }
}
