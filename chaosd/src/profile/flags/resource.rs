//! The flags of the kinds that act on a machine rather than on packets.

use clap::{Args, Subcommand};

use super::{Entries, Shared, TargetFlags, TimelineFlags};

/// The kinds that act on the machine.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum ResourceFlags {
    /// Send processes a signal
    Process(Box<ProcessFlags>),
    /// Let a cgroup stand still
    Freeze(Box<FreezeFlags>),
    /// Leave a cgroup less CPU time
    CpuQuota(Box<CpuQuotaFlags>),
    /// Let a cgroup's I/O be slow
    Disk(Box<DiskFlags>),
    /// Let a file system run full
    DiskFill(Box<DiskFillFlags>),
    /// Burn CPU time
    Cpu(Box<CpuFlags>),
    /// Take memory
    Memory(Box<MemoryFlags>),
    /// Let calls on files fail
    DiskError(Box<DiskErrorFlags>),
    /// Let a disk be busy
    DiskBurn(Box<DiskBurnFlags>),
    /// Let files take time to open, and to read
    DiskLatency(Box<DiskLatencyFlags>),
    /// Let a cgroup run out of process slots
    Pids(Box<PidsFlags>),
    /// Let the host's clock be wrong
    Clock(Box<ClockFlags>),
    /// Switch the host off, or let it start anew
    Shutdown(Box<ShutdownFlags>),
}

impl ResourceFlags {
    /// What is asked for: beside the kind's own settings, its name, and those.
    pub(super) fn asked(&self) -> (Shared<'_>, &'static str, Entries) {
        let (plain, kind, settings) = match self {
            Self::Process(f) => (&f.plain, "process", f.settings()),
            Self::Freeze(f) => (&f.plain, "freeze", Entries::default()),
            Self::CpuQuota(f) => (&f.plain, "cpu-quota", f.settings()),
            Self::Disk(f) => (&f.plain, "disk", f.settings()),
            Self::DiskFill(f) => (&f.plain, "disk-fill", f.settings()),
            Self::Cpu(f) => (&f.plain, "cpu", f.settings()),
            Self::Memory(f) => (&f.plain, "memory", f.settings()),
            Self::DiskError(f) => (&f.plain, "disk-error", f.settings()),
            Self::DiskLatency(f) => (&f.plain, "disk-latency", f.settings()),
            Self::DiskBurn(f) => (&f.plain, "disk-burn", f.settings()),
            Self::Pids(f) => (&f.plain, "pids", f.settings()),
            Self::Clock(f) => (&f.plain, "clock", f.settings()),
            Self::Shutdown(f) => (&f.plain, "shutdown", f.settings()),
        };
        (Shared::plain(plain), kind, settings)
    }
}

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

