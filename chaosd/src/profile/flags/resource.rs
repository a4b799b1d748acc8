//! The flags of the kinds that act on a machine rather than on packets.

use clap::Args;

use super::{Entries, TargetFlags, TimelineFlags};

/// What these kinds take.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct PlainFlags {
    #[command(flatten)]
    pub(super) target: TargetFlags,
    #[command(flatten)]
    pub(super) timeline: TimelineFlags,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ProcessFlags {
    /// Name of the program, with * for any characters, such as nginx or worker-* (default: all of a cgroup)
    #[arg(long = "match", value_name = "NAME")]
    matching: Option<String>,
    /// KILL, TERM, STOP or another signal; what STOP stops goes on at the end (default: KILL)
    #[arg(long)]
    signal: Option<String>,
    /// Again this long after the last time, such as 30s (default: once)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    every: Option<String>,
    /// So many of them each time (default: all)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    count: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl ProcessFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("match", "--match", &self.matching),
            ("signal", "--signal", &self.signal),
            ("every", "--every", &self.every),
            ("count", "--count", &self.count),
        ])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct FreezeFlags {
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

#[derive(Args, Clone, Debug)]
pub(super) struct CpuQuotaFlags {
    /// CPU time that is left to it: 50% of a core, or 2.5 cores
    #[arg(long, value_name = "CORES", allow_hyphen_values = true)]
    limit: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl CpuQuotaFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([("limit", "--limit", &self.limit)])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct DiskFlags {
    /// Anything on the disk
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The disk itself, such as /dev/sda
    #[arg(long, value_name = "PATH")]
    device: Option<String>,
    /// Bytes read per second, such as 5MB/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    read_bps: Option<String>,
    /// Bytes written per second
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    write_bps: Option<String>,
    /// Reads per second
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    read_iops: Option<String>,
    /// Writes per second
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    write_iops: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl DiskFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("path", "--path", &self.path),
            ("device", "--device", &self.device),
            ("read-bps", "--read-bps", &self.read_bps),
            ("write-bps", "--write-bps", &self.write_bps),
            ("read-iops", "--read-iops", &self.read_iops),
            ("write-iops", "--write-iops", &self.write_iops),
        ])
    }
}
