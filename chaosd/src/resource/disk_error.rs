//! `disk-error`: calls on files fail.
//!
//! BPF programs at the hooks of the kernel's security modules decide call by call, so that what was
//! open before is hit too. They hold until a time that each sign of life moves on, at most to the
//! run's end.

mod place;

use std::{
    os::fd::AsFd as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    bpf::{
        LEASE_NS,
        files::{self, FileErrors, FileRule, Kernel},
    },
    clock::now_ns,
    plan::Scope,
    process::{self, Spared},
    profile::{DiskError, Operation},
    report::Verdict,
    undo::RevertReport,
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault};
use place::Place;

/// How often it looks for those that are to be spared: SSH sessions come and go.
const LOOK: Duration = Duration::from_secs(2);
/// Mounts that are written out; the rest are counted.
const SHOWN: usize = 3;

impl ResourceFault for DiskError {
    fn what(&self) -> String {
        let operations: Vec<&str> = self.operations.iter().map(|o| o.name()).collect();
        format!(
            "lets {} of {} on {} fail with {}",
            self.rate,
            operations.join(", "),
            self.path.display(),
            self.errno
        )
    }

    fn bind(&self, scope: &Scope, seed: u64) -> Result<Arc<dyn Bound>, BindError> {
        let refused = |e: &dyn std::error::Error| BindError(crate::undo::chain(e));
        let kernel = Kernel::look().map_err(|e| refused(&e))?;
        let place = Place::find(&self.path).map_err(|e| refused(&e))?;
        let of = match (scope.pid, &scope.cgroup) {
            (Some(pid), _) => Of::Process(process(pid)?),
            (None, Some(cgroup)) => Of::Cgroup(cgroup.id, cgroup.level),
            (None, None) => Of::Host,
        };
        Ok(Arc::new(Errors {
            asked: self.clone(),
            kernel,
            place,
            of,
            seed,
            ready: Mutex::new(None),
        }))
    }
}

/// A process that may be hit.
fn process(pid: i32) -> Result<u32, BindError> {
    let pid = u32::try_from(pid).unwrap_or_default();
    let all =
        process::all().map_err(|e| BindError(format!("failed to list the processes: {e}")))?;
    let spared = Spared::among(&all);
    let stat = all.iter().find(|stat| stat.who.pid == pid);
    match stat.and_then(|stat| Some((stat, spared.why(stat)?))) {
        Some((stat, why)) => Err(BindError(format!(
            "process {} is spared: {why}; hit another",
            stat.who
        ))),
        None => Ok(pid),
    }
}

/// Whose calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Host,
    /// Id and depth.
    Cgroup(u64, u32),
    Process(u32),
}

/// The fault on this host.
#[derive(Debug)]
struct Errors {
    asked: DiskError,
    kernel: Kernel,
    place: Place,
    of: Of,
    seed: u64,
    /// Made ready.
    ready: Mutex<Option<FileErrors>>,
}

impl Errors {
    fn attach(&self) -> Result<FileErrors, ActError> {
        let (cgroup, process) = match self.of {
            Of::Host => (None, None),
            Of::Cgroup(id, level) => (Some((id, level)), None),
            Of::Process(pid) => (None, Some(pid)),
        };
        let bits = self.asked.operations.iter().map(|o| 1 << *o as u32);
        let rule = FileRule {
            place: self.place.file.as_fd(),
            whole: self.place.whole,
            errno: self.asked.errno.number(),
            operations: bits.sum(),
            seed: self.seed,
            cgroup,
            process,
        };
        FileErrors::attach(&self.kernel, &rule).map_err(|error| refused(&error))
    }

    fn ready(&self) -> MutexGuard<'_, Option<FileErrors>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn does(&self, operation: Operation) -> bool {
        self.asked.operations.contains(&operation)
    }

    /// The one that ends it, at least.
    fn keeps_programs_from_starting(&self) -> bool {
        let ours = std::env::current_exe();
        (self.does(Operation::Open) || self.does(Operation::Read))
            && ours.is_ok_and(|program| self.place.covers(&program))
    }
}

impl Bound for Errors {
    fn is_on_one_process(&self) -> bool {
        matches!(self.of, Of::Process(_))
    }

    fn mechanism(&self) -> String {
        format!(
            "BPF programs at the kernel's security hooks (LSM), on {}",
            self.place
        )
    }

