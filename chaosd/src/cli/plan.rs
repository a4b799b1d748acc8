//! `chaosd plan`: the dry run. Needs no daemon and changes nothing.

use clap::{Args, Subcommand};

use super::{
    Exit, Output,
    ask::{Ask, Settings},
    failure::CliError,
    out, render,
};
use crate::{plan::Limits, profile::flags::InjectFlags};

#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub(super) struct Plan {
    /// A file, or the name of a profile that ships (see `chaosd profiles`)
    #[arg(required = true)]
    profile: Option<String>,
    #[command(flatten)]
    settings: Settings,
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
            (None, Some(profile)) => Ask::profile(&profile, self.settings)?,
            (None, None) => {
                let text = "name a profile, or write `plan inject` and its flags";
                return Err(CliError::Usage(text.to_owned()));
            }
        };
        let plan = ask.plan(Limits::default())?;
        if self.output.is_json() {
            out::json(&plan);
        } else {
            out::say(render::plans(&plan));
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        plan: Plan,
    }

    #[test]
    fn a_profile_and_flags_are_told_apart() {
        let plan = |line: &str| Line::try_parse_from(line.split(' ')).unwrap().plan;
        let profile = plan("plan packet-loss --set rate=1% --netns a");
        assert_eq!(profile.profile.as_deref(), Some("packet-loss"));
        assert!(profile.flags.is_none());
        let flags = plan("plan inject drop --rate 1%");
        assert!(flags.profile.is_none());
        assert!(flags.flags.is_some());
    }
}
