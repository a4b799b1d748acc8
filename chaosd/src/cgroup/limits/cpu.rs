//! CPU quota: how much of a core the tasks of a cgroup get together, in each period
//! (`cpu.max`; v1: `cpu.cfs_quota_us` and `cpu.cfs_period_us`).
//!
//! Tasks of the real-time and deadline classes are not bound by it (kernel/sched/fair.c).

use std::{fmt, path::Path};

use super::{Controller, LimitError, descendants, read, value};
use crate::{
    cgroup::{Change, Version},
    plan::Cgroup,
};

/// Millionths of a core in one core.
pub const CORE: u64 = 1_000_000;
/// The least quota and the longest period that the kernel takes, in microseconds
/// (kernel/sched/core.c, `min_cfs_quota_period`, `max_cfs_quota_period`).
const QUOTA_MIN_US: u64 = 1000;
const PERIOD_MAX_US: u64 = 1_000_000;
/// The most that can be asked for: more cores than any machine has.
const SHARE_MAX: u64 = CORE * 100_000;
/// What a cgroup is made with (Documentation/admin-guide/cgroup-v2.rst).
const DEFAULT: &str = "max 100000";

const V2: &str = "cpu.max";
const V2_BURST: &str = "cpu.max.burst";
const V1_QUOTA: &str = "cpu.cfs_quota_us";
const V1_PERIOD: &str = "cpu.cfs_period_us";
const V1_BURST: &str = "cpu.cfs_burst_us";

/// A quota as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds of CPU time in each period. None: no limit.
    pub quota_us: Option<u64>,
    /// The period in microseconds: 1000 to 1,000,000.
    pub period_us: u64,
}

impl Quota {
    /// Reads `cpu.max`: `max 100000`, `50000 100000`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let quota = words.next()?;
        let period = words.next()?.parse().ok().filter(|period| *period > 0)?;
        Some(Self {
            quota_us: match quota {
                "max" => None,
                quota => Some(quota.parse().ok()?),
            },
            period_us: period,
        })
    }

    /// Reads the two files of v1; -1 is no limit.
    pub fn parse_v1(quota: &str, period: &str) -> Option<Self> {
        let quota = if quota.trim() == "-1" { "max" } else { quota };
        Self::parse(&format!("{quota} {period}"))
    }

    /// In millionths of a core, rounded down. None: no limit.
    pub fn share(self) -> Option<u64> {
        let share = u128::from(self.quota_us?) * u128::from(CORE) / u128::from(self.period_us);
        Some(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// A share of a core in this quota's period, or in a longer one if the kernel's least quota is
    /// too much for it. Rounded down to a microsecond of quota.
    ///
    /// # Errors
    /// [`LimitError::Range`] below a thousandth of a core: 1 ms in the longest period of 1 s.
    pub fn with_share(self, share: u64) -> Result<Self, LimitError> {
        let range = || LimitError::Range {
            asked: cores(share),
            range: "a CPU quota is at least 0.001 cores and at most 100000",
        };
        if share > SHARE_MAX {
            return Err(range());
        }
        let in_period = |period_us| Self {
            quota_us: Some(share * period_us / CORE),
            period_us,
        };
        [self.period_us, PERIOD_MAX_US]
            .map(in_period)
            .into_iter()
            .find(|quota| quota.quota_us >= Some(QUOTA_MIN_US))
            .ok_or_else(range)
    }

    fn is_above(self, other: Self) -> bool {
        let product = |a: Self, b: Self| match (a.quota_us, b.quota_us) {
            (Some(quota), _) => u128::from(quota) * u128::from(b.period_us),
            (None, _) => u128::MAX,
        };
        product(self, other) > product(other, self)
    }
}

/// As `cpu.max` says it.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quota_us {
            Some(quota) => write!(f, "{quota} {}", self.period_us),
            None => write!(f, "max {}", self.period_us),
        }
    }
}

/// What the kernel holds a cgroup to: the lowest quota of its own and its ancestors', and whose
/// that is. None: no limit.
pub fn in_force(cgroup: &Cgroup) -> Result<Option<(Quota, std::path::PathBuf)>, LimitError> {
    let place = Controller::Cpu.place(cgroup)?;
    lowest(place.version, &place.directory, &place.root)
}

fn lowest(
    version: Version,
    directory: &Path,
    root: &Path,
) -> Result<Option<(Quota, std::path::PathBuf)>, LimitError> {
    let mut lowest: Option<(Quota, std::path::PathBuf)> = None;
    for path in directory.ancestors().take_while(|path| *path != root) {
        let Some(quota) = quota_of(version, path)?.filter(|quota| quota.quota_us.is_some()) else {
            continue;
        };
        if lowest.as_ref().is_none_or(|(low, _)| low.is_above(quota)) {
            lowest = Some((quota, path.to_owned()));
        }
    }
    Ok(lowest)
}