    fn undo(&self) -> String {
        "one store disarms it; the programs go with chaosd's descriptors".into()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let below = self.place.mounts_below();
        if !below.is_empty() {
            let shown: Vec<String> = below
                .iter()
                .take(SHOWN)
                .map(|mount| mount.display().to_string())
                .collect();
            let more = match below.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            notes.push(format!(
                "does not reach what is mounted below its path: {}{more}",
                shown.join(", ")
            ));
        }
        if self.does(Operation::Read) || self.does(Operation::Write) {
            notes.push(
                "misses fsync, and memory that is mapped to files: the kernel asks no security module about these".into(),
            );
        }
        if self.does(Operation::Open) && !self.does(Operation::Create) {
            notes.push(
                "lets a new file be made before its open fails: name create beside open to keep it from being".into(),
            );
        }
        if self.of == Of::Host && self.keeps_programs_from_starting() {
            notes.push(
                "keeps chaosd's own program from being started: `chaosd revert` works from an SSH session, else it lasts until its time is up".into(),
            );
        }
        match self.of {
            Of::Host => notes.push(
                "spares chaosd and what it runs below, PID 1, the kernel's threads, and SSH sessions with all that was started in them: look at it from elsewhere".into(),
            ),
            Of::Cgroup(..) => {}
            Of::Process(_) => notes.push("hits that process alone, not its children".into()),
        }
        notes
    }

    fn prepare(&self) -> Result<(), ActError> {
        let programs = self.attach()?;
        *self.ready() = Some(programs);
        Ok(())
    }

    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError> {
        let ready = self.ready().take();
        let programs = ready.map_or_else(|| self.attach(), Ok)?;
        let mut failing = Failing {
            asked: self.asked.clone(),
            of: self.of,
            place: self.place.clone(),
            run_for: host.run_for,
            programs,
            until_ns: None,
            looked: Duration::ZERO,
        };
        failing.spare()?;
        Ok(Box::new(failing))
    }
}

fn refused(error: &files::FilesError) -> ActError {
    ActError::Refused {
        what: "let calls on files fail".into(),
        source: crate::undo::chain(error).into(),
    }
}

/// The fault in force.
struct Failing {
    // Declared, and so dropped, first: the place is known by an address while its file is held.
    programs: FileErrors,
    asked: DiskError,
    of: Of,
    place: Place,
    run_for: Duration,
    /// Until when it has vouched for the programs.
    until_ns: Option<u64>,
    /// When it looked for those to spare, since the run began.
    looked: Duration,
}

impl Failing {
    fn spare(&mut self) -> Result<(), ActError> {
        let all = process::all().map_err(|source| ActError::Refused {
            what: "look for processes to spare".into(),
            source: source.into(),
        })?;
        let spared = Spared::among(&all);
        // The kernel's own threads are known as such.
        let processes = (all.iter())
            .filter(|stat| !stat.kernel && spared.why(stat).is_some())
            .map(|stat| stat.who.pid);
        // Who names a cgroup means all that is in it.
        let sessions = (all.iter())
            .filter(|stat| self.of == Of::Host && spared.is_login(stat))
            .map(|stat| stat.session);
        self.programs
            .spare(processes, sessions)
            .map_err(|error| refused(&error))
    }
}

impl Acting for Failing {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        let clock = now_ns();
        let left = self.run_for.saturating_sub(now.since);
        let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "0 to 2^32 is exact in f64 and fits"
        )]
        let rate = (self.asked.rate.fixed_point() as f64 * now.intensity).round() as u64;
        // It was late, and the programs have let go: its watchdog may have ended it, which is looked at
        // before the next time.
        if self.until_ns.take().is_some_and(|until| until <= clock) {
            return Ok(None);
        }
        let until = clock.saturating_add(left.min(LEASE_NS));
        self.until_ns = Some(until);
        self.programs.vouch(rate, until);
        if now.since >= self.looked + LOOK {
            self.looked = now.since;
            self.spare()?;
        }
        Ok(None)
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let Ok(counts) = self.programs.counts() else {
            let effect = Effect {
                told: "could not be counted".into(),
                asked: None,
                reached: None,
                unit: String::new(),
            };
            return (effect, Verdict::Ineffective);
        };
        let seen: u64 = counts.iter().map(|count| count.seen).sum();
        let failed: u64 = counts.iter().map(|count| count.failed).sum();
        let each: Vec<String> = (self.asked.operations.iter())
            .map(|operation| {
                let count = counts[*operation as usize];
                format!("{operation} {} of {}", count.failed, count.seen)
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let reached = (seen > 0).then(|| failed as f64 * 100.0 / seen as f64);
        let effect = Effect {
            told: format!(
                "let {failed} of {seen} calls on {} fail with {}: {}",
                self.place,
                self.asked.errno,
                each.join(", ")
            ),
            asked: Some(self.asked.rate.get()),
            reached,
            unit: "percent".into(),
        };
        let verdict = match (seen, failed) {
            (_, 1..) => Verdict::Effective,
            (1.., 0) => Verdict::Spared,
            (0, 0) => Verdict::Ineffective,
        };
        (effect, verdict)
    }

    fn end(mut self: Box<Self>) -> RevertReport {
        self.programs.vouch(0, 0);
        // Nothing fails any more, and the file is let go, so that its file system can be unmounted.
        // Taking programs off takes the kernel a while each.
        let Self {
            programs, place, ..
        } = *self;
        drop(place);
        let name = std::thread::Builder::new().name("detach".into());
        if let Err(error) = name.spawn(move || drop(programs)) {
            tracing::debug!("programs of files are taken off here: {error}");
        }
        RevertReport::default()
    }
}
