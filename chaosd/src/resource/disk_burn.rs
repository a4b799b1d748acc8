//! `disk-burn`: a disk is busy with reads and writes of somebody else, in the target's cgroup.
//!
//! Two children at most, one that reads and one that writes, each in a file without a name: they die
//! with chaosd, and their files with them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::sys::{
    statfs::{BTRFS_SUPER_MAGIC, TMPFS_MAGIC, statfs},
    statvfs::FsFlags,
};

use crate::{
    burn::{SPAN, Work},
    plan::Scope,
    profile::{DiskBurn, units::Size},
    report::Verdict,
    undo::RevertReport,
};

use super::{
    ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault,
    burners::{Burners, Ordered},
};

impl ResourceFault for DiskBurn {
    fn what(&self) -> String {
        let rate = |verb: &str, rate: Option<Size>| Some(format!("{verb} {}/s", rate?));
        let rates: Vec<String> = [rate("reads", self.read), rate("writes", self.write)]
            .into_iter()
            .flatten()
            .collect();
        format!(
            "{} in blocks of {} at {}",
            rates.join(" and "),
            self.block,
            self.path.display()
        )
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let failed = |e: io::Error| BindError(format!("{}: {e}", self.path.display()));
        let directory = fs::canonicalize(&self.path).map_err(failed)?;
        if !directory.is_dir() {
            return Err(BindError(format!(
                "{} is not a directory: name one on the disk that is to be busy",
                self.path.display()
            )));
        }
        let found = statfs(&directory).map_err(|errno| failed(errno.into()))?;
        if found.filesystem_type() == TMPFS_MAGIC {
            return Err(BindError(format!(
                "{} is in memory (tmpfs): no disk would be busy",
                self.path.display()
            )));
        }
        if found.flags().contains(FsFlags::ST_RDONLY) {
            return Err(BindError(format!(
                "{} is on a file system that is mounted read-only: also what is read there has to be written first",
                self.path.display()
            )));
        }
        let work = self.streams(&directory);
        let needed = SPAN * work.len() as u64;
        let free = found.blocks_available() * u64::try_from(found.block_size()).unwrap_or(1);
        // It is not to be what fills the disk.
        if free < needed + needed / 4 {
            return Err(BindError(format!(
                "{} has too little room for the {} MiB that are read and written there",
                self.path.display(),
                needed >> 20
            )));
        }
        Ok(Arc::new(Streams {
            flushes_more: found.filesystem_type() == BTRFS_SUPER_MAGIC
                && !self.direct
                && self.write.is_some(),
            burners: Ordered::new(work, scope),
            block: u64::from(self.block_bytes()),
            direct: self.direct,
            directory,
        }))
    }
}

impl DiskBurn {
    fn block_bytes(&self) -> u32 {
        u32::try_from(self.block.bytes()).unwrap_or(u32::MAX)
    }

    fn streams(&self, directory: &Path) -> Vec<Work> {
        let stream = |rate: Option<Size>, write| {
            Some(Work::Io {
                directory: directory.to_owned(),
                write,
                direct: self.direct,
                block: self.block_bytes(),
                bytes_per_second: rate?.bytes(),
            })
        };
        [stream(self.read, false), stream(self.write, true)]
            .into_iter()
            .flatten()
            .collect()
    }
}

#[derive(Debug)]
struct Streams {
    burners: Ordered,
    block: u64,
    direct: bool,
    directory: PathBuf,
    /// Each flush writes more than what was asked for.
    flushes_more: bool,
}

impl Bound for Streams {
    fn mechanism(&self) -> String {
        format!(
            "a process for each, in a file of {} MiB without a name in {}{}, in {}",
            SPAN >> 20,
            self.directory.display(),
            if self.direct { ", by O_DIRECT" } else { "" },
            self.burners.entrances()
        )
    }

    fn undo(&self) -> String {
        "the processes are killed; they die with chaosd by themselves, and their files with them"
            .into()
    }

    fn notes(&self) -> Vec<String> {
        let more = "writes more than was asked for, and reports that: with each flush btrfs writes what it knows of the file beside its blocks (direct: true does not flush)";
        let more = self.flushes_more.then(|| more.to_owned());
        let busy = "keeps the file system busy: it cannot be unmounted meanwhile".to_owned();
        [busy].into_iter().chain(more).collect()
    }

