//! How exactly burners take CPU time and memory, disks are throttled, files take time to open, and calls
//! on files fail: `cargo xtask bench resources`.
//!
//! Every figure is the kernel's account of the process, read from outside; stress-ng's stands beside
//! it, measured in the same way in the same run. Both, and whoever competes with them, run before
//! whatever else the machine does: a share that somebody else takes says nothing of either.

mod cpu;
mod disk;
mod files;
mod killed;
mod latency;
mod memory;
mod rival;
mod watch;

pub use files::{READER, reader};
pub use killed::{PARENT, parent};
pub use latency::{OPENER, opener};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::delay::table::Table;
use crate::dns::precedence::Precedence;
use crate::options::{Effort, Format, chosen};

/// Measures burners, beside stress-ng, and delays of files.
#[derive(Parser)]
#[command(
    name = "cargo xtask bench resources",
    bin_name = "cargo xtask bench resources"
)]
pub struct Args {
    /// Shorter turns: figures to look at, not to quote
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
    /// The load of a CPU that is idle, and of one on which another process runs
    Cpu,
    /// 256 MiB that grow, and a limit that stops them
    Memory,
    /// The parent dies
    Killed,
    /// A disk that is throttled, where there is one to spare
    Disk,
    /// Reads that fail, where the kernel can
    DiskError,
    /// Files that take time to open
    Latency,
}

/// True when every row holds.
pub fn run(args: &Args) -> Result<bool> {
    if chosen(&args.only).any(|part| matches!(part, Part::Cpu | Part::Memory)) {
        rival::installed()?;
    }
    let effort = Effort { quick: args.quick };
    let _until_the_end = Precedence::take();
    let mut table = Table::new(args.output == Format::Json, ["stress-ng", "stress_ng"]);
    for part in chosen(&args.only) {
        let rows = &mut table;
        match part {
            Part::Cpu => cpu::rows(effort, rows)?,
            Part::Memory => memory::rows(effort, rows)?,
            Part::Killed => killed::rows(effort, rows)?,
            Part::Disk => disk::rows(effort, rows)?,
            Part::DiskError => files::rows(effort, rows)?,
            Part::Latency => latency::rows(effort, rows)?,
        }
    }
    table.finish()
}

/// The binary that ships.
fn chaosd() -> Result<std::path::PathBuf> {
    let path = std::env::var_os("CHAOSD_BIN").context("CHAOSD_BIN is not set")?;
    Ok(path.into())
}
