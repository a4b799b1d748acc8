//! What `cpu`, `memory` and `disk-burn` have in common: child processes in the target's cgroup, which die with
//! chaosd and rest when it is late (`burn`).

use std::{fmt, path::PathBuf, time::Duration};

use crate::{
    burn::{Burner, Progress, Work},
    cgroup::{self, Controller, Version},
    plan::{Cgroup, Scope},
    undo::RevertReport,
};

use super::{ActError, Now};

/// A burner belongs to the same cgroup in every hierarchy, as any process of the target.
const HIERARCHIES: [Controller; 5] = [
    Controller::Cpu,
    Controller::Memory,
    Controller::Io,
    Controller::Freezer,
    Controller::Pids,
];

/// Where burners of a target enter: its `cgroup.procs`, of both versions; of a host the root's.
#[derive(Debug)]
pub(super) struct Entrances(Vec<PathBuf>);

impl Entrances {
    pub fn of(scope: &Scope) -> Self {
        let directories = match &scope.cgroup {
            None => cgroup::unified().into_iter().collect(),
            Some(cgroup) => hierarchies(cgroup),
        };
        Self(
            directories
                .into_iter()
                .map(|directory| directory.join("cgroup.procs"))
                .collect(),
        )
    }
}

impl fmt::Display for Entrances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, path) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", path.display())?;
        }
        Ok(())
    }
}

fn hierarchies(cgroup: &Cgroup) -> Vec<PathBuf> {
    let mut directories = vec![cgroup.path.clone()];
    for controller in HIERARCHIES {
        if let Ok(place) = controller.place(cgroup)
            && place.version == Version::V1
            && !directories.contains(&place.directory)
        {
            directories.push(place.directory);
        }
    }
    directories
}

/// Burners at work.
pub(super) struct Burners(Vec<Burner>);

impl Burners {
    /// Starts one for each piece of work. They burn nothing yet.
    pub fn start(work: &[Work], into: &Entrances) -> Result<Self, ActError> {
        let burners: Result<Vec<Burner>, _> = work
            .iter()
            .map(|work| Burner::start(work, &into.0))
            .collect();
        let burners = burners.map_err(|source| ActError::Refused {
            what: "start a burner".into(),
            source: crate::undo::chain(&source).into(),
        })?;
        Ok(Self(burners))
    }

    /// Says how much is wanted.
    pub fn act(&self, now: Now) -> Result<Option<Duration>, ActError> {
        for burner in &self.0 {
            burner
                .vouch(now.intensity)
                .map_err(|source| ActError::Refused {
                    what: "speak to a burner".into(),
                    source: source.into(),
                })?;
        }
        Ok(None)
    }

    /// What each has done.
    pub fn progress(&mut self) -> Vec<Progress> {
        self.0.iter_mut().map(Burner::progress).collect()
    }

    /// Their process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Burner::pid).collect()
    }

    /// They are killed, and have changed nothing that would have to be put back.
    pub fn end(self) -> RevertReport {
        drop(self.0);
        RevertReport::default()
    }
}
