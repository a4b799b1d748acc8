//! Puts a control file of a cgroup back: the whole value, or no more of it than we have set.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Outcome, Reverted, System, quoted};
use crate::cgroup::line;

/// A control file to restore, where it still says what we wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The cgroup's directory, in any hierarchy.
    pub cgroup: PathBuf,
    /// The inode of that directory. A cgroup made anew under that name has another, and is left
    /// alone.
    pub id: u64,
    /// The file's name: `cpu.max`.
    pub file: String,
    /// What of it is ours.
    pub part: Part,
}

/// What we have set in a control file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Its one value (`cpu.max`, `cgroup.freeze`, `cpu.cfs_quota_us`).
    Value {
        /// What it was.
        prior: String,
        /// What we wrote.
        ours: String,
    },
    /// The value of one device in a file that has one for each (`blkio.throttle.*_device`).
    Device {
        /// `8:0`
        device: String,
        /// What it was; `0` where the device had no line.
        prior: String,
        /// What we wrote.
        ours: String,
    },
    /// Some fields of one device's line (`io.max`).
    Fields {
        /// `8:0`
        device: String,
        /// Those that we set.
        fields: Vec<Field>,
    },
    /// One controller of `cgroup.subtree_control`, which was not enabled and which we enabled.
    Enabled {
        /// `cpu`, `io`, `memory`, `pids`
        controller: String,
    },
}

/// A field of a device's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// `rbps`, `wbps`, `riops`, `wiops`
    pub name: String,
    /// What it was; `max` where it had no limit.
    pub prior: String,
    /// What we wrote.
    pub ours: String,
}

impl Control {
    /// What to write to make the change.
    pub fn ours(&self) -> String {
        match &self.part {
            Part::Value { ours, .. } => ours.clone(),
            Part::Device { device, ours, .. } => format!("{device} {ours}"),
            Part::Fields { device, fields } => line::of(
                device,
                fields.iter().map(|f| (f.name.as_str(), f.ours.as_str())),
            ),
            Part::Enabled { controller } => format!("+{controller}"),
        }
    }

    /// What to write to undo it.
    pub fn prior(&self) -> String {
        match &self.part {
            Part::Value { prior, .. } => prior.clone(),
            Part::Device { device, prior, .. } => format!("{device} {prior}"),
            Part::Fields { device, fields } => line::of(
                device,
                fields.iter().map(|f| (f.name.as_str(), f.prior.as_str())),
            ),
            Part::Enabled { controller } => format!("-{controller}"),
        }
    }

    /// True when a file that reads `found` says what we wrote.
    pub fn stands_in(&self, found: &str) -> bool {
        self.states(found)
            .iter()
            .all(|state| same(&state.found, &state.ours))
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.cgroup.join(&self.file)
    }

    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        let Some(found) = self.read(system)? else {
            return Ok(Outcome::AlreadyGone);
        };
        let states = self.states(&found);
        let changed = |state: &&State| !same(&state.found, &state.prior);
        let (ours, theirs): (Vec<_>, Vec<_>) = states
            .iter()
            .filter(changed)
            .partition(|state| same(&state.found, &state.ours));
        if let Part::Enabled { controller } = &self.part
            && !ours.is_empty()
            && let Some(found) = system.uses_controller(&self.cgroup, self.id, controller)?
        {
            return Ok(Outcome::LeftAlone { found });
        }
        for state in &ours {
            let text = &state.restore;
            if let Err(error) = system.write_control(&self.cgroup, self.id, &self.file, text) {
                // It may have gone between our look and our write.
                return match self.read(system)? {
                    None => Ok(Outcome::AlreadyGone),
                    Some(_) => Err(error.into()),
                };
            }
        }
        if let Some(now) = self.read(system)?
            && let Some(stuck) = (self.states(&now).iter())
                .find(|state| same(&state.found, &state.ours) && changed(state))
        {
            let text = format!("wrote {}, but it reads {}", stuck.restore, stuck.told());
            return Err(io::Error::other(text).into());
        }
        let told: Vec<_> = theirs.iter().map(|state| state.told()).collect();
        Ok(match (told.is_empty(), ours.is_empty()) {
            (false, true) => Outcome::LeftAlone {
                found: told.join(" "),
            },
            (false, false) => Outcome::LeftAlone {
                found: format!("{} (the rest was put back)", told.join(" ")),
            },
            (true, false) => Outcome::Done,
            (true, true) => Outcome::AlreadyGone,
        })
    }

    pub(super) fn by_hand(&self) -> String {
        let path = self.path();
        format!(
            "echo {} > {}",
            quoted(&self.prior()),
            quoted(&path.to_string_lossy())
        )
    }

    fn read(&self, system: &dyn System) -> io::Result<Option<String>> {
        system.read_control(&self.cgroup, self.id, &self.file)
    }

    /// What the file says of each thing that we set.
    fn states(&self, text: &str) -> Vec<State> {
        match &self.part {
            Part::Value { prior, ours } => vec![State {
                name: None,
                found: text.trim().to_owned(),
                prior: prior.clone(),
                ours: ours.clone(),
                restore: prior.clone(),
            }],
            Part::Device {
                device,
                prior,
                ours,
            } => vec![State {
                name: None,
                found: line::value(text, device).unwrap_or("0").to_owned(),
                prior: prior.clone(),
                ours: ours.clone(),
                restore: format!("{device} {prior}"),
            }],
            Part::Fields { device, fields } => fields
                .iter()
                .map(|field| State {
                    name: Some(field.name.clone()),
                    found: line::field(text, device, &field.name)
                        .unwrap_or(line::NO_LIMIT)
                        .to_owned(),
                    prior: field.prior.clone(),
                    ours: field.ours.clone(),
                    restore: line::of(device, [(field.name.as_str(), field.prior.as_str())]),
                })
                .collect(),
            Part::Enabled { controller } => {
                let enabled = text.split_whitespace().any(|word| word == controller);
                vec![State {
                    name: None,
                    found: if enabled { "on" } else { "off" }.to_owned(),
                    prior: "off".to_owned(),
                    ours: "on".to_owned(),
                    restore: self.prior(),
                }]
            }
        }
    }
}

/// One thing that we set: what it was, what we made of it, what it is, and how it is restored.
struct State {
    name: Option<String>,
    found: String,
    prior: String,
    ours: String,
    restore: String,
}

impl State {
    fn told(&self) -> String {
        match &self.name {
            Some(name) => format!("{name}={}", self.found),
            None => self.found.clone(),
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cgroup = Path::display(&self.cgroup);
        match &self.part {
            Part::Enabled { controller } => {
                write!(f, "disable {controller} for the cgroups below {cgroup}")
            }
            _ => write!(f, "set {} of {cgroup} back to {}", self.file, self.prior()),
        }
    }
}

/// Values are vectors of words (`max 100000`). A v1 freezer that was told `FROZEN` says `FREEZING`
/// until the last task is (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
fn same(a: &str, b: &str) -> bool {
    let word = |word| match word {
        "FREEZING" => "FROZEN",
        other => other,
    };
    a.split_whitespace()
        .map(word)
        .eq(b.split_whitespace().map(word))
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
