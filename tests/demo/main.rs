//! chaosd shown at work: `cargo xtask demo`.
//!
//! Each row of the table is one fault that the real binary injects into a network namespace, and
//! what a peer of that namespace measured over real sockets, while a second peer that no fault
//! names keeps talking. The exit code is 0 only if every row holds.

mod corrupt;
mod crash;
mod dns;
mod hold;
mod interrupt;
mod loss;
mod partition;
mod reset;
mod row;
mod scene;
mod table;
mod words;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::scene::Scene;
use crate::table::Table;

/// Shows each fault of chaosd at work, measured by the peers of a network namespace.
#[derive(Parser)]
#[command(name = "cargo xtask demo", bin_name = "cargo xtask demo")]
struct Args {
    /// Which packets are hit. With the same seed the same ones are: a table that holds, holds
    /// again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the rows of this fault, such as `delay`; may be given more than once
    #[arg(long, value_name = "FAULT")]
    only: Vec<String>,
    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Human,
    /// For programs
    Json,
}

fn main() -> ExitCode {
    let args = Args::parse();
    interrupt::catch();
    match run(&args) {
        _ if interrupt::came() => ExitCode::from(interrupt::EXIT),
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            table::failure(&error);
            ExitCode::from(2)
        }
    }
}

/// True when every row holds.
fn run(args: &Args) -> Result<bool> {
    let started = Instant::now();
    let mut groups = [
        loss::udp(),
        loss::tcp(),
        corrupt::detected(),
        corrupt::undetected(),
        partition::datagrams(),
        partition::connections(),
        reset::connections(),
        dns::queries(),
        hold::delays(),
        hold::jitter(),
        hold::bandwidth(),
        crash::deaths(),
    ];
    for group in &mut groups {
        let wanted = |row: &row::Row| args.only.is_empty() || args.only.contains(&row.fault);
        group.rows.retain(wanted);
    }
    let rows = groups.iter().map(|group| group.rows.len()).sum();
    let mut table = Table::new(rows, args.output == Format::Json);
    let mut scene = table.setting_up(|| Scene::new(args.seed))?;
    for group in groups.into_iter().filter(|group| !group.rows.is_empty()) {
        table.group(group.title);
        for row in group.rows {
            if interrupt::came() {
                return Ok(false);
            }
            match row.needs {
                Some(what) => table.lacking(&row, what),
                None => table.row(&row, || row.show(&mut scene))?,
            }
        }
    }
    let aftermath = table.setting_up(|| scene.end())?;
    table.end(&aftermath, args.seed, started.elapsed());
    Ok(table.holds() && aftermath.holds())
}