#[derive(Args, Clone, Debug)]
pub(super) struct CpuFlags {
    /// Share that is burned, such as 50%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    load: Option<String>,
    /// What it is a share of: quota (the target's CPU time) or core (default: quota)
    #[arg(long)]
    of: Option<String>,
    /// On so many cores (default: all)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cores: Option<String>,
    /// On these CPUs, such as 0 or 2-3 (repeatable)
    #[arg(long = "cpu", value_name = "CPU")]
    cpus: Vec<String>,
    /// Time in which it burns once and rests once, 1ms to 1s (default: 100ms)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    slice: Option<String>,
    /// Nice value, -20 to 19 (default: 0, and less where others leave it less than its load)
    #[arg(long, value_name = "NICE", allow_hyphen_values = true)]
    priority: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl CpuFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("load", "--load", &self.load),
            ("of", "--of", &self.of),
            ("cores", "--cores", &self.cores),
            ("slice", "--slice", &self.slice),
            ("priority", "--priority", &self.priority),
        ]);
        map.list("cpus", "--cpu", &self.cpus);
        map
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct MemoryFlags {
    /// How much, such as 256MiB
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<String>,
    /// How much, as a share of --of
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    percent: Option<String>,
    /// Take all that is free of --of but for this much
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    leave: Option<String>,
    /// limit (the target's) or host (default: limit)
    #[arg(long)]
    of: Option<String>,
    /// Let the kernel swap it
    #[arg(long)]
    swap: bool,
    /// Go on until the OOM killer comes, rather than stop before a limit
    #[arg(long)]
    oom: bool,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl MemoryFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("size", "--size", &self.size),
            ("percent", "--percent", &self.percent),
            ("leave", "--leave", &self.leave),
            ("of", "--of", &self.of),
        ]);
        map.switch("swap", "--swap", self.swap);
        map.switch("oom", "--oom", self.oom);
        map
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct DiskFillFlags {
    /// Directory of the file system that is to run full
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// How much is taken, such as 5GB
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    size: Option<String>,
    /// Take all that is free but for this much
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    leave: Option<String>,
    /// Let the host's root file system run full
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl DiskFillFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("path", "--path", &self.path),
            ("size", "--size", &self.size),
            ("leave", "--leave", &self.leave),
        ]);
        map.switch("force", "--force", self.force);
        map
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct PidsFlags {
    /// So many more processes and threads than run when it begins (default: 0)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    leave: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl PidsFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([("leave", "--leave", &self.leave)])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct ClockFlags {
    /// How far it is stepped, such as 5m or -1h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    offset: Option<String>,
    /// How much it gains, such as 200ppm or -2s/h
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    drift: Option<String>,
    /// stop: whoever keeps it right stands still meanwhile (default: there must be nobody)
    #[arg(long, value_name = "WORD")]
    time_service: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl ClockFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("offset", "--offset", &self.offset),
            ("drift", "--drift", &self.drift),
            ("time-service", "--time-service", &self.time_service),
        ])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct ShutdownFlags {
    /// reboot or power-off
    #[arg(long, value_name = "WORD")]
    action: Option<String>,
    /// From its announcement to that, from 1s (default: 30s)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    notice: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl ShutdownFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("action", "--action", &self.action),
            ("notice", "--notice", &self.notice),
        ])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct DiskErrorFlags {
    /// A file, or a directory with all below it on its file system
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// What calls return, such as ENOSPC (default: EIO)
    #[arg(long, value_name = "NAME")]
    errno: Option<String>,
    /// open, read, write, create, mkdir, unlink, rmdir, rename, link, symlink, truncate or stat
    /// (repeatable; default: read and write)
    #[arg(long = "operation", value_name = "NAME")]
    operations: Vec<String>,
    /// Share of the calls (default: all)
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl DiskErrorFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("path", "--path", &self.path),
            ("errno", "--errno", &self.errno),
            ("rate", "--rate", &self.rate),
        ]);
        map.list("operations", "--operation", &self.operations);
        map
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct DiskLatencyFlags {
    /// A file, or a directory with all below it
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// How long an open waits, such as 50ms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    open: Option<String>,
    /// How long each read waits, such as 5ms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    read: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl DiskLatencyFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("path", "--path", &self.path),
            ("open", "--open", &self.open),
            ("read", "--read", &self.read),
        ])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct DiskBurnFlags {
    /// Directory on the disk that is to be busy
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Bytes read per second, such as 20MB/s
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    read: Option<String>,
    /// Bytes written per second
    #[arg(long, value_name = "RATE", allow_hyphen_values = true)]
    write: Option<String>,
    /// At once, in multiples of 4KiB (default: 64KiB)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    block: Option<String>,
    /// false: by the page cache, flushed at once (default: true, past it)
    #[arg(long, value_name = "BOOL")]
    direct: Option<String>,
    #[command(flatten)]
    pub(super) plain: PlainFlags,
}

impl DiskBurnFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("path", "--path", &self.path),
            ("read", "--read", &self.read),
            ("write", "--write", &self.write),
            ("block", "--block", &self.block),
            ("direct", "--direct", &self.direct),
        ])
    }
}
