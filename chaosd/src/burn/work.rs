//! What a burner is to do at intensity 1.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::BurnError;

const SLICES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);

/// One burner's work. What it comes to at a moment is this times the intensity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// CPU time of one CPU.
    Cpu {
        /// Which. The burner stays on it (`sched_setaffinity(2)`).
        cpu: u32,
        /// The time in which it burns once and sleeps once: 1 ms to 1 s.
        slice: Duration,
        /// The share of the CPU: 0 to 1.
        load: f64,
        /// Its nice value: -20 to 19.
        nice: i8,
    },
}

impl Work {
    /// Whether a burner can do it.
    pub fn check(&self) -> Result<(), BurnError> {
        let wrong = |what: String| Err(BurnError::Invalid(what));
        match self {
            Self::Cpu { slice, .. } if !SLICES.contains(slice) => wrong(format!(
                "a slice of {slice:?} (it takes {:?} to {:?})",
                SLICES.start(),
                SLICES.end()
            )),
            Self::Cpu { load, .. } if !(0.0..=1.0).contains(load) => {
                wrong(format!("a load of {load} (it takes 0 to 1)"))
            }
            Self::Cpu { nice, .. } if !(-20..=19).contains(nice) => {
                wrong(format!("a nice value of {nice} (it takes -20 to 19)"))
            }
            Self::Cpu { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(slice: Duration, load: f64, nice: i8) -> Work {
        Work::Cpu {
            cpu: 0,
            slice,
            load,
            nice,
        }
    }

    #[test]
    fn slices_loads_and_nice_values_have_their_ranges() {
        let slice = Duration::from_millis(10);
        for good in [cpu(*SLICES.start(), 0.0, -20), cpu(*SLICES.end(), 1.0, 19)] {
            assert!(good.check().is_ok(), "{good:?}");
        }
        for bad in [
            cpu(Duration::from_micros(999), 0.5, 0),
            cpu(Duration::from_millis(1001), 0.5, 0),
            cpu(slice, 1.01, 0),
            cpu(slice, -0.01, 0),
            cpu(slice, f64::NAN, 0),
            cpu(slice, 0.5, 20),
            cpu(slice, 0.5, -21),
        ] {
            let error = bad.check().expect_err("out of its range").to_string();
            assert!(error.contains("it takes"), "{error}");
        }
    }
}
