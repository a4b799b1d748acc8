//! What DNS faults do to queries, and what they cost those that they do not hit: `cargo xtask bench
//! dns`.
//!
//! The server is dnsmasq, in a namespace beside the client's. What is compared is measured in turns
//! in one run; "no fault" is an identical pair of namespaces to which chaosd never came.

mod answers;
mod bystanders;
mod killed;
mod many;
pub mod precedence;
mod scene;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

use self::precedence::Precedence;
use self::scene::Scene;
use crate::delay::table::Table;
use crate::options::{Effort, Format, chosen};

/// Measures DNS faults, beside no fault.
#[derive(Parser)]
#[command(name = "cargo xtask bench dns", bin_name = "cargo xtask bench dns")]
pub struct Args {
    /// Fewer queries, fewer turns and shorter ones: figures to look at, not to quote
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
    /// How soon a program has its answer
    Answers,
    /// 20,000 queries a second that no fault wants
    Bystanders,
    /// 10,000 names against one
    Many,
    /// Daemon and watchdog die
    Killed,
}

/// True when every row holds.
pub fn run(args: &Args) -> Result<bool> {
    if let Some(why) = support::dns::lacking().or_else(support::dns::no_load) {
        bail!("{why}");
    }
    let effort = Effort { quick: args.quick };
    let _until_the_end = Precedence::take();
    let scene = Scene::new()?;
    let mut table = Table::new(args.output == Format::Json, ["no fault", "no_fault"]);
    for part in chosen(&args.only) {
        let rows = &mut table;
        match part {
            Part::Answers => answers::rows(&scene, effort, rows)?,
            Part::Bystanders => bystanders::rows(&scene, effort, rows)?,
            Part::Many => many::rows(&scene, effort, rows)?,
            Part::Killed => killed::rows(&scene, effort, rows)?,
        }
    }
    table.finish()
}
