//! Where runs are kept when they are over, and how many of them.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::experiment::store::{DEFAULT_RUNS_DIR, Retention, Store};

/// `--runs-dir` and what belongs to it.
#[derive(Args, Clone, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "they are named as their flags are"
)]
pub(super) struct Runs {
    /// Where runs are kept when they are over
    #[arg(
        long,
        env = "CHAOSD_RUNS_DIR",
        global = true,
        value_name = "PATH",
        default_value = DEFAULT_RUNS_DIR,
        help_heading = "Kept runs"
    )]
    runs_dir: PathBuf,
    /// How many of them stay, the newest
    #[arg(
        long,
        env = "CHAOSD_KEEP_RUNS",
        global = true,
        value_name = "COUNT",
        default_value_t = Retention::default().most,
        help_heading = "Kept runs"
    )]
    keep_runs: usize,
    /// How long they stay
    #[arg(
        long,
        env = "CHAOSD_KEEP_RUNS_FOR",
        global = true,
        value_name = "DURATION",
        default_value = "90d",
        value_parser = humantime::parse_duration,
        help_heading = "Kept runs"
    )]
    keep_runs_for: Duration,
}

impl Runs {
    /// The directory, with how many stay.
    pub(super) fn store(&self) -> Store {
        let retention = Retention {
            most: self.keep_runs,
            oldest: self.keep_runs_for,
        };
        Store::new(&self.runs_dir, retention)
    }
}
