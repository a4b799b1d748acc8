//! What a burner is to do at intensity 1.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

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
        /// It takes more weight where that leaves it less than the load.
        insist: bool,
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
    /// Reads or writes of a disk.
    Io {
        /// On it; its file system must have files without a name (`open(2)`, `O_TMPFILE`).
        directory: PathBuf,
        /// It writes, else it reads.
        write: bool,
        /// Past the page cache (`O_DIRECT`). Without it, what is written is flushed and what is read is
        /// dropped from there first.
        direct: bool,
        /// At once: a multiple of 4 KiB, up to 4 MiB.
        block: u32,
        /// How much.
        bytes_per_second: u64,
    },
}

/// The file that [`Work::Io`] reads or writes, anywhere in it.
pub const SPAN: u64 = 16 << 20;
const BLOCK: u32 = 4096;
const BLOCK_MOST: u32 = 4 << 20;

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
            Self::Io { block, .. }
                if *block == 0 || !block.is_multiple_of(BLOCK) || *block > BLOCK_MOST =>
            {
                wrong(format!(
                    "a block of {block} bytes (it takes multiples of {BLOCK}, up to {BLOCK_MOST})"
                ))
            }
            Self::Cpu { .. } | Self::Io { .. } => Ok(()),
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
            insist: false,
        }
    }

    fn memory(keep_percent: f64) -> Work {
        Work::Memory {
            bytes: 1,
            lock: false,
            guards: vec![Guard::Host { keep_percent }],
        }
    }

    fn io(block: u32) -> Work {
        Work::Io {
            directory: "/".into(),
            write: true,
            direct: true,
            block,
            bytes_per_second: 1,
        }
    }

    #[test]
    fn what_is_asked_has_its_ranges() {
        let slice = Duration::from_millis(10);
        for good in [
            cpu(*SLICES.start(), 0.0, -20),
            cpu(*SLICES.end(), 1.0, 19),
            memory(5.0),
            io(4096),
            io(4 << 20),
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
            io(0),
            io(5000),
            io(8 << 20),
        ] {
            let error = bad.check().expect_err("out of its range").to_string();
            assert!(error.contains("it takes"), "{error}");
        }
    }
}
