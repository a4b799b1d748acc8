//! What `cpu`, `memory` and `disk-burn` have in common: child processes in the target's cgroup, which die with
//! chaosd and rest when it is late (`burn`).

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    burn::{BurnError, Burner, Progress, Work},
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

/// Between two attempts to start burners in the place of dead ones.
const AGAIN: Duration = Duration::from_secs(1);

/// Where burners of a target enter: its `cgroup.procs`, of both versions; of a host the root's.
#[derive(Clone, Debug)]
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
        let burners = Burner::start_all(&self.work, &self.into.0).map_err(|e| refused(&e))?;
        Ok(Burners {
            each: burners.into_iter().map(Post::new).collect(),
            work: self.work.clone(),
            into: self.into.clone(),
            coming: None,
            tried: None,
            again: 0,
        })
    }

    fn ready(&self) -> MutexGuard<'_, Option<Burners>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(error: &BurnError) -> ActError {
    ActError::Refused {
        what: "let a process burn".into(),
        source: crate::undo::chain(error).into(),
    }
}

/// Burners at work.
#[derive(Debug)]
pub(super) struct Burners {
    each: Vec<Post>,
    /// Of each.
    work: Vec<Work>,
    into: Entrances,
    /// Those that come in the place of dead ones, by their posts. The engine does not wait for them.
    coming: Option<JoinHandle<Result<Coming, BurnError>>>,
    /// When such were started last.
    tried: Option<Instant>,
    again: u32,
}

/// By the places of their posts.
type Coming = Vec<(usize, Burner)>;

/// Somebody burns there.
#[derive(Debug)]
struct Post {
    burner: Burner,
    /// What those did that died there.
    before: Progress,
}

impl Post {
    fn new(burner: Burner) -> Self {
        Self {
            burner,
            before: Progress::default(),
        }
    }

    fn progress(&mut self) -> Progress {
        self.burner.progress().after(&self.before)
    }
}

impl Burners {
    /// Says how much is wanted. One that has died is an error.
    pub fn act(&self, now: Now) -> Result<(), ActError> {
        for post in &self.each {
            let vouched = post.burner.vouch(now.intensity);
            vouched.map_err(|error| refused(&error))?;
        }
        Ok(())
    }

    /// Says how much is wanted, and starts others in the place of those that have died: with their
    /// cgroup, when its service starts anew; or by the OOM killer, as the first. An error is why one
    /// could not go on, or no other could be started: it is tried again.
    pub fn act_again(&mut self, now: Now) -> Result<(), ActError> {
        let mut failed = self.welcome().err();
        let mut dead = Vec::new();
        for (place, post) in self.each.iter().enumerate() {
            match post.burner.vouch(now.intensity) {
                Ok(()) => {}
                Err(BurnError::Gone) => dead.push(place),
                Err(error) => {
                    dead.push(place);
                    failed = Some(error);
                }
            }
        }
        let patient = self.tried.is_some_and(|tried| tried.elapsed() < AGAIN);
        if !dead.is_empty() && self.coming.is_none() && !patient {
            self.tried = Some(Instant::now());
            let work: Vec<Work> = dead.iter().map(|place| self.work[*place].clone()).collect();
            let into = self.into.clone();
            let start = move || {
                let burners = Burner::start_all(&work, &into.0)?;
                Ok(dead.into_iter().zip(burners).collect())
            };
            let thread = thread::Builder::new().name("chaosd-burners".into());
            let coming = thread.spawn(start).map_err(BurnError::Start);
            self.coming = Some(coming.map_err(|error| refused(&error))?);
        }
        failed.map_or(Ok(()), |error| Err(refused(&error)))
    }

    /// Puts those in their places that have come up.
    fn welcome(&mut self) -> Result<(), BurnError> {
        let Some(coming) = self.coming.take_if(|coming| coming.is_finished()) else {
            return Ok(());
        };
        // One that panicked has started nobody.
        for (place, burner) in coming.join().unwrap_or(Err(BurnError::Gone))? {
            let post = &mut self.each[place];
            post.before = post.progress();
            post.burner = burner;
            self.again += 1;
        }
        Ok(())
    }

    /// True when one has died that nobody ended.
    pub fn has_died(&self) -> bool {
        let died = |post: &Post| wait_readable(post.burner.pidfd(), Duration::ZERO);
        self.each.iter().any(died)
    }

    /// What was done at each post.
    pub fn progress(&mut self) -> Vec<Progress> {
        self.each.iter_mut().map(Post::progress).collect()
    }

    /// Their process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.each.iter().map(|post| post.burner.pid()).collect()
    }

    /// For what is told of them: how many had to be replaced.
    pub fn told_again(&self) -> String {
        match self.again {
            0 => String::new(),
            1 => "; a process of it died, and another was started".into(),
            more => format!("; {more} processes of it died, and others were started"),
        }
    }

    /// They are killed, and have changed nothing that would have to be put back.
    pub fn end(self) -> RevertReport {
        // All of them die at a time.
        self.each.iter().for_each(|post| post.burner.kill());
        RevertReport::default()
    }
}
