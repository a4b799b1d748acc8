//! The flags of `netem`, by the names of tc-netem(8).

use clap::Args;

use super::{Entries, SharedFlags};

#[derive(Args, Clone, Debug)]
pub(super) struct NetemFlags {
    /// How long packets wait, such as 100ms
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    delay: Option<String>,
    /// How much that varies
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    jitter: Option<String>,
    /// Of a packet's delay with that of the packet before
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    delay_correlation: Option<String>,
    /// uniform, normal, pareto, paretonormal or the path of a .dist file (default: uniform)
    #[arg(long, value_name = "LAW")]
    distribution: Option<String>,
    /// Share of packets that are lost
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    loss: Option<String>,
    /// Of a loss with the one before
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    loss_correlation: Option<String>,
    /// Loss by a chain of four states: p13=1%,p31=10% and, if wanted, p32, p23, p14
    #[arg(long, value_name = "MODEL")]
    loss_state: Option<String>,
    /// Loss in bursts: p=1%,r=10% and, if wanted, 1-h=100%,1-k=0%
    #[arg(long, value_name = "MODEL")]
    loss_gemodel: Option<String>,
    /// Mark packets that support it instead of losing them
    #[arg(long)]
    ecn: bool,
    /// Share of packets that come twice
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    duplicate: Option<String>,
    /// Of a duplication with the one before
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    duplicate_correlation: Option<String>,
    /// Share of packets of which a bit flips
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    corrupt: Option<String>,
    /// Of a corruption with the one before
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    corrupt_correlation: Option<String>,
    /// Share of packets that are sent at once while others wait
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    reorder: Option<String>,
    /// Of such a packet with the one before
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    reorder_correlation: Option<String>,
    /// At most every so many packets (default: 1)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    gap: Option<String>,
    /// Packets leave no faster, such as 10mbit
    #[arg(long, allow_hyphen_values = true)]
    rate: Option<String>,
    /// Bytes that each packet counts more
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    packet_overhead: Option<String>,
    /// Bytes of payload in a cell
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    cell_size: Option<String>,
    /// Bytes that each cell counts more
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    cell_overhead: Option<String>,
    /// Packets leave together: min-delay=5ms,max-delay=10ms,packets=100 or
    /// distribution=normal,delay=10ms,jitter=2ms,bytes=64KB
    #[arg(long)]
    slot: Option<String>,
    /// Packets in the queue at most (default: what the delay needs)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    limit: Option<String>,
    #[command(flatten)]
    pub(super) shared: SharedFlags,
}

impl NetemFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("delay", "--delay", &self.delay),
            ("jitter", "--jitter", &self.jitter),
            (
                "delay-correlation",
                "--delay-correlation",
                &self.delay_correlation,
            ),
            ("distribution", "--distribution", &self.distribution),
            ("gap", "--gap", &self.gap),
            ("rate", "--rate", &self.rate),
            (
                "packet-overhead",
                "--packet-overhead",
                &self.packet_overhead,
            ),
            ("cell-size", "--cell-size", &self.cell_size),
            ("cell-overhead", "--cell-overhead", &self.cell_overhead),
            ("slot", "--slot", &self.slot),
            ("limit", "--limit", &self.limit),
        ]);
        map.switch("ecn", "--ecn", self.ecn);
        let loss = Entries::words([
            ("rate", "--loss", &self.loss),
            ("correlation", "--loss-correlation", &self.loss_correlation),
            ("state", "--loss-state", &self.loss_state),
            ("gemodel", "--loss-gemodel", &self.loss_gemodel),
        ]);
        map.node("loss", loss.into_node());
        for (name, rate, correlation) in [
            (
                "duplicate",
                ("--duplicate", &self.duplicate),
                ("--duplicate-correlation", &self.duplicate_correlation),
            ),
            (
                "corrupt",
                ("--corrupt", &self.corrupt),
                ("--corrupt-correlation", &self.corrupt_correlation),
            ),
            (
                "reorder",
                ("--reorder", &self.reorder),
                ("--reorder-correlation", &self.reorder_correlation),
            ),
        ] {
            let part = Entries::words([
                ("rate", rate.0, rate.1),
                ("correlation", correlation.0, correlation.1),
            ]);
            map.node(name, part.into_node());
        }
        map
    }
}
