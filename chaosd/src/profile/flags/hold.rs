//! The flags of the kinds that hold packets or copy them.

use clap::Args;

use super::{Entries, SharedFlags};

#[derive(Args, Clone, Debug)]
pub(super) struct DelayFlags {
    /// How long, such as 100ms (up to 10m)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    time: Option<String>,
    /// Instead, for each peer its own, such as 10.1.0.0/16=2ms (repeatable; the longest prefix wins)
    #[arg(long, value_name = "PEER=TIME")]
    by_peer: Vec<String>,
    /// How much that varies from packet to packet, such as 20ms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    jitter: Option<String>,
    /// uniform, normal, pareto, paretonormal or the path of a .dist file (default: normal)
    #[arg(long, value_name = "LAW")]
    distribution: Option<String>,
    /// Of a packet's jitter with that of the packet before (default: 0%)
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    correlation: Option<String>,
    /// false: jitter reorders a flow's packets (default: true)
    #[arg(long, value_name = "BOOL")]
    keep_order: Option<String>,
    #[command(flatten)]
    pub(super) shared: SharedFlags,
}

impl DelayFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("time", "--time", &self.time),
            ("jitter", "--jitter", &self.jitter),
            ("distribution", "--distribution", &self.distribution),
            ("correlation", "--correlation", &self.correlation),
            ("keep-order", "--keep-order", &self.keep_order),
        ]);
        map.list("by-peer", "--by-peer", &self.by_peer);
        map
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct ReorderFlags {
    /// Share of packets that are held back, such as 5%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// For how long (default: 10ms)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    by: Option<String>,
    #[command(flatten)]
    pub(super) shared: SharedFlags,
}

impl ReorderFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([("rate", "--rate", &self.rate), ("by", "--by", &self.by)])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct DuplicateFlags {
    /// Share of packets that are sent more than once, such as 1%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// How many more times, 1 to 16 (default: 1)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    copies: Option<String>,
    #[command(flatten)]
    pub(super) shared: SharedFlags,
}

impl DuplicateFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("rate", "--rate", &self.rate),
            ("copies", "--copies", &self.copies),
        ])
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct BandwidthFlags {
    /// Of the link in each direction, by tc's units: 10mbit, 500kbit (kbps and mbps are bytes)
    #[arg(long, allow_hyphen_values = true)]
    rate: Option<String>,
    /// What an idle link may send at once, such as 64KB (default: 0)
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    burst: Option<String>,
    /// What waits at most, as a size or a time: 64KB or 50ms (default: 100ms)
    #[arg(long, value_name = "SIZE|TIME", allow_hyphen_values = true)]
    queue: Option<String>,
    /// fault: all matched packets share the link; flow: each flow has its own (default: fault)
    #[arg(long, value_name = "SHARER")]
    per: Option<String>,
    #[command(flatten)]
    pub(super) shared: SharedFlags,
}

impl BandwidthFlags {
    pub(super) fn settings(&self) -> Entries {
        Entries::words([
            ("rate", "--rate", &self.rate),
            ("burst", "--burst", &self.burst),
            ("queue", "--queue", &self.queue),
            ("per", "--per", &self.per),
        ])
    }
}
