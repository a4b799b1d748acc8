//! What chaosd costs and how fast it is: `cargo xtask bench WHAT`.

mod apply;
mod classify;
mod delay;
mod dns;
mod hook;
mod meter;
mod options;
mod packet;
mod plane;
mod resources;
mod table;
mod targets;
mod times;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True when every row holds.
fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["classify"] => classify::run(),
        ["apply"] => apply::run(100),
        ["apply", rounds] => apply::run(rounds.parse()?),
        ["delay", ..] => delay::run(&delay::Args::parse_from(&words)),
        ["dns", ..] => dns::run(&dns::Args::parse_from(&words)),
        ["hook"] => hook::run(20),
        ["hook", rounds] => hook::run(rounds.parse()?),
        ["resources", ..] => resources::run(&resources::Args::parse_from(&words)),
        ["targets", ..] => targets::run(&targets::Args::parse_from(&words)),
        [resources::PARENT] => resources::parent(),
        [resources::READER, path, count] => resources::reader(path, count),
        [resources::OPENER, path, count, gap] => resources::opener(path, count, gap),
        _ => bail!(
            "usage: bench classify | bench apply [ROUNDS] | bench delay [OPTIONS] | \
             bench dns [OPTIONS] | bench hook [ROUNDS] | bench resources [OPTIONS] | \
             bench targets [OPTIONS]"
        ),
    }
}
