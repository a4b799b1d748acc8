//! What becomes of packets that are held, beside root netem: `cargo xtask bench delay`.
//!
//! Every row measures chaosd and netem (as `tc qdisc` puts it on the real interface) in two
//! identical pairs of namespaces, in turns, in one run. On an emulated machine only such ratios
//! mean anything, so that netem's own error stands beside ours.

pub mod figures;
mod jitter;
mod killed;
mod latency;
mod many;
mod overload;
mod rate;
mod scene;
mod steady;
pub mod table;
mod throughput;
mod traffic;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};

use self::scene::Scene;
use self::table::Table;
use crate::options::{Effort, Format, chosen};

/// Measures held packets, beside root netem.
#[derive(Parser)]
#[command(name = "cargo xtask bench delay", bin_name = "cargo xtask bench delay")]
pub struct Args {
    /// Fewer packets, fewer turns and shorter ones: figures to look at, not to quote
    #[arg(long)]
    quick: bool,
    /// Only these rows, divided by commas
    #[arg(long, value_name = "ROWS", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    output: Format,
}

/// The parts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The round-trip time that a delay adds
    Latency,
    /// Mean and deviation of a jitter
    Jitter,
    /// What passes a slow link
    Bandwidth,
    /// TCP through a delay, as fast as it can
    Tcp,
    /// Small datagrams through a delay, as fast as they can
    Udp,
    /// A thousand delays against one
    Many,
    /// More packets under way than netem's queue takes
    Overload,
    /// Daemon and watchdog die
    Killed,
}

/// True when every row holds.
pub fn run(args: &Args) -> Result<bool> {
    ensure!(
        scene::netem_works()?,
        "this kernel has no netem (CONFIG_NET_SCH_NETEM) to compare with; run: cargo xtask bench \
         delay --kernel 6.12"
    );
    let effort = Effort { quick: args.quick };
    let scene = Scene::new()?;
    let mut table = Table::new(args.output == Format::Json, ["root netem", "netem"]);
    for part in chosen(&args.only) {
        let rows = &mut table;
        match part {
            Part::Latency => latency::rows(&scene, effort, rows)?,
            Part::Jitter => jitter::rows(&scene, effort, rows)?,
            Part::Bandwidth => rate::rows(&scene, effort, rows)?,
            Part::Tcp => throughput::tcp(&scene, effort, rows)?,
            Part::Udp => throughput::udp(&scene, effort, rows)?,
            Part::Many => many::rows(&scene, effort, rows)?,
            Part::Overload => overload::rows(&scene, effort, rows)?,
            Part::Killed => killed::rows(&scene, effort, rows)?,
        }
    }
    table.finish()
}
