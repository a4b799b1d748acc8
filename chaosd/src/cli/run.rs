//! `chaosd run`: a profile, in the foreground or detached.

use std::ffi::OsString;

use clap::Args;

use super::{
    Exit, Global, Output,
    ask::{Ask, Settings},
    called,
    failure::CliError,
    follow::{self, How},
};

#[derive(Args, Debug)]
pub(super) struct Run {
    /// A file, or the name of a profile that ships (see `chaosd profiles`)
    profile: String,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
    /// Print the run's id and return; needs the daemon
    #[arg(short, long, conflicts_with = "command")]
    detach: bool,
    /// Call the run so: `chaosd status` and `chaosd revert` take the name in the place of its id
    #[arg(long = "as", value_name = "NAME", value_parser = called::name)]
    called: Option<String>,
    /// Run this under the fault. The run ends when it does, at the latest at its deadline; when it
    /// fails, its exit code is passed on (128 and the signal's number, when a signal ended it)
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        let how = How {
            detach: self.detach,
            json: self.output.is_json(),
            command: self.command,
        };
        let ask = Ask::profile(&self.profile, self.settings)?
            .called(self.called)
            .kept_here(!how.detach);
        follow::go(ask, &how, global)
    }
}