/// What holds a cgroup to `share` millionths of a core (500,000: half a core; 2,000,000: two).
///
/// Bursts (`cpu.max.burst`) are switched off with it, for they would let the cgroup exceed it. In
/// v1, where no cgroup may have more than its parent, those below come first.
///
/// # Errors
/// [`LimitError::NotLower`] when it, or a cgroup above it, is held to as little already.
pub fn prepare(cgroup: &Cgroup, share: u64) -> Result<Vec<Change>, LimitError> {
    let place = Controller::Cpu.place(cgroup)?;
    let (version, directory) = (place.version, place.directory.as_path());
    let enabled = place.enable.is_empty();
    let now = match quota_of(version, directory)? {
        Some(quota) => quota,
        None if enabled => {
            return Err(LimitError::NotBuilt {
                path: directory.join(if version == Version::V2 { V2 } else { V1_QUOTA }),
                option: "CONFIG_CFS_BANDWIDTH",
            });
        }
        None => Quota::parse(DEFAULT).ok_or_else(|| strange(directory, DEFAULT))?,
    };
    let ours = now.with_share(share)?;
    if let Some((found, path)) = lowest(version, directory, &place.root)?
        && !found.is_above(ours)
    {
        return Err(LimitError::NotLower {
            path,
            found: cores(found.share().unwrap_or_default()),
            asked: cores(share),
        });
    }
    let mut changes = place.enable;
    match version {
        Version::V2 => {
            changes.extend(no_burst(directory, V2_BURST)?);
            changes.push(value(directory, V2, now.to_string(), ours.to_string())?);
        }
        Version::V1 => {
            for below in descendants(directory) {
                if let Some(quota) = quota_of(version, &below)?
                    && quota.quota_us.is_some()
                    && quota.is_above(ours)
                {
                    changes.extend(v1(&below, quota, within(quota, ours)?)?);
                }
            }
            changes.extend(v1(directory, now, ours)?);
        }
    }
    Ok(changes)
}

/// As much as the parent gets: the kernel compares quotas after its own rounding, so this one is
/// derived from the parent's, not from what was asked for.
fn within(quota: Quota, parent: Quota) -> Result<Quota, LimitError> {
    quota.with_share(parent.share().unwrap_or(SHARE_MAX))
}

/// The quota last: until then a longer period only lowers it.
fn v1(directory: &Path, now: Quota, ours: Quota) -> Result<Vec<Change>, LimitError> {
    let mut changes: Vec<_> = no_burst(directory, V1_BURST)?.into_iter().collect();
    if now.period_us != ours.period_us {
        let (prior, ours) = (now.period_us.to_string(), ours.period_us.to_string());
        changes.push(value(directory, V1_PERIOD, prior, ours)?);
    }
    let text = |quota: Quota| quota.quota_us.map_or("-1".to_owned(), |us| us.to_string());
    changes.push(value(directory, V1_QUOTA, text(now), text(ours))?);
    Ok(changes)
}

fn no_burst(directory: &Path, file: &str) -> Result<Option<Change>, LimitError> {
    match read(directory, file)?.filter(|burst| burst != "0") {
        Some(burst) => value(directory, file, burst, "0").map(Some),
        None => Ok(None),
    }
}

/// None: the cgroup has no such file.
fn quota_of(version: Version, directory: &Path) -> Result<Option<Quota>, LimitError> {
    if version == Version::V2 {
        let text = read(directory, V2)?;
        return text
            .map(|text| Quota::parse(&text).ok_or_else(|| strange(directory, &text)))
            .transpose();
    }
    let (Some(quota), Some(period)) = (read(directory, V1_QUOTA)?, read(directory, V1_PERIOD)?)
    else {
        return Ok(None);
    };
    let parsed = Quota::parse_v1(&quota, &period);
    let text = format!("{quota} {period}");
    parsed.map(Some).ok_or_else(|| strange(directory, &text))
}

fn strange(directory: &Path, text: &str) -> LimitError {
    LimitError::Strange {
        path: directory.to_owned(),
        text: text.to_owned(),
        what: "CPU quota",
    }
}

/// 500,000 -> "0.5 cores".
fn cores(share: u64) -> String {
    let decimals = format!("{:06}", share % CORE);
    let decimals = decimals.trim_end_matches('0');
    let point = if decimals.is_empty() { "" } else { "." };
    format!("{}{point}{decimals} cores", share / CORE)
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
