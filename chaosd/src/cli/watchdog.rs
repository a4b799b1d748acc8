//! `chaosd watchdog`: the hidden verb of the second process.

use std::{ffi::OsString, process::ExitCode};

use clap::Args;

use super::machine::machine;
use crate::watchdog;

#[derive(Args, Debug)]
pub(super) struct Watchdog {
    /// What its parent gave it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Watchdog {
    pub(super) fn run(self) -> ExitCode {
        watchdog::main(self.words, &machine())
    }
}
