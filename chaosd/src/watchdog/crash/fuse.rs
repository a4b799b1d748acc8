//! A machine that kills somebody at a step.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    env,
    error::Error,
    fs, io,
    io::Write,
    os::fd::BorrowedFd,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::signal::{Signal, raise};

use super::scene::signal;
use crate::{
    clock::Standing,
    process::Identity,
    undo::{FileOf, Filter, Held, Outcome, Real, System},
};

pub(super) const FENCED: &str = "CHAOSD_TEST_FENCED";
/// At which of its steps a watchdog dies that undoes things.
pub(super) const REPLAY_DIES: &str = "CHAOSD_TEST_REPLAY_DIES";

/// The machine, on which a watchdog dies at the step that it was told.
pub(super) fn watchdogs_machine() -> Fused {
    let at = env::var(REPLAY_DIES).ok();
    let fuse = Fuse::new(
        at.map_or(usize::MAX, |n| n.parse().unwrap()),
        Victim::Parent,
    );
    Fused::new(machine(), &Arc::new(fuse))
}

/// The machine, with planes that note in a file when they are fenced.
pub(super) fn machine() -> Real {
    Real::new(
        |_, _, _| Ok(false),
        |id, name| {
            let path = env::var_os(FENCED).ok_or("no file to note it in")?;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)?;
            writeln!(file, "{id} {name}")?;
            Ok(true)
        },
        |_, _, _, _| Ok(Outcome::AlreadyGone),
    )
}

/// Who dies at a step of the parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Parent,
    Watchdog,
    Both,
}

impl Victim {
    pub(super) const ALL: [Self; 3] = [Self::Parent, Self::Watchdog, Self::Both];

    /// The role of a parent where this one dies at a step.
    pub(super) fn role(self, step: usize) -> String {
        format!("{self:?}-{step}")
    }

    pub(super) fn of(role: &str) -> Option<(Self, usize)> {
        let (word, step) = role.split_once('-')?;
        let victim = Self::ALL.into_iter().find(|v| format!("{v:?}") == word)?;
        Some((victim, step.parse().ok()?))
    }
}

/// Kills somebody when a counter comes to a number.
pub(super) struct Fuse {
    at: usize,
    victim: Victim,
    count: AtomicUsize,
    /// 0: there is none.
    watchdog: AtomicUsize,
}

impl Fuse {
    pub(super) fn new(at: usize, victim: Victim) -> Self {
        Self {
            at,
            victim,
            count: AtomicUsize::new(0),
            watchdog: AtomicUsize::new(0),
        }
    }

    /// Its process; 0: there is none.
    pub(super) fn is_watched_by(&self, pid: u32) {
        let pid = usize::try_from(pid).unwrap();
        self.watchdog.store(pid, Ordering::Relaxed);
    }

    pub(super) fn step(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) != self.at {
            return;
        }
        if self.victim != Victim::Parent {
            let watchdog = self.watchdog.load(Ordering::Relaxed);
            if watchdog != 0 {
                signal(i32::try_from(watchdog).unwrap(), Signal::SIGKILL);
            }
        }
        if self.victim != Victim::Watchdog {
            raise(Signal::SIGKILL).unwrap();
        }
    }
}

/// A machine on which every write may be the last.
pub(super) struct Fused(Real, Arc<Fuse>);

impl Fused {
    pub(super) fn new(real: Real, fuse: &Arc<Fuse>) -> Self {
        Self(real, Arc::clone(fuse))
    }
}

impl System for Fused {
    fn delete_link(
        &self,
        netns: BorrowedFd<'_>,
        name: &str,
        alias: &str,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.0.delete_link(netns, name, alias)
    }

    fn read_sysctl(&self, netns: BorrowedFd<'_>, key: &str) -> io::Result<Option<String>> {
        self.0.read_sysctl(netns, key)
    }

    fn write_sysctl(&self, netns: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()> {
        self.1.step();
        self.0.write_sysctl(netns, key, value)?;
        self.1.step();
        Ok(())
    }

    fn fence(&self, id: u32, name: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.1.step();
        self.0.fence(id, name)
    }

    fn remove_filters(
        &self,
        netns: BorrowedFd<'_>,
        index: u32,
        filters: &[Filter],
        clsact: bool,
    ) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
        self.0.remove_filters(netns, index, filters, clsact)
    }

    fn delete_file(&self, file: &FileOf) -> io::Result<bool> {
        self.1.step();
        self.0.delete_file(file)
    }

    fn empty_file(&self, file: &Held) -> io::Result<bool> {
        self.1.step();
        self.0.empty_file(file)
    }

    fn go_on(&self, who: &Identity) -> io::Result<bool> {
        self.1.step();
        self.0.go_on(who)
    }

    fn read_control(&self, cgroup: &Path, id: u64, file: &str) -> io::Result<Option<String>> {
        self.1.step();
        self.0.read_control(cgroup, id, file)
    }

    fn write_control(&self, cgroup: &Path, id: u64, file: &str, text: &str) -> io::Result<()> {
        self.1.step();
        self.0.write_control(cgroup, id, file, text)?;
        self.1.step();
        Ok(())
    }

    fn uses_controller(
        &self,
        cgroup: &Path,
        id: u64,
        controller: &str,
    ) -> io::Result<Option<String>> {
        self.0.uses_controller(cgroup, id, controller)
    }

    fn step_clock(&self, decide: &mut dyn FnMut(&Standing) -> Option<i64>) -> io::Result<()> {
        self.1.step();
        self.0.step_clock(decide)?;
        self.1.step();
        Ok(())
    }
}
