//! The checked forms of the kinds that act on a machine rather than on packets. Serialized they read
//! as a profile writes them.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use serde::{Serialize, Serializer};

use super::{
    DiskError,
    units::{Cores, Drift, Offset, Percent, Size},
};

/// What happens to a machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Processes get signals.
    Process(Process),
    /// A cgroup stands still.
    Freeze(Freeze),
    /// A cgroup gets less CPU time.
    CpuQuota(CpuQuota),
    /// A cgroup's I/O is slow.
    Disk(Disk),
    /// A file system runs full.
    DiskFill(DiskFill),
    /// CPU time is burned.
    Cpu(Cpu),
    /// Memory is taken.
    Memory(Memory),
    /// Calls on files fail.
    DiskError(DiskError),
    /// A cgroup runs out of process slots.
    Pids(Pids),
    /// The host's clock is wrong.
    Clock(Clock),
    /// The host is switched off, or starts anew.
    Shutdown(Shutdown),
    /// Opening a file takes time, and reading it.
    DiskLatency(DiskLatency),
    /// A disk is busy.
    DiskBurn(DiskBurn),
}

/// `cpu`
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cpu {
    /// At full intensity; not 0.
    pub load: Percent,
    /// Of what.
    pub of: LoadOf,
    /// On so many, the first ones; `None`, and `cpus` is empty: on all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores: Option<NonZeroU32>,
    /// On these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    /// The time in which it burns once and rests once: 1 ms to 1 s (default 100 ms).
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub slice: Duration,
    /// Nice value: -20 to 19; `None`: 0, and down from there where others leave it less than its load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i8>,
}

/// What a load is a share of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadOf {
    /// Of the CPU time that the target may have, which without a quota is all.
    Quota,
    /// Of each core that is burned on.
    Core,
}

/// `memory`
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memory {
    /// At full intensity.
    #[serde(flatten)]
    pub much: Much,
    /// Of what `percent` is a share, and what `leave` leaves something of.
    pub of: MemoryOf,
    /// The kernel may swap it.
    pub swap: bool,
    /// It goes on until the OOM killer comes; else it stops before a limit.
    pub oom: bool,
}

/// How much memory; not 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Much {
    /// So many bytes.
    Size(Size),
    /// A share.
    Percent(Percent),
    /// All that is free but for so many bytes.
    Leave(Size),
}

/// Whose memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryOf {
    /// What the target may have, which without a limit is the host's.
    Limit,
    /// The host's.
    Host,
}

/// `freeze`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Freeze {}

/// `cpu-quota`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CpuQuota {
    /// CPU time per time, over all its processes: less than it may have now.
    pub limit: Cores,
}

/// `pids`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pids {
    /// So many more tasks than run when it begins (default 0).
    pub leave: u32,
}

/// `clock`: a step, a drift, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Clock {
    /// Added at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<Offset>,
    /// Added as time passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// What becomes of who keeps the clock right.
    pub time_service: TimeService,
}

/// Whoever keeps the host's clock right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeService {
    /// There must be none (default).
    None,
    /// It stands still meanwhile.
    Stop,
}

/// `shutdown`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shutdown {
    /// What becomes of the host.
    pub action: PowerAction,
    /// From its announcement to that: from 1 s (default 30 s).
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub notice: Duration,
}

/// What becomes of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerAction {
    /// It is switched off.
    PowerOff,
    /// It starts anew.
    Reboot,
}

/// `disk`: at least one of the limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Disk {
    /// Anything on the disk, or the disk itself; absolute.
    pub path: PathBuf,
    /// Bytes read per second, from 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bps: Option<Size>,
    /// Bytes written per second, from 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_bps: Option<Size>,
    /// Reads per second, from 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_iops: Option<u32>,
    /// Writes per second, from 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_iops: Option<u32>,
}

/// `disk-burn`: reads, writes, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskBurn {
    /// A directory on the disk; absolute.
    pub path: PathBuf,
    /// Bytes read per second, at full intensity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Size>,
    /// Bytes written per second, at full intensity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Size>,
    /// At once: a multiple of 4 KiB, up to 4 MiB (default 64 KiB).
    pub block: Size,
    /// Past the page cache (default).
    pub direct: bool,
}

