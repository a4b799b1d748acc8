//! Looks who answers to a group's name while it is armed: a restarted member is hit again, a new one
//! takes a seat that is free.
//!
//! In a thread of its own: a runtime may take its time, and the engine has none.

use std::{
    collections::{HashMap, HashSet},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use crate::{
    plan::{GroupPlan, Incarnation, Maker},
    report::RunId,
    runtime::{Member, Watch},
    sys::process::wait_readable,
    target::{Now, Seats, TargetError, Why},
};

use super::{
    Command, EngineError,
    groups::{Joined, Seated},
    make_ready,
};

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

/// Since when nobody runs that a run is to hit, and since when nobody has had the name.
#[derive(Debug, Default)]
struct Idle {
    nobody_runs: Option<Instant>,
    nobody_is_there: Option<Instant>,
}

/// What a look told.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// Somebody runs, or may: who would know did not say.
    Runs,
    /// Whoever has the name is stopped.
    Stopped,
    /// Nobody has the name.
    Absent,
}

impl Idle {
    /// Takes what was told at `now`; whether all hope is lost that somebody comes back.
    fn is_final(&mut self, look: Look, now: Instant) -> bool {
        match look {
            Look::Runs => {
                *self = Self::default();
                false
            }
            Look::Stopped => {
                self.nobody_is_there = None;
                let since = self.nobody_runs.get_or_insert(now);
                now.duration_since(*since) >= STOPPED
            }
            Look::Absent => {
                self.nobody_runs.get_or_insert(now);
                let since = self.nobody_is_there.get_or_insert(now);
                now.duration_since(*since) >= PATIENCE
            }
        }
    }
}

impl Look {
    fn of(error: &TargetError) -> Self {
        if error.is_gone() {
            Self::Absent
        } else if error.is_stopped() {
            Self::Stopped
        } else {
            Self::Runs
        }
    }
}

/// What it takes to look again.
pub(super) struct Follower {
    maker: Arc<Maker>,
    /// How many seats there are.
    seats: usize,
    spared: HashSet<String>,
    /// Those that are hit with another: by which cgroups, and by which run.
    covered: HashMap<String, (Vec<PathBuf>, RunId)>,
    /// It was told that the host allows no more.
    told: bool,
}

impl Follower {
    pub fn of(plan: &GroupPlan) -> Self {
        // Who is hit with another is to be when the other is gone.
        let spared = plan.spared.iter();
        let spared = spared.filter(|spared| spared.why != Why::HitWithAnother);
        Self {
            maker: Arc::clone(&plan.maker),
            seats: plan.members.len(),
            spared: spared.map(|spared| spared.member.id.clone()).collect(),
            covered: HashMap::new(),
            told: false,
        }
    }

    /// Ends with the group.
    pub fn start(mut self, id: &RunId, commands: &Sender<Command>) {
        let (of, commands) = (id.clone(), commands.clone());
        let work = move || self.follow(&of, &commands);
        let thread = std::thread::Builder::new().name("follower".into());
        if let Err(error) = thread.spawn(work) {
            tracing::warn!(run = id, "nobody looks for restarted targets: {error}");
        }
    }

