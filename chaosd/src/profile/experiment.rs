//! The checked form of an experiment: what is expected to stay true, how that is looked at, what
//! ends it early, and in which stages the faults come.
//!
//! Invariant: each stage holds the whole profile that it runs, checked with the stage's own
//! parameters, so that nothing of a later stage can be refused in the middle.

use std::{collections::BTreeMap, time::Duration};

use humantime::format_duration;
use serde::Serialize;
use serde_json::Value;

use super::{ProbeSpec, Profile, Whom};

/// How long a recovery is watched where no stage says it.
pub const DEFAULT_RECOVERY: Duration = Duration::from_secs(30);

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Experiment {
    /// What is expected to stay true.
    pub hypothesis: Option<String>,
    /// The steady state; names are unique.
    pub steady_state: Vec<ProbeSpec>,
    /// What ends it early.
    pub abort_when: Vec<AbortSpec>,
    /// At least one, at least one of them with faults.
    pub stages: Vec<StageSpec>,
    /// The words of the command that runs from the first stage to the last; may be empty.
    pub load: Vec<String>,
    /// The twin that is spared.
    pub control: Option<Control>,
    /// The profile as it was written, with what was said over its head filled in.
    #[serde(skip)]
    pub document: Value,
}

impl Experiment {
    /// The sum of its stages.
    pub fn lasts(&self) -> Duration {
        self.stages.iter().map(|stage| stage.lasts).sum()
    }

    /// What its author may not have meant, in one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let with_faults = self.stages.iter().filter(|stage| stage.profile.is_some());
        let Some(shortest) = with_faults.min_by_key(|stage| stage.lasts) else {
            return Vec::new();
        };
        let (stage, lasts) = (&shortest.name, format_duration(shortest.lasts));
        let mut warnings = Vec::new();
        for ProbeSpec {
            name, kind, every, ..
        } in &self.steady_state
        {
            if *every > shortest.lasts {
                let every = format_duration(*every);
                warnings.push(format!(
                    "probe {name} looks every {every}, and stage {stage} lasts {lasts}: it may not look there at all"
                ));
            }
            if let Some(within) = kind.within().filter(|within| *within > shortest.lasts) {
                let within = format_duration(within);
                warnings.push(format!(
                    "probe {name} may take {within}, and stage {stage} lasts {lasts}: what it asks there may be answered after its faults, and then holds"
                ));
            }
        }
        warnings
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageSpec {
    /// Unique in its experiment.
    pub name: String,
    /// How long it lasts; not 0.
    #[serde(rename = "for", serialize_with = "super::units::serialize_duration")]
    pub lasts: Duration,
    /// It is over as soon as the steady state holds again: a recovery that nobody gave a time to.
    pub until_steady: bool,
    /// Parameters that it sets.
    pub set: BTreeMap<String, String>,
    /// What it runs; `None`: it has no faults.
    #[serde(skip)]
    pub profile: Option<Box<Profile>>,
}

/// The twin that is spared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Control {
    /// Parameters that lead the probes to it.
    pub set: BTreeMap<String, String>,
    /// Its place on this machine, which no fault may hit; `None`: it is elsewhere.
    pub target: Option<Whom>,
    /// The probes that look elsewhere by these parameters, each with the name of its twin.
    pub probes: Vec<ProbeSpec>,
}

/// A condition of `abort-when`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AbortSpec {
    /// What is looked at.
    pub on: AbortOn,
    /// It has been so for this long.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub lasting: Duration,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbortOn {
    /// Any of these probes of the steady state fails: their places in the list.
    Failing(Vec<usize>),
    /// A probe of its own fails.
    Fails(Box<ProbeSpec>),
    /// A measured value is within its bound.
    Comes(Box<ProbeSpec>),
}

impl AbortSpec {
    /// In one line. `probes`: the steady state.
    pub fn what(&self, probes: &[ProbeSpec]) -> String {
        let what = match &self.on {
            AbortOn::Failing(which) => {
                let names: Vec<&str> = which
                    .iter()
                    .filter_map(|n| Some(probes.get(*n)?.name.as_str()))
                    .collect();
                format!("{} fails", names.join(" or "))
            }
            AbortOn::Fails(probe) => format!("{} fails", probe.kind),
            AbortOn::Comes(probe) => probe.kind.to_string(),
        };
        if self.lasting.is_zero() {
            return what;
        }
        format!("{what} for {}", humantime::format_duration(self.lasting))
    }
}

/// A word of the load, with `{{duration}}` and `{{seconds}}` filled in.
pub(crate) fn fill_in(word: &str, lasts: Duration) -> String {
    // A load that ends before the last stage would measure less than was asked for.
    let seconds = lasts.as_secs() + u64::from(lasts.subsec_nanos() > 0);
    word.replace("{{duration}}", &format!("{seconds}s"))
        .replace("{{seconds}}", &seconds.to_string())
}
