//! What a client asks for.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::profile::{self, Overrides, Problem, Problems, Profile, flags::TargetFlags};

/// The body of `POST /v1/runs` and `POST /v1/plan`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The profile: its YAML text, or the same as an object.
    pub profile: Value,
    /// What reports and problems call it; `profile` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Values of the profile's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// How long, as people write it (`2m`); the profile's `for` when not given.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub run_for: Option<String>,
    /// Makes decisions repeatable; the profile's `seed` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Who suffers, one of `{host: true}`, `{cgroup}`, `{pid}`, `{netns}`; the profile's `target`
    /// when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub target: Option<TargetFlags>,
    /// Whoever asks keeps the run's record, unless the run ends because it is gone (`while-connected`), or the
    /// daemon is; else the daemon does, when the run is over.
    #[serde(
        default,
        rename = "keeps-record",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub keeps_record: bool,
    /// The run ends with the connection on which it is asked for, whose answer ends with the run: whoever
    /// asks stays, and may be killed. `POST /v1/runs` alone.
    #[serde(
        default,
        rename = "while-connected",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub while_connected: bool,
}

impl RunRequest {
    /// What reports and problems call the profile.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("profile")
    }

    /// The profile's text: JSON is YAML.
    pub fn text(&self) -> String {
        match &self.profile {
            Value::String(text) => text.clone(),
            document => document.to_string(),
        }
    }

    /// What is said over the profile's head; `max_for` caps the run's time.
    pub fn overrides(&self, max_for: Duration) -> Overrides {
        Overrides {
            set: self.set.clone().into_iter().collect(),
            run_for: self.run_for.clone(),
            seed: self.seed,
            target: self.target.clone(),
            max_for,
        }
    }

    /// The profile with all that is said over its head, capped by `max_for`. An experiment is refused: one
    /// run has neither its conditions nor its stages, and without them it would be another thing.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(&self, max_for: Duration) -> Result<Profile, Problems> {
        let profile = profile::load(self.name(), &self.text(), &self.overrides(max_for))?;
        if profile.experiment.is_none() {
            return Ok(profile);
        }
        Err(Problems(vec![Problem {
            origin: self.name().to_owned(),
            line: None,
            column: None,
            what: "an experiment (it has a hypothesis, a steady state, conditions or stages): `chaosd run` \
                   goes through it; name a profile of faults alone here"
                .to_owned(),
            instead: None,
        }]))
    }
}
