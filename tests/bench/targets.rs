//! What it costs to target by name: how soon a fault is on, and on again after a restart, what is left when
//! anybody dies, and what 199 containers feel of a fault of the 200th: `cargo xtask bench targets`.
//!
//! Runtimes start in a guest of the laboratory alone. Where its processor is computed, times are upper
//! bounds: one that is short enough there holds; one that is not is shown, and says nothing.

mod echo;
mod killed;
mod many;
mod named;
mod restarts;
mod subject;

use anyhow::{Context as _, Result};
use chaosd::api::{Client, RunRequest};
use chaosd::report::{Ended, Phase, RunReport};
use clap::{Parser, ValueEnum};
use serde_json::json;
use support::{Daemon, is_emulated};
use tokio::runtime::Runtime;

use self::subject::Subject;
use crate::delay::table::Table;
use crate::dns::precedence::Precedence;
use crate::options::{Effort, Format, chosen};

/// Measures targets by name, with every runtime that is there.
#[derive(Parser)]
#[command(
    name = "cargo xtask bench targets",
    bin_name = "cargo xtask bench targets"
)]
pub struct Args {
    /// Fewer rounds: figures to look at, not to quote
    #[arg(long)]
    quick: bool,
    /// Only these rows, divided by commas
    #[arg(long, value_name = "ROWS", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Only with these, divided by commas: process, crun, runc, containerd, podman, docker, systemd
    #[arg(long, value_name = "RUNTIMES", value_delimiter = ',',
          value_parser = clap::builder::PossibleValuesParser::new(subject::ALL))]
    with: Vec<String>,
    /// How the result is written
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Format::Human)]
    output: Format,
}

/// The parts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From the name to an armed fault
    Named,
    /// The target restarts
    Restarts,
    /// chaosd dies, the target, its runtime
    Killed,
    /// One of 200 containers
    Many,
}

/// True when every row holds.
pub fn run(args: &Args) -> Result<bool> {
    let effort = Effort { quick: args.quick };
    let _until_the_end = Precedence::take();
    let mut table = Table::new(args.output == Format::Json, ["of that", "of_that"]);
    let parts: Vec<Part> = chosen(&args.only).copied().collect();
    let one_by_one = parts.iter().any(|part| *part != Part::Many);
    let asked = |name: &&str| args.with.is_empty() || args.with.iter().any(|with| with == name);
    for name in subject::ALL
        .into_iter()
        .filter(asked)
        .filter(|_| one_by_one)
    {
        if let Some(why) = Subject::missing(name) {
            Table::progress(&format!("{name}: {why}"));
            continue;
        }
        Table::progress(&format!("{name} starts"));
        let mut subject = Subject::start(name).with_context(|| name.to_owned())?;
        for part in &parts {
            let rows = &mut table;
            match part {
                Part::Named => named::rows(&subject, effort, rows),
                Part::Restarts => restarts::row(&mut subject, effort, rows),
                Part::Killed => killed::row(&mut subject, rows),
                Part::Many => Ok(()),
            }
            .with_context(|| name.to_owned())?;
        }
    }
    if parts.contains(&Part::Many) {
        many::rows(effort, &mut table)?;
    }
    table.finish()
}

/// Whether a time holds. Where the processor is computed one that is too long says nothing.
fn verdict(holds: bool) -> Option<bool> {
    (holds || !is_emulated()).then_some(holds)
}

/// What a note adds where the processor is computed.
fn bound() -> &'static str {
    if is_emulated() {
        "; the processor is computed: an upper bound"
    } else {
        ""
    }
}

/// Speaks to a daemon.
struct Ask {
    runtime: Runtime,
    client: Client,
}

impl Ask {
    fn new(daemon: &Daemon) -> Result<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("failed to start a runtime")?,
            client: Client::new(&daemon.socket()),
        })
    }

    /// Cuts the loopback of a subject.
    fn arm(&self, subject: &Subject) -> Result<RunReport> {
        let profile = json!({
            "version": 1,
            "for": "1h",
            "target": subject.target(),
            "faults": [{"partition": {}, "match": {"interfaces": ["lo"]}}],
        });
        let request = RunRequest {
            profile,
            ..RunRequest::default()
        };
        Ok(self.runtime.block_on(self.client.start(&request))?)
    }

    fn report(&self, id: &str) -> Result<RunReport> {
        Ok(self.runtime.block_on(self.client.report(id))?)
    }

    fn revert(&self, id: &str) -> Result<()> {
        let report = self
            .runtime
            .block_on(self.client.revert(id, Ended::Reverted))?;
        let clean = report.problems.is_empty() && report.phase != Phase::Failed;
        anyhow::ensure!(clean, "not reverted: {report:?}");
        Ok(())
    }
}
