//! `chaosd plan`: the dry run. Needs no daemon and changes nothing; where one answers, its limits hold.

use std::{fmt::Display, time::Duration};

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    Exit, Global, Output,
    ask::{Ask, Settings},
    experiment::{requests, spares_twin},
    failure::CliError,
    out, render, runtime,
};

use crate::{
    api::{Client, bind},
    experiment::ready,
    plan::{Limits, Plans, draw},
    profile::{Experiment, Profile, flags::InjectFlags},
};

/// A plan waits no longer for what the daemon allows.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

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

/// What an experiment would do here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Planning<'p> {
    pub(super) profile: &'p str,
    pub(super) about: &'p str,
    /// The profile's, or one drawn now; of all stages, so that who is drawn once stays drawn.
    pub(super) seed: u64,
    /// True when the user asked for repeatable decisions.
    pub(super) seeded: bool,
    #[serde(flatten)]
    pub(super) experiment: &'p Experiment,
    /// Of each stage that has faults, by its place in the list.
    pub(super) plans: Vec<Option<Plans>>,
    /// What its author may not have meant.
    pub(super) warnings: Vec<String>,
}

impl<'p> Planning<'p> {
    /// Fails with what is missing, as a run would. Changes nothing.
    fn make(
        name: &'p str,
        profile: &'p Profile,
        experiment: &'p Experiment,
        limits: Limits,
    ) -> Result<Self, CliError> {
        ready(experiment)?;
        let seed = profile.seed.unwrap_or_else(draw);
        let mut plans = Vec::new();
        for stage in &experiment.stages {
            let Some(stage) = &stage.profile else {
                plans.push(None);
                continue;
            };
            let mut stage = (**stage).clone();
            stage.seed.get_or_insert(seed);
            let plan = bind(name, &stage, limits)?;
            spares_twin(name, experiment, &stage, &plan, limits)?;
            plans.push(Some(plan));
        }
        Ok(Self {
            profile: name,
            about: &profile.about,
            seed,
            seeded: profile.seed.is_some(),
            experiment,
            plans,
            warnings: experiment.warnings(),
        })
    }
}

impl Plan {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        let ask = match (self.flags, self.profile) {
            (Some(Planned::Inject(flags)), _) => Ask::from(flags),
            (None, Some(profile)) => Ask::profile(&profile, self.settings)?,
            (None, None) => {
                let text = "name a profile, or write `plan inject` and its flags";
                return Err(CliError::Usage(text.to_owned()));
            }
        };
        let daemon = limits(global)?;
        let limits = daemon.unwrap_or_default();
        // A daemon is asked for one stage at a time, each within its cap.
        let staged = daemon.and_then(|_| ask.clone().check(Duration::MAX).ok());
        let asked = match staged.filter(|asked| asked.profile.experiment.is_some()) {
            Some(asked) => asked,
            None => ask.check(limits.max_for)?,
        };
        if let Some(experiment) = &asked.profile.experiment {
            let name = asked.request.name();
            for request in requests(name, experiment, 0).iter().flatten() {
                request.load(limits.max_for)?;
            }
            let planned = Planning::make(name, &asked.profile, experiment, limits)?;
            if self.output.is_json() {
                out::json(&planned);
            } else {
                out::say(render::experiment(&planned));
            }
            return Ok(Exit::Done);
        }
        let plan = asked.plan(limits)?;
        if self.output.is_json() {
            out::json(&plan);
        } else {
            out::say(render::plans(&plan));
        }
        Ok(Exit::Done)
    }
}

/// The daemon's, for it would do what is planned. `None`: there is none, or it does not say.
fn limits(global: &Global) -> Result<Option<Limits>, CliError> {
    let client = Client::new(&global.socket());
    let unknown = |why: &dyn Display| {
        let note = format!("the daemon's limits are not looked at: {why}");
        out::tell(out::paint(out::DIM, note));
        None
    };
    let answer = runtime()?.block_on(async { timeout(ANSWERS_WITHIN, client.status()).await });
    Ok(match answer {
        Ok(Ok(status)) => status.daemon.map(|daemon| daemon.limits()),
        Ok(Err(error)) if error.is_no_daemon() => None,
        Ok(Err(error)) => unknown(&out::chain(&error)),
        Err(_) => unknown(&format!("no answer within {} s", ANSWERS_WITHIN.as_secs())),
    })
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
