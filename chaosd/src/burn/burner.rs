//! The parent's handle of one burner.

use std::{
    fs,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::{BurnError, Progress, VERB, Work, clock::now_ns, demand::Order, page::Page};
use crate::{
    child::{Handle, Heard, on_a_thread_that_lasts},
    sys::process::renice,
};

/// How long it may take to start, on a machine that is busy.
pub(super) const READY_TIME: Duration = Duration::from_secs(10);

/// A burner. Dropped, it is killed. It dies with this process.
#[derive(Debug)]
#[must_use = "a burner that is dropped is killed"]
pub struct Burner {
    child: Handle,
    page: Page,
    last: Progress,
}

impl Burner {
    /// Starts a burner for each piece of work, side by side, and moves them into cgroups: `into` are
    /// their `cgroup.procs` files, of either version. They burn nothing until [`Burner::vouch`] says that
    /// something is wanted.
    ///
    /// Waits until they are ready, which takes milliseconds, and up to 10 s on a machine or a disk
    /// that is busy.
    pub fn start_all(work: &[Work], into: &[PathBuf]) -> Result<Vec<Self>, BurnError> {
        // The very binary that runs, even if its file has been replaced.
        let program = Path::new("/proc/self/exe");
        let since = Instant::now();
        let begun: Result<Vec<_>, _> = work
            .iter()
            .map(|work| Self::begin(Handle::command(program), work))
            .collect();
        let burners = begun?;
        for (burner, work) in burners.iter().zip(work) {
            burner.settle(work, into, since)?;
        }
        Ok(burners)
    }

    /// Starts one, as [`Burner::start_all`] does, by another binary, of which the first argument [`VERB`]
    /// leads to [`super::main`].
    pub fn start_by(program: &Path, work: &Work, into: &[PathBuf]) -> Result<Self, BurnError> {
        Self::start_as(Handle::command(program), work, into)
    }

    pub(super) fn start_as(
        command: Command,
        work: &Work,
        into: &[PathBuf],
    ) -> Result<Self, BurnError> {
        let since = Instant::now();
        let burner = Self::begin(command, work)?;
        burner.settle(work, into, since)?;
        Ok(burner)
    }

    fn begin(command: Command, work: &Work) -> Result<Self, BurnError> {
        work.check()?;
        let start = BurnError::Start;
        let (page, page_fd) = Page::create().map_err(start)?;
        let work = work.clone();
        let child = on_a_thread_that_lasts(move || Handle::start(command, VERB, &work, page_fd));
        Ok(Self {
            child: child.map_err(start)?,
            page,
            last: Progress::default(),
        })
    }

    /// Waits until it is ready, and puts it where it belongs.
    fn settle(&self, work: &Work, into: &[PathBuf], since: Instant) -> Result<(), BurnError> {
        let left = READY_TIME.saturating_sub(since.elapsed());
        if !self.child.speaks_within(left) {
            return Err(BurnError::NotReady);
        }
        match self.child.hear() {
            Heard::Ready => self.place(work, into),
            Heard::Unable(what) => Err(BurnError::Unable(what)),
            Heard::Nothing | Heard::Gone => Err(BurnError::Gone),
        }
    }

    /// All of this is done from here: a burner in a cgroup that is frozen or out of its quota could
    /// not, and we would wait for it.
    fn place(&self, work: &Work, into: &[PathBuf]) -> Result<(), BurnError> {
        let pid = self.pid().to_string();
        for path in into {
            fs::write(path, &pid).map_err(|source| BurnError::Enter {
                path: path.clone(),
                source,
            })?;
        }
        match work {
            // After the cgroups: one with a cpuset sets the affinity of those that enter
            // (kernel/cgroup/cpuset.c, `cpuset_attach_task`).
            Work::Cpu { cpu, nice, .. } => {
                self.pin(*cpu)?;
                self.renice(*nice)?;
            }
            Work::Memory { .. } | Work::Io { .. } => {}
        }
        Ok(())
    }

    fn pin(&self, cpu: u32) -> Result<(), BurnError> {
        let mut set = CpuSet::new();
        usize::try_from(cpu)
            .map_err(|_| Errno::EINVAL)
            .and_then(|n| set.set(n))
            .and_then(|()| {
                sched_setaffinity(Pid::from_raw(self.pid().try_into().unwrap_or(-1)), &set)
            })
            .map_err(|errno| BurnError::Pin {
                cpu,
                source: errno.into(),
            })
    }

    fn renice(&self, nice: i8) -> Result<(), BurnError> {
        let error = |source| BurnError::Nice { nice, source };
        // Also when it is 0: ours, which it was born with, may be another.
        renice(self.pid(), nice).map_err(error)?;
        if nice == 0 {
            // A session begins with it.
            return Ok(());
        }
        // In the root cgroup, and where CONFIG_SCHED_AUTOGROUP is on, time is shared between
        // sessions first, and this is what counts for its own (sched(7)).
        match fs::write(format!("/proc/{}/autogroup", self.pid()), nice.to_string()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(error(source)),
            _ => Ok(()),
        }
    }

    /// Says that we live, and how much is wanted from now on: 0 rests, 1 is all of the work. Never
    /// blocks. To be called well within every [`super::LEASE`], or the burner rests.
    pub fn vouch(&self, intensity: f64) -> Result<(), BurnError> {
        self.page.order(Order::new(now_ns(), intensity));
        if self.child.wake() {
            return Ok(());
        }
        // It may have said why.
        Err(match self.child.hear() {
            Heard::Unable(what) => BurnError::Unable(what),
            Heard::Ready | Heard::Nothing | Heard::Gone => BurnError::Gone,
        })
    }

    /// What it has done so far, also when it is dead.
    pub fn progress(&mut self) -> Progress {
        if let Some(progress) = self.page.progress() {
            self.last = progress;
        }
        self.last
    }

    /// Kills it, and does not wait for that: dropping it does.
    pub fn kill(&self) {
        self.child.kill();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Readable when it has died.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }
}