    fn follow(&mut self, id: &RunId, commands: &Sender<Command>) {
        let mut watch = self
            .maker
            .watch()
            .inspect_err(|error| tracing::warn!(run = id, "looks once a second: {error}"))
            .ok();
        let (mut idle, mut looked, mut vacant_since) = (Idle::default(), Instant::now(), None);
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
            let seats = self.seats(&seated);
            match self.maker.again(&seats) {
                Ok(now) => {
                    idle = Idle::default();
                    if let Some(watch) = &mut watch {
                        let members = now.seated.iter().chain(&now.new).cloned();
                        // Without it, it is looked once in a while.
                        let _limits = watch.follow(&members.collect::<Vec<_>>());
                    }
                    self.join(id, &seated, &now, commands);
                }
                Err(why) => {
                    tracing::debug!(run = id, "{why}");
                    let is_final = idle.is_final(Look::of(&why), Instant::now());
                    if is_final && !seated.has_processes {
                        let gone = Command::GroupGone(id.clone(), why.to_string());
                        commands.send(gone).ok();
                        return;
                    }
                }
            }
        }
    }

    /// What was found out of them before, as far as it still holds.
    fn seats(&mut self, seated: &Seated) -> Seats {
        self.covered
            .retain(|_, (_, by)| seated.alive.values().any(|(run, _)| run == by));
        let covered = self.covered.iter();
        Seats {
            drawn: seated.members.clone(),
            spared: self.spared.clone(),
            covered: covered
                .map(|(id, (cgroups, _))| (id.clone(), cgroups.clone()))
                .collect(),
            many: self.seats,
        }
    }

    fn join(&mut self, id: &RunId, seated: &Seated, now: &Now, commands: &Sender<Command>) {
        self.covered.retain(|id, _| now.covered.contains(id));
        let lives: Vec<_> = now
            .seated
            .iter()
            .map(|member| self.maker.incarnation(member))
            .collect();
        // Of a pod that was made anew the old namespace is there for as long as it is under fault.
        for (life, (run, who)) in &seated.alive {
            let mut now = now.seated.iter().zip(&lives).filter(|(m, _)| m.id == *who);
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
        let starts =
            |life: Option<Incarnation>| life.is_some_and(|life| !seated.alive.contains_key(&life));
        for (member, life) in now.seated.iter().zip(lives) {
            if starts(life) {
                self.take_seat(id, seated, member, &now.excluded, commands);
            }
        }
        let (mut vacant, mut room) = (now.vacant, now.room);
        for member in &now.new {
            if vacant == 0 {
                break;
            }
            if room == 0 {
                self.tell_of_share(id, commands);
                break;
            }
            if !starts(self.maker.incarnation(member)) {
                continue;
            }
            match self.take_seat(id, seated, member, &now.excluded, commands) {
                Some(Joined::Armed) => (vacant, room) = (vacant - 1, room - 1),
                Some(Joined::Covered(_)) => room -= 1,
                None => {}
            }
        }
    }

    fn tell_of_share(&mut self, id: &RunId, commands: &Sender<Command>) {
        if !std::mem::replace(&mut self.told, true) {
            let note = "no fault is added for others that came: this host allows no larger share of those that answer (`--max-share` of `chaosd serve`)";
            commands.send(Command::Note(id.clone(), note.into())).ok();
        }
    }

    /// `None`: it is not hit.
    fn take_seat(
        &mut self,
        id: &RunId,
        seated: &Seated,
        member: &Member,
        excluded: &[Member],
        commands: &Sender<Command>,
    ) -> Option<Joined> {
        if seated.dismissed.contains(&member.id) {
            return None;
        }
        // What has just started may lack a process or an address yet: it is looked again.
        let joined = match self.maker.plan_again(member, excluded) {
            Ok(None) => return None,
            Ok(Some(plan)) => make_ready(&plan.plan).and_then(|()| {
                let join = |reply| Command::Join(id.clone(), Box::new(plan), reply);
                ask(commands, join).unwrap_or(Ok(Joined::Armed))
            }),
            Err(error) => {
                tracing::debug!(run = id, "{}: {error}", member.label);
                return None;
            }
        };
        let warn = |error: &EngineError| tracing::warn!(run = id, "{}: {error}", member.label);
        let joined = joined.inspect_err(warn).ok();
        if let Some(Joined::Covered(by)) = &joined {
            let known = (member.cgroups.clone(), by.clone());
            self.covered.insert(member.id.clone(), known);
        }
        joined
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

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many seconds all hope is lost, with these looks.
    fn lost(looks: &[(u64, Look)]) -> Option<u64> {
        let (mut idle, began) = (Idle::default(), Instant::now());
        let mut looks = looks.iter();
        let is_final =
            |(at, look): &&(u64, Look)| idle.is_final(*look, began + Duration::from_secs(*at));
        looks.find(is_final).map(|(at, _)| *at)
    }

    #[test]
    fn a_name_that_was_free_for_a_moment_after_a_long_stop_is_waited_for() {
        use Look::{Absent, Runs, Stopped};
        assert_eq!(lost(&[(0, Stopped), (15, Stopped), (16, Absent)]), None);
        let again = [(0, Stopped), (15, Absent), (16, Stopped), (30, Absent)];
        assert_eq!(lost(&again), None);
        assert_eq!(lost(&[(0, Absent), (9, Runs), (12, Absent)]), None);
        assert_eq!(lost(&[(5, Absent), (14, Absent), (15, Absent)]), Some(15));
    }

    #[test]
    fn one_that_is_stopped_has_its_time_since_it_ran() {
        use Look::{Absent, Runs, Stopped};
        assert_eq!(
            lost(&[(0, Stopped), (329, Stopped), (330, Stopped)]),
            Some(330)
        );
        assert_eq!(lost(&[(0, Stopped), (200, Runs), (400, Stopped)]), None);
        assert_eq!(
            lost(&[(0, Stopped), (5, Absent), (330, Stopped)]),
            Some(330)
        );
    }
}