/// `disk-fill`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskFill {
    /// A directory of the file system; absolute.
    pub path: PathBuf,
    /// At full intensity.
    #[serde(flatten)]
    pub fill: Fill,
    /// The host's root file system may run full.
    pub force: bool,
}

/// How much of a file system is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// So many bytes; not 0.
    Size(Size),
    /// All that is free but for so many bytes.
    Leave(Size),
}

/// `disk-latency`: at least one of `open` and `read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskLatency {
    /// A file, or a directory with all below it; absolute.
    pub path: PathBuf,
    /// How long an open waits, at full intensity: up to a minute, not 0.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::units::serialize_optional_duration"
    )]
    pub open: Option<Duration>,
    /// How long each read waits, at full intensity: up to a minute, not 0.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::units::serialize_optional_duration"
    )]
    pub read: Option<Duration>,
}

/// `process`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Process {
    /// Which processes of the target.
    #[serde(flatten)]
    pub which: Which,
    /// What they get (default KILL). What STOP stops, the revert lets go on.
    #[serde(serialize_with = "signal")]
    pub signal: Signal,
    /// Again and again, this long after the last time; `None`: once, when the fault begins.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::units::serialize_optional_duration"
    )]
    pub every: Option<Duration>,
    /// So many of them each time, drawn by the run's seed; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<NonZeroU32>,
}

impl Process {
    /// Sends one signal for good: neither again and again, nor one that is taken back.
    pub fn is_once(&self) -> bool {
        self.every.is_none() && self.signal != Signal::SIGSTOP
    }
}

/// Some of a target's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// Those with such a name.
    Match(Pattern),
    /// This one.
    Pid(i32),
    /// All of them: of a cgroup, never of a whole host.
    #[serde(untagged)]
    All {},
}

/// A name in which `*` stands for any characters, and none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pattern(pub(super) String);

impl Pattern {
    /// Of a name, or of many.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// True when several names may fit.
    pub fn is_open(&self) -> bool {
        self.0.contains('*')
    }

    /// True when all of the name fits.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            let Some(at) = rest.find(part) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Resource {
    /// False: there is no more and less of it.
    pub fn grows(&self) -> bool {
        match self {
            Self::Cpu(_)
            | Self::Memory(_)
            | Self::DiskBurn(_)
            | Self::DiskError(_)
            | Self::DiskFill(_)
            | Self::DiskLatency(_) => true,
            Self::Process(_)
            | Self::Freeze(_)
            | Self::CpuQuota(_)
            | Self::Disk(_)
            | Self::Pids(_)
            | Self::Clock(_)
            | Self::Shutdown(_) => false,
        }
    }

    /// The word that asks for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Freeze(_) => "freeze",
            Self::CpuQuota(_) => "cpu-quota",
            Self::Disk(_) => "disk",
            Self::DiskFill(_) => "disk-fill",
            Self::Cpu(_) => "cpu",
            Self::Memory(_) => "memory",
            Self::DiskError(_) => "disk-error",
            Self::Pids(_) => "pids",
            Self::Clock(_) => "clock",
            Self::Shutdown(_) => "shutdown",
            Self::DiskLatency(_) => "disk-latency",
            Self::DiskBurn(_) => "disk-burn",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn signal<S: Serializer>(signal: &Signal, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(signal_name(*signal))
}

/// `KILL`
pub fn signal_name(signal: Signal) -> &'static str {
    signal.as_str().trim_start_matches("SIG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, fits, fits_not) in [
            ("nginx", vec!["nginx"], vec!["nginx2", "xnginx", ""]),
            ("nginx*", vec!["nginx", "nginx2"], vec!["xnginx"]),
            ("*ginx", vec!["nginx", "ginx"], vec!["nginx2"]),
            ("a*b*c", vec!["abc", "a-b-b-c"], vec!["acb", "ab"]),
            ("*a*", vec!["a", "bab"], vec!["b", ""]),
            ("ab*ba", vec!["abba", "ab-ba"], vec!["aba"]),
            ("*", vec!["", "x"], vec![]),
        ] {
            let pattern = Pattern(pattern.into());
            for name in fits {
                assert!(pattern.fits(name), "{pattern} {name}");
            }
            for name in fits_not {
                assert!(!pattern.fits(name), "{pattern} {name}");
            }
        }
    }
}
