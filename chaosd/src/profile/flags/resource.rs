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
