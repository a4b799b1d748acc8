//! What a burner is to do at intensity 1.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::{BurnError, Guard};

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
    /// Memory that is resident.
    Memory {
        /// How much.
        bytes: u64,
        /// Never swapped (`mlock2(2)`). Without it, the kernel may swap what nobody reads.
        lock: bool,
        /// Where it stops growing. None: where it ends in the OOM killer, if it comes to that.
        guards: Vec<Guard>,
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
            Self::Memory { guards, .. } => {
                let share = guards.iter().map(Guard::keep_percent);
                match share.into_iter().find(|p| !(0.0..=100.0).contains(p)) {
                    Some(percent) => wrong(format!(
                        "a guard that keeps {percent} % (it takes 0 to 100)"
                    )),
                    None => Ok(()),
                }
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

    fn memory(keep_percent: f64) -> Work {
        Work::Memory {
            bytes: 1,
            lock: false,
            guards: vec![Guard::Host { keep_percent }],
        }
    }

    #[test]
    fn what_is_asked_has_its_ranges() {
        let slice = Duration::from_millis(10);
        for good in [
            cpu(*SLICES.start(), 0.0, -20),
            cpu(*SLICES.end(), 1.0, 19),
            memory(5.0),
        ] {
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
            memory(-1.0),
            memory(f64::NAN),
        ] {
            let error = bad.check().expect_err("out of its range").to_string();
            assert!(error.contains("it takes"), "{error}");
        }
    }
}
