//! Looks who answers to a group's name while it is armed: a restarted member is hit again, a new one
//! takes a seat that is free.
//!
//! In a thread of its own: a runtime may take its time, and the engine has none.

use std::{
    collections::HashSet,
    os::fd::AsFd,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    plan::{GroupPlan, Maker},
    report::RunId,
    runtime::{Member, Watch},
    sys::process::wait_readable,
    target::Seats,
};

use super::{Command, groups::Seated, make_ready};

/// How soon it is looked again while somebody is missing: a restart is to be noticed within a second.
const SOON: Duration = Duration::from_millis(200);
/// How soon when somebody has been missing for long.
const OFTEN: Duration = Duration::from_secs(1);
/// How soon when nobody is, and nothing tells of a change.
const SELDOM: Duration = Duration::from_secs(5);
/// Nobody has had the name for so long: nobody will.
const PATIENCE: Duration = Duration::from_secs(10);
/// One that is stopped has so long to be started again: the longest pause before a restart of those who make
/// them longer and longer (kubelet 5 minutes, dockerd 1), and some time to start.
const STOPPED: Duration = Duration::from_secs(330);

/// What it takes to look again.
pub(super) struct Follower {
    maker: Arc<Maker>,
    /// How many seats there are.
    seats: usize,
    spared: HashSet<String>,
}

impl Follower {
    pub fn of(plan: &GroupPlan) -> Self {
        Self {
            maker: Arc::clone(&plan.maker),
            seats: plan.members.len(),
            spared: plan.spared.iter().map(|spared| spared.id.clone()).collect(),
        }
    }

    /// Ends with the group.
    pub fn start(self, id: &RunId, commands: &Sender<Command>) {
        let (of, commands) = (id.clone(), commands.clone());
        let work = move || self.follow(&of, &commands);
        let thread = std::thread::Builder::new().name("follower".into());
        if let Err(error) = thread.spawn(work) {
            tracing::warn!(run = id, "nobody looks for restarted targets: {error}");
        }
    }

    fn follow(&self, id: &RunId, commands: &Sender<Command>) {
        let mut watch = self
            .maker
            .watch()
            .inspect_err(|error| tracing::warn!(run = id, "looks once a second: {error}"))
            .ok();
        let (mut answered, mut looked, mut vacant_since) = (Instant::now(), Instant::now(), None);
        loop {
            wait(watch.as_ref());
            let changed = watch.as_mut().is_some_and(Watch::changed);
            let Some(seated) = ask(commands, |reply| Command::Seated(id.clone(), reply)).flatten()
            else {
                return;
            };
            let vacant = seated.alive.len() < self.seats;
            let since = vacant_since.filter(|_| vacant);
            vacant_since = vacant.then(|| since.unwrap_or_else(Instant::now));
            let pause = match vacant_since {
                Some(since) if since.elapsed() < PATIENCE => SOON,
                Some(_) => OFTEN,
                None => SELDOM,
            };
            if !changed && looked.elapsed() < pause {
                continue;
            }
            looked = Instant::now();
            let seats = Seats {
                drawn: seated.members.clone(),
                spared: self.spared.clone(),
            };
            match self.maker.again(&seats) {
                Ok(members) => {
                    answered = Instant::now();
                    if let Some(watch) = &mut watch {
                        // Without it, it is looked once in a while.
                        let _limits = watch.follow(&members);
                    }
                    self.join(id, &seated, &members, commands);
                }
                Err(why) if !why.is_gone() && !why.is_stopped() => {
                    tracing::debug!(run = id, "{why}");
                    answered = Instant::now();
                }
                Err(why) => {
                    let patience = if why.is_gone() { PATIENCE } else { STOPPED };
                    if !seated.has_processes && answered.elapsed() >= patience {
                        let gone = Command::GroupGone(id.clone(), why.to_string());
                        commands.send(gone).ok();
                        return;
                    }
                }
            }
        }
    }

    fn join(&self, id: &RunId, seated: &Seated, members: &[Member], commands: &Sender<Command>) {
        let lives: Vec<_> = members
            .iter()
            .map(|member| self.maker.incarnation(member))
            .collect();
        // Of a pod that was made anew the old namespace is there for as long as it is under fault.
        for (life, (run, who)) in &seated.alive {
            let mut now = members.iter().zip(&lives).filter(|(m, _)| m.id == *who);
            let first = now.next();
            if first.is_some()
                && first
                    .into_iter()
                    .chain(now)
                    .all(|(_, new)| new.is_some_and(|new| new != *life))
            {
                commands.send(Command::Outlived(run.clone())).ok();
            }
        }
        for (member, life) in members.iter().zip(lives) {
            let seated = life.is_none_or(|life| seated.alive.contains_key(&life))
                || seated.dismissed.contains(&member.id);
            if seated {
                continue;
            }
            // What has just started may lack a process or an address yet: it is looked again.
            let joined = match self.maker.plan_again(member) {
                Ok(None) => continue,
                Ok(Some(plan)) => make_ready(&plan.plan).and_then(|()| {
                    let join = |reply| Command::Join(id.clone(), Box::new(plan), reply);
                    ask(commands, join).unwrap_or(Ok(()))
                }),
                Err(error) => {
                    tracing::debug!(run = id, "{}: {error}", member.label);
                    continue;
                }
            };
            if let Err(error) = joined {
                tracing::warn!(run = id, "{}: {error}", member.label);
            }
        }
    }
}

/// Until something tells of a change, or for as long as a look may wait.
fn wait(watch: Option<&Watch>) {
    match watch {
        Some(watch) => {
            wait_readable(watch.as_fd(), SOON);
        }
        None => std::thread::sleep(SOON),
    }
}

/// `None`: there is no engine any more.
fn ask<T>(commands: &Sender<Command>, command: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
    let (reply, answer) = mpsc::channel();
    commands.send(command(reply)).ok()?;
    answer.recv().ok()
}
