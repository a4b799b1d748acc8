//! `memory`: memory is taken, resident, in the target's cgroup, and given back.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    burn::{Guard, Work},
    cgroup::{Controller, Place, Version},
    plan::Scope,
    profile::{Memory, MemoryOf, Much, units::Size},
    report::Verdict,
    undo::RevertReport,
};

use super::{
    ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault,
    burners::{Burners, Ordered},
};

/// What stays free of a limit, in percent.
const KEEP: f64 = 5.0;
/// The kernel says "no limit" by a number that no machine has.
const NO_LIMIT: u64 = 1 << 60;

impl ResourceFault for Memory {
    fn what(&self) -> String {
        let of = match self.of {
            MemoryOf::Limit => "the target's limit",
            MemoryOf::Host => "the host's memory",
        };
        match self.much {
            Much::Size(size) => format!("takes {size} of memory"),
            Much::Percent(percent) => format!("takes {percent} of {of}"),
            Much::Leave(size) => format!("takes all but {size} of {of}"),
        }
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let place = scope
            .cgroup
            .as_ref()
            .and_then(|cgroup| Controller::Memory.place(cgroup).ok())
            .filter(|place| place.enable.is_empty());
        let limits = place.as_ref().map(limits).unwrap_or_default();
        let lowest = limits.iter().min_by_key(|limit| limit.most);
        let host = Meminfo::read()?;
        let (most, used) = match (self.of, lowest) {
            (MemoryOf::Limit, Some(limit)) => (limit.most, limit.used),
            _ => (host.total, host.total.saturating_sub(host.available)),
        };
        let bytes = match self.much {
            Much::Size(size) => size.bytes(),
            Much::Percent(percent) => share(most, percent.get()),
            Much::Leave(size) => most.saturating_sub(used).saturating_sub(size.bytes()),
        };
        if bytes == 0 {
            let leave = match self.much {
                Much::Leave(size) => format!(", and {size} are to be left"),
                Much::Size(_) | Much::Percent(_) => String::new(),
            };
            return Err(BindError(format!(
                "there is nothing to take: {} of {} are in use{leave}",
                Size::about(used),
                Size::about(most)
            )));
        }
        let mut notes = Vec::new();
        let goes_by_limit = self.of == MemoryOf::Limit && !matches!(self.much, Much::Size(_));
        if goes_by_limit && scope.cgroup.is_some() && lowest.is_none() {
            notes.push(format!(
                "goes by all of the host's memory ({}), for nothing limits the target's",
                Size::about(host.total)
            ));
        }
        let mut guards = Vec::new();
        if !self.oom {
            let room = room(&limits, &host);
            if room < bytes {
                notes.push(format!(
                    "stops before a limit: at {}, or later where the page cache gives way",
                    Size::about(room)
                ));
            }
            guards.extend(limits.into_iter().map(|limit| limit.guard));
            guards.push(Guard::Host { keep_percent: KEEP });
        }
        let work = Work::Memory {
            bytes,
            lock: !self.swap,
            guards,
        };
        let takes_all = place.as_ref().and_then(kills_all);
        Ok(Arc::new(Hoard {
            burners: Ordered::new(vec![work], scope),
            bytes,
            oom: self.oom,
            takes_all,
            notes,
        }))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "to a byte in a thousand million million"
)]
fn share(most: u64, percent: f64) -> u64 {
    (most as f64 * percent / 100.0) as u64
}

/// A limit of the target's, or of a cgroup above it.
struct Limit {
    most: u64,
    used: u64,
    guard: Guard,
}

/// What the guards leave, as things stand.
fn room(limits: &[Limit], host: &Meminfo) -> u64 {
    let keeps = |most: u64, used: u64| share(most, 100.0 - KEEP).saturating_sub(used);
    let of_host = keeps(host.total, host.total.saturating_sub(host.available));
    let rooms = limits.iter().map(|limit| keeps(limit.most, limit.used));
    rooms.min().unwrap_or(u64::MAX).min(of_host)
}

/// From the target up to the root, those that limit.
fn limits(place: &Place) -> Vec<Limit> {
    let (limit, current) = match place.version {
        Version::V2 => ("memory.max", "memory.current"),
        Version::V1 => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    };
    let read = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let of = |directory: &Path| {
        let (limit, current) = (directory.join(limit), directory.join(current));
        // `max` is no number.
        let most = read(&limit).filter(|most| *most < NO_LIMIT)?;
        Some(Limit {
            most,
            used: read(&current)?,
            guard: Guard::Cgroup {
                limit,
                current,
                stat: Some(directory.join("memory.stat")),
                keep_percent: KEEP,
            },
        })
    };
    let inside = |directory: &&Path| directory.starts_with(&place.root);
    place
        .directory
        .ancestors()
        .take_while(inside)
        .filter_map(of)
        .collect()
}

