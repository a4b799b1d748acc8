//! `chaosd inject`: one fault, described by flags that mirror a profile's keys.

use clap::Args;

use super::{
    Exit, Global, Output,
    ask::Ask,
    called,
    failure::CliError,
    follow::{self, How},
};
use crate::profile::flags::InjectFlags;

#[derive(Args, Debug)]
pub(super) struct Inject {
    #[command(flatten)]
    flags: InjectFlags,
    #[command(flatten)]
    output: Output,
    /// Print the run's id and return; needs the daemon
    #[arg(short, long, global = true)]
    detach: bool,
    /// Call the run so: `chaosd status` and `chaosd revert` take the name in the place of its id
    #[arg(long = "as", value_name = "NAME", value_parser = called::name, global = true)]
    called: Option<String>,
}

impl Inject {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        let how = How {
            detach: self.detach,
            json: self.output.is_json(),
            command: Vec::new(),
        };
        let ask = Ask::from(self.flags)
            .called(self.called)
            .kept_here(!how.detach);
        follow::go(ask, &how, global)
    }
}
