//! What `cpu`, `memory` and `disk-burn` have in common: child processes in the target's cgroup, which die with
//! chaosd and rest when it is late (`burn`).

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    burn::{Burner, Progress, Work},
    cgroup::{self, Controller, Version},
    plan::{Cgroup, Scope},
    sys::process::wait_readable,
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
    fn of(scope: &Scope) -> Self {
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

/// Burners that are to be, of a fault that is bound. They are made ready where nobody waits for them:
/// the engine cannot.
#[derive(Debug)]
pub(super) struct Ordered {
    work: Vec<Work>,
    into: Entrances,
    ready: Mutex<Option<Burners>>,
}

impl Ordered {
    /// One for each piece of work.
    pub fn new(work: Vec<Work>, scope: &Scope) -> Self {
        Self {
            work,
            into: Entrances::of(scope),
            ready: Mutex::new(None),
        }
    }

    /// What each is to do.
    pub fn work(&self) -> &[Work] {
        &self.work
    }

    /// Where they will be.
    pub fn entrances(&self) -> &Entrances {
        &self.into
    }

    /// For `Bound::prepare`: starts them. They burn nothing yet, and go with this.
    pub fn prepare(&self) -> Result<(), ActError> {
        let burners = self.start()?;
        *self.ready() = Some(burners);
        Ok(())
    }

    /// For `Bound::arm`: those that are ready. Without [`Ordered::prepare`] they are started now.
    pub fn take(&self) -> Result<Burners, ActError> {
        let ready = self.ready().take();
        ready.map_or_else(|| self.start(), Ok)
    }

    fn start(&self) -> Result<Burners, ActError> {
        let burners = Burner::start_all(&self.work, &self.into.0);
        let refused = |source| ActError::Refused {
            what: "start a burner".into(),
            source: crate::undo::chain(&source).into(),
        };
        burners.map(Burners).map_err(refused)
    }

    fn ready(&self) -> MutexGuard<'_, Option<Burners>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Burners at work.
#[derive(Debug)]
pub(super) struct Burners(Vec<Burner>);

impl Burners {
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

    /// True when one has died that nobody ended.
    pub fn has_died(&self) -> bool {
        let died = |burner: &Burner| wait_readable(burner.pidfd(), Duration::ZERO);
        self.0.iter().any(died)
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
        // All of them die at a time.
        self.0.iter().for_each(Burner::kill);
        drop(self.0);
        RevertReport::default()
    }
}