/// The cgroup of which the OOM killer takes all processes with the first
/// (Documentation/admin-guide/cgroup-v2.rst, `memory.oom.group`).
fn kills_all(place: &Place) -> Option<PathBuf> {
    let set = |directory: &&Path| {
        let text = fs::read_to_string(directory.join("memory.oom.group"));
        text.is_ok_and(|text| text.trim() == "1")
    };
    let inside = |directory: &&Path| directory.starts_with(&place.root);
    let all = place.directory.ancestors().take_while(inside);
    all.filter(set).last().map(Path::to_owned)
}

/// How many processes the OOM killer has taken since the boot, for whichever limit (`mm/oom_kill.c`,
/// `__oom_kill_process`).
fn oom_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// In bytes (`proc_meminfo(5)`).
struct Meminfo {
    total: u64,
    available: u64,
}

impl Meminfo {
    fn read() -> Result<Self, BindError> {
        let text = fs::read_to_string("/proc/meminfo");
        let text = text.map_err(|e| BindError(format!("failed to read /proc/meminfo: {e}")))?;
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let number = line.trim_start_matches(':').trim().split(' ').next()?;
            Some(number.parse::<u64>().ok()? * 1024)
        };
        let whole = of("MemTotal").zip(of("MemAvailable"));
        let (total, available) =
            whole.ok_or_else(|| BindError("/proc/meminfo has no MemAvailable".into()))?;
        Ok(Self { total, available })
    }
}

#[derive(Debug)]
struct Hoard {
    burners: Ordered,
    bytes: u64,
    oom: bool,
    /// See [`kills_all`].
    takes_all: Option<PathBuf>,
    /// Of what was found, as sentences without subject.
    notes: Vec<String>,
}

impl Bound for Hoard {
    fn mechanism(&self) -> String {
        format!(
            "a process that holds {}, in {}",
            Size::about(self.bytes),
            self.burners.entrances()
        )
    }

    fn undo(&self) -> String {
        "the process is killed; it dies with chaosd by itself".into()
    }

    fn notes(&self) -> Vec<String> {
        if !self.oom {
            return self.notes.clone();
        }
        let first = "goes on until the OOM killer comes: its own process is the first to die, and is not started again";
        let all = self.takes_all.as_ref().map(|directory| {
            format!(
                "brings down all of {} with it, for memory.oom.group is set there",
                directory.display()
            )
        });
        let all = [Some(first.to_owned()), all].into_iter().flatten();
        self.notes.iter().cloned().chain(all).collect()
    }

    fn prepare(&self) -> Result<(), ActError> {
        self.burners.prepare()
    }

    fn arm(&self, _: Host) -> Result<Box<dyn Acting>, ActError> {
        Ok(Box::new(Holding {
            burners: self.burners.take()?,
            most: 0,
            oom: self.oom,
            kills_before: oom_kills(),
            taken: None,
        }))
    }
}

struct Holding {
    burners: Burners,
    /// The most that it held.
    most: u64,
    /// It may be the end of it.
    oom: bool,
    kills_before: u64,
    /// Who took its process, which is not started again: the memory may be needed.
    taken: Option<&'static str>,
}

impl Acting for Holding {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if self.taken.is_some() {
            return Ok(None);
        }
        if self.burners.has_died() {
            let by_kernel = oom_kills() > self.kills_before;
            let who = if by_kernel {
                "the OOM killer"
            } else {
                "somebody else"
            };
            self.taken = Some(who);
            if by_kernel && self.oom {
                return Ok(None);
            }
            return Err(ActError::Refused {
                what: "hold the memory".into(),
                source: format!("{who} took its process").into(),
            });
        }
        self.burners.act(now).map(|()| None)
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let progress = self.burners.progress();
        let asked: u64 = progress.iter().map(|p| p.bytes_asked).sum();
        let held: u64 = progress.iter().map(|p| p.bytes_resident).sum();
        self.most = self.most.max(held);
        if let Some(who) = self.taken {
            let effect = self.was_taken(asked, who);
            return (effect, Verdict::Effective);
        }
        let guarded = if progress.iter().any(|p| p.held_back) {
            ": the rest would meet a limit"
        } else {
            ""
        };
        #[expect(clippy::cast_precision_loss, reason = "a number for people")]
        let effect = Effect {
            told: format!(
                "holds {} of {} asked for{guarded}",
                Size::about(held),
                Size::about(asked)
            ),
            asked: Some(asked as f64),
            reached: Some(held as f64),
            unit: "bytes".into(),
        };
        let verdict = if self.most > 0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }

    fn end(self: Box<Self>) -> RevertReport {
        self.burners.end()
    }
}

impl Holding {
    #[expect(clippy::cast_precision_loss, reason = "a number for people")]
    fn was_taken(&self, asked: u64, who: &str) -> Effect {
        Effect {
            told: format!(
                "held {} of {} asked for when {who} took it",
                Size::about(self.most),
                Size::about(asked)
            ),
            asked: Some(asked as f64),
            reached: Some(self.most as f64),
            unit: "bytes".into(),
        }
    }
}
