//! What `run`, `inject` and `plan` ask for: a profile, and what is said over its head.

use std::time::Duration;

use clap::Args;

use super::failure::CliError;
use crate::{
    api::{RunRequest, bind},
    experiment::toolkit,
    plan::{Limits, Plans},
    profile::{
        self, Problems, Profile,
        flags::{InjectFlags, TargetFlags},
    },
};

/// What `run` and `plan` say over a profile's head.
#[derive(Args, Clone, Debug)]
pub(super) struct Settings {
    /// Set a parameter of the profile (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// How long the run lasts, such as 2m [default: the profile's]
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true)]
    run_for: Option<String>,
    /// Make the same decisions over the same packets again
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    #[command(flatten)]
    target: TargetFlags,
}

/// What is asked for, and the flags it came from, since problems name them.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    request: RunRequest,
    /// What problems call the profile, whatever the run is called.
    source: String,
    flags: Option<InjectFlags>,
}

/// What is asked for, and the profile that it comes to: nothing is wrong with it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) request: RunRequest,
    pub(super) profile: Profile,
}

impl From<InjectFlags> for Ask {
    fn from(flags: InjectFlags) -> Self {
        let request = RunRequest {
            profile: flags.document(),
            name: Some("inject".to_owned()),
            ..RunRequest::default()
        };
        Self {
            request,
            source: "inject".to_owned(),
            flags: Some(flags),
        }
    }
}

impl Ask {
    /// A file, or a profile that ships, with these settings.
    pub(super) fn profile(name_or_path: &str, settings: Settings) -> Result<Self, CliError> {
        let (name, text) = profile::find(name_or_path)?;
        let profile = match toolkit::detect(&text) {
            Some(foreign) => {
                toolkit::translate(&foreign).map_err(|problems| CliError::Toolkit {
                    name: name.clone(),
                    problems,
                })?
            }
            None => text.into(),
        };
        let target = Some(settings.target).filter(|target| *target != TargetFlags::default());
        let request = RunRequest {
            profile,
            name: Some(name.clone()),
            set: settings.set.into_iter().collect(),
            run_for: settings.run_for,
            seed: settings.seed,
            target,
            keeps_record: false,
            while_connected: false,
        };
        Ok(Self {
            request,
            source: name,
            flags: None,
        })
    }

    /// The same under a name that the user gives the run.
    pub(super) fn called(mut self, name: Option<String>) -> Self {
        self.request.name = name.or(self.request.name);
        self
    }

    /// The same by somebody who stays to its end, and keeps its record, or whose end is the run's.
    pub(super) fn kept_here(mut self, stays: bool) -> Self {
        self.request.keeps_record = stays;
        self.request.while_connected = stays;
        self
    }

    /// Every problem, said in the words in which it was asked. `max_for` caps the run's time.
    pub(super) fn check(self, max_for: Duration) -> Result<Checked, Problems> {
        let request = self.request;
        let profile = match &self.flags {
            Some(flags) => flags.profile(max_for),
            None => profile::load(&self.source, &request.text(), &request.overrides(max_for)),
        }?;
        Ok(Checked { request, profile })
    }
}

impl Checked {
    /// What would be done here; changes nothing.
    pub(super) fn plan(&self, limits: Limits) -> Result<Plans, CliError> {
        Ok(bind(self.request.name(), &self.profile, limits)?)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
