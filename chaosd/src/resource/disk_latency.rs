//! `disk-latency`: opening a file takes time, and so does each read.

use std::{fs, sync::Arc, time::Duration};

use crate::{
    cgroup,
    host::kernel_version,
    latency::{self, Counts, LatencyError, Listener, Whom, Work},
    mounts,
    plan::Scope,
    process::Stat,
    profile::DiskLatency,
    report::Verdict,
    undo::{RevertReport, chain},
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault};

impl ResourceFault for DiskLatency {
    fn what(&self) -> String {
        let ways = [("opens", self.open), ("reads", self.read)];
        let ways = ways.into_iter().filter_map(|(what, time)| {
            Some(format!("{what} by {}", humantime::format_duration(time?)))
        });
        let ways: Vec<String> = ways.collect();
        format!("delays {} in {}", ways.join(" and "), self.path.display())
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let why = |error: LatencyError| BindError(chain(&error));
        let directory = latency::probe(&self.path).map_err(why)?;
        // What the kernel calls a file knows no symbolic links.
        let path = fs::canonicalize(&self.path)
            .map_err(|e| BindError(format!("failed to find {}: {e}", self.path.display())))?;
        let mounts = mounts::read("/proc/self/mountinfo")
            .map_err(|e| BindError(format!("failed to list the mounts: {e}")))?;
        Ok(Arc::new(Waits {
            overlays: latency::overlays(&mounts, &path, kernel_version()),
            work: Work {
                path,
                open: self.open,
                read: self.read,
                whom: whom(scope)?,
            },
            directory,
        }))
    }
}

fn whom(scope: &Scope) -> Result<Whom, BindError> {
    if let Some(pid) = scope.pid {
        let stat = Stat::read(pid.cast_unsigned());
        let stat = stat.map_err(|e| BindError(format!("failed to look at process {pid}: {e}")))?;
        return Ok(Whom::Process(stat.who));
    }
    let Some(cgroup) = &scope.cgroup else {
        return Ok(Whom::Everybody);
    };
    let tree = cgroup::unified().map_err(|e| BindError(chain(&e)))?;
    let below = cgroup.path.strip_prefix(&tree).ok();
    let below = below.and_then(|below| below.to_str());
    let below = below.ok_or_else(|| {
        let (cgroup, tree) = (cgroup.path.display(), tree.display());
        BindError(format!("{cgroup} has no plain name below {tree}"))
    })?;
    Ok(Whom::Cgroup(format!("/{below}")))
}

#[derive(Debug)]
struct Waits {
    work: Work,
    directory: bool,
    /// What they make of it, in words.
    overlays: Vec<String>,
}

impl Bound for Waits {
    fn is_on_one_process(&self) -> bool {
        matches!(self.work.whom, Whom::Process(_))
    }

    fn mechanism(&self) -> String {
        let path = self.work.path.display();
        let mut events = Vec::new();
        events.extend(self.work.open.map(|_| "FAN_OPEN_PERM"));
        events.extend(self.work.read.map(|_| "FAN_ACCESS_PERM"));
        let events = events.join(" and ");
        if self.directory {
            format!("fanotify: {events} of the file system of {path}, answered late below {path}")
        } else {
            format!("fanotify: {events} of {path}, answered late")
        }
    }

    fn undo(&self) -> String {
        "the process that answers is killed, and whoever waits goes on; it dies with chaosd by itself"
            .into()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "does not delay writes, nor what is read by mmap".to_owned(),
            "keeps the file system busy: it cannot be unmounted meanwhile".to_owned(),
        ];
        if self.work.read.is_some() {
            notes.push(
                "delays reads of files that are opened from now on; by descriptors opened before only up to Linux 6.1"
                    .to_owned(),
            );
        }
        if self.directory {
            let what = match (self.work.open, self.work.read) {
                (Some(_), Some(_)) => "open and read",
                (Some(_), None) => "open",
                _ => "read",
            };
            notes.push(format!(
                "takes some 20 us of each {what} of whom it is not for, on the file system of {}; others are as fast as ever",
                self.work.path.display()
            ));
        }
        notes.extend(self.overlays.iter().cloned());
        notes
    }

    fn arm(&self, _: Host) -> Result<Box<dyn Acting>, ActError> {
        Ok(Box::new(Waiting {
            listener: Some(start(&self.work)?),
            work: self.work.clone(),
            before: Counts::default(),
            again: 0,
        }))
    }
}

fn start(work: &Work) -> Result<Listener, ActError> {
    Listener::start(work).map_err(|error| refused(&error))
}

fn refused(error: &LatencyError) -> ActError {
    ActError::Refused {
        what: "start a listener".into(),
        source: chain(error).into(),
    }
}

struct Waiting {
    work: Work,
    /// None: it has died, and another did not start.
    listener: Option<Listener>,
    /// Of those that have died.
    before: Counts,
    /// How many have.
    again: u32,
}

impl Waiting {
    fn counts(&self) -> Counts {
        let now = self.listener.as_ref().map(Listener::counts);
        self.before + now.unwrap_or_default()
    }

    /// What it did is not forgotten.
    fn lose(&mut self) {
        self.before = self.counts();
        self.listener = None;
    }
}

impl Acting for Waiting {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if let Some(listener) = &mut self.listener {
            match listener.vouch(now.intensity) {
                Ok(()) => return Ok(None),
                // Killed, stopped for too long, or we were late and it has left: it comes again.
                Err(LatencyError::Gone) => {}
                Err(error) => {
                    self.lose();
                    return Err(refused(&error));
                }
            }
            self.lose();
        }
        let mut listener = start(&self.work)?;
        listener
            .vouch(now.intensity)
            .map_err(|error| refused(&error))?;
        self.listener = Some(listener);
        self.again += 1;
        Ok(None)
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    fn effect(&mut self) -> (Effect, Verdict) {
        let counts = self.counts();
        let waits = counts.opens + counts.reads;
        let mean = |ns: u64| ns as f64 / waits.max(1) as f64 / 1e6;
        let mut told = vec![format!(
            "let {} opens and {} reads wait, {:.2} ms on average",
            counts.opens,
            counts.reads,
            mean(counts.waited_ns)
        )];
        if counts.hurried > 0 {
            told.push(format!("{} were let go before their time", counts.hurried));
        }
        if self.again > 0 {
            let again = self.again;
            told.push(format!(
                "its process died and was started again {again} times"
            ));
        }
        let acted = waits > 0;
        let effect = Effect {
            told: told.join("; "),
            asked: acted.then(|| mean(counts.asked_ns)),
            reached: acted.then(|| mean(counts.waited_ns)),
            unit: "milliseconds".into(),
        };
        let verdict = if acted {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }

    fn end(self: Box<Self>) -> RevertReport {
        // Killed, it has changed nothing that would have to be put back.
        drop(self.listener);
        RevertReport::default()
    }
}