    fn prepare(&self) -> Result<(), ActError> {
        self.burners.prepare()
    }

    fn arm(&self, _: Host) -> Result<Box<dyn Acting>, ActError> {
        let burners = self.burners.take()?;
        let accounts = burners.pids().into_iter().map(Account::of).collect();
        Ok(Box::new(Busy {
            burners,
            writes: self.burners.work().iter().map(is_write).collect(),
            accounts,
            block: self.block,
            since: None,
        }))
    }
}

fn is_write(work: &Work) -> bool {
    matches!(work, Work::Io { write: true, .. })
}

/// What the kernel says of one process's I/O (`proc_pid_io(5)`): bytes that reached a disk, read and
/// written.
struct Account {
    pid: u32,
    /// Before it began: what is read had to be written. `None`: this kernel keeps no accounts.
    before: Option<(u64, u64)>,
    /// When it was looked at last.
    now: (u64, u64),
    /// Of those that were in its place, and died.
    others: (u64, u64),
}

impl Account {
    fn of(pid: u32) -> Self {
        let before = Self::read(pid);
        Self {
            pid,
            before,
            now: before.unwrap_or_default(),
            others: (0, 0),
        }
    }

    /// Looks again; `pid` is who is in its place now.
    fn look(&mut self, pid: u32) {
        if pid != self.pid {
            let others = self.since();
            *self = Self {
                others,
                ..Self::of(pid)
            };
        } else if let Some(now) = Self::read(pid) {
            self.now = now;
        }
    }

    fn since(&self) -> (u64, u64) {
        let before = self.before.unwrap_or(self.now);
        let of = |now: u64, before: u64, others: u64| now.saturating_sub(before) + others;
        (
            of(self.now.0, before.0, self.others.0),
            of(self.now.1, before.1, self.others.1),
        )
    }

    fn read(pid: u32) -> Option<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        of("read_bytes:").zip(of("write_bytes:"))
    }

    /// Since it began.
    fn bytes(&self, write: bool) -> Option<u64> {
        self.before?;
        let (read, written) = self.since();
        Some(if write { written } else { read })
    }
}

struct Busy {
    burners: Burners,
    /// Of each burner, whether it writes.
    writes: Vec<bool>,
    accounts: Vec<Account>,
    block: u64,
    since: Option<Instant>,
}

impl Busy {
    fn look(&mut self) {
        for (account, pid) in self.accounts.iter_mut().zip(self.burners.pids()) {
            account.look(pid);
        }
    }
}

impl Acting for Busy {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if now.intensity > 0.0 {
            self.since.get_or_insert_with(Instant::now);
        }
        // Also of one that is about to die: what is in its account goes with it.
        self.look();
        self.burners.act_again(now).map(|()| None)
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers for people")]
    fn effect(&mut self) -> (Effect, Verdict) {
        let (mut told, mut asked, mut reached) = (Vec::new(), 0.0, 0.0);
        self.look();
        let progress = self.burners.progress();
        for ((progress, account), write) in progress.iter().zip(&self.accounts).zip(&self.writes) {
            let seconds = progress.at_work.as_secs_f64();
            if seconds <= 0.0 {
                continue;
            }
            let bytes = account.bytes(*write).unwrap_or(progress.bytes_held);
            let rate = bytes as f64 / seconds;
            told.push(format!(
                "{} {:.2} MB/s, {:.0} operations/s",
                if *write { "writes" } else { "reads" },
                rate / 1e6,
                rate / self.block as f64
            ));
            asked += progress.bytes_asked as f64 / seconds;
            reached += rate;
        }
        let verdict = if reached > 0.0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        let effect = Effect {
            told: match &told[..] {
                [] => "has done nothing yet".into(),
                told => told.join("; ") + &self.burners.told_again(),
            },
            asked: self.since.map(|_| asked),
            reached: self.since.map(|_| reached),
            unit: "bytes-per-second".into(),
        };
        (effect, verdict)
    }

    fn end(self: Box<Self>) -> RevertReport {
        self.burners.end()
    }
}
