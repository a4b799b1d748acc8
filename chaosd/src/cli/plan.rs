//! `chaosd plan`: the dry run. Needs no daemon and changes nothing.

use clap::{Args, Subcommand};

use super::{
    Exit, Output,
    ask::{Ask, ProfileArgs},
    failure::CliError,
    out, render,
};
use crate::profile::{Overrides, flags::InjectFlags};

#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub(super) struct Plan {
    #[command(flatten)]
    profile: Option<ProfileArgs>,
    #[command(subcommand)]
    flags: Option<Planned>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Planned {
    /// Plan one fault, described by flags
    Inject(InjectFlags),
}

impl Plan {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        let ask = match (self.flags, self.profile) {
            (Some(Planned::Inject(flags)), _) => Ask::from(flags),
            (None, Some(profile)) => Ask::try_from(profile)?,
            (None, None) => {
                let text = "name a profile, or write `plan inject` and its flags";
                return Err(CliError::Usage(text.to_owned()));
            }
        };
        let plan = ask.plan(Overrides::default().max_for)?;
        if self.output.is_json() {
            out::json(&plan);
        } else {
            out::say(render::plan(&plan));
        }
        Ok(Exit::Done)
    }
}
