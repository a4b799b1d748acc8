//! `disk-fill`: a file system runs full.
//!
//! One file without a name, which goes with the process that holds it open, and with a loss of power:
//! a name in a journal on /run would be forgotten, and the disk full for good. It takes blocks for real
//! (fallocate(2)), and grows with the intensity.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    sys::{
        statfs::{TMPFS_MAGIC, fstatfs},
        statvfs::{FsFlags, fstatvfs},
    },
};

use crate::{
    plan::Scope,
    process::Stat,
    profile::{DiskFill, Fill, units::Size},
    report::Verdict,
    txn::{Applied, Txn},
    undo::{FileOf, Held, RevertReport, Undo},
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault};

/// Kept free on the host's root file system unless forced: what services and journals of others need to
/// go on while it is full.
const RESERVE: u64 = 256 << 20;
/// What is taken at once, at first and at most. Between two of these the engine looks after others, so it
/// follows how long one takes: in memory each page is cleared.
const STEPS: (u64, u64) = (8 << 20, 1 << 30);
/// One that takes less is doubled, one that takes more is halved.
const STEP_TIME: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(50));
/// As [`STEPS`], where blocks are taken by writing.
const WRITTEN: u64 = 16 << 20;
/// What is not worth another try: less than a block of any file system is free.
const LEAST: u64 = 4096;

impl ResourceFault for DiskFill {
    fn what(&self) -> String {
        let place = self.path.display();
        match self.fill {
            Fill::Size(size) => format!("takes {size} of the file system of {place}"),
            Fill::Leave(size) => format!("fills the file system of {place}, all but {size}"),
        }
    }

    fn bind(&self, _: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let failed = |e: io::Error| BindError(format!("{}: {e}", self.path.display()));
        let directory = fs::canonicalize(&self.path).map_err(failed)?;
        let metadata = fs::metadata(&directory).map_err(failed)?;
        if !metadata.is_dir() {
            return Err(BindError(format!(
                "{} is not a directory: name one on the file system that is to be full",
                self.path.display()
            )));
        }
        let opened = File::open(&directory).map_err(failed)?;
        let here = room(&opened).map_err(failed)?;
        if here.read_only {
            return Err(BindError(format!(
                "{} is on a file system that is mounted read-only: nothing can be put there",
                self.path.display()
            )));
        }
        if here.size == 0 {
            return Err(BindError(format!(
                "{} is on a file system without room of its own, such as /proc: name a directory on the one that is to be full",
                self.path.display()
            )));
        }
        let (bytes, leaves) = match self.fill {
            Fill::Size(size) => (size.bytes(), here.free.saturating_sub(size.bytes())),
            Fill::Leave(size) => (here.free.saturating_sub(size.bytes()), size.bytes()),
        };
        if bytes == 0 {
            return Err(BindError(format!(
                "{} has {} free: there is nothing to take",
                self.path.display(),
                Size::about(here.free)
            )));
        }
        if bytes > here.free {
            return Err(BindError(format!(
                "{} has {} free, which is less than {}: use leave to fill it",
                self.path.display(),
                Size::about(here.free),
                Size::about(bytes)
            )));
        }
        let holds_run = device(Path::new("/run")).is_ok_and(|dev| dev == metadata.dev());
        if holds_run && leaves < RESERVE {
            return Err(BindError(format!(
                "{} is on the file system of /run, where chaosd keeps what it has to undo, and {} would be left of it: leave {} or more",
                self.path.display(),
                Size::about(leaves),
                Size::about(RESERVE)
            )));
        }
        let is_root = device(Path::new("/")).is_ok_and(|dev| dev == metadata.dev());
        if is_root && leaves < RESERVE && !self.force {
            return Err(BindError(format!(
                "{} is on the host's root file system, and {} would be left of it: leave {} or more, or say force: true (--force)",
                self.path.display(),
                Size::about(leaves),
                Size::about(RESERVE)
            )));
        }
        let kind = fstatfs(&opened).map_err(|errno| failed(errno.into()))?;
        Ok(Arc::new(Filler {
            in_memory: kind.filesystem_type() == TMPFS_MAGIC,
            file: FileOf {
                dev: metadata.dev(),
                ino: metadata.ino(),
                directory,
                name: String::new(),
            },
            bytes,
            free: here.free,
            of_root: here.of_root,
        }))
    }
}

fn device(path: &Path) -> io::Result<u64> {
    Ok(fs::metadata(path)?.dev())
}

/// What a file system has left.
struct Room {
    /// For everybody.
    free: u64,
    /// Beyond that for root alone, as ext4 keeps 5 %.
    of_root: u64,
    size: u64,
    read_only: bool,
}

fn room(file: &File) -> io::Result<Room> {
    let stat = fstatvfs(file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    Ok(Room {
        free: bytes(stat.blocks_available()),
        of_root: bytes(stat.blocks_free().saturating_sub(stat.blocks_available())),
        size: bytes(stat.blocks()),
        read_only: stat.flags().contains(FsFlags::ST_RDONLY),
    })
}

#[derive(Debug)]
struct Filler {
    /// Without its name.
    file: FileOf,
    bytes: u64,
    free: u64,
    /// See [`Room`].
    of_root: u64,
    /// It is a tmpfs.
    in_memory: bool,
}

impl Bound for Filler {
    fn mechanism(&self) -> String {
        format!(
            "a file of {} without a name in {}, by fallocate; {} are free now",
            Size::about(self.bytes),
            self.file.directory.display(),
            Size::about(self.free)
        )
    }

    fn undo(&self) -> String {
        "the file is emptied and let go of; it goes with chaosd, and with a loss of power".into()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "hits everybody who writes there, the target or not, and keeps the file system busy: it cannot be unmounted meanwhile"
                .to_owned(),
        ];
        if self.in_memory {
            notes.push(
                "takes memory, for that is where this file system is, in chaosd's cgroup".into(),
            );
        }
        if self.of_root > 0 {
            notes.push(format!(
                "is not felt by root at once: the file system keeps another {} for it, and leave counts what everybody has",
                Size::about(self.of_root)
            ));
        }
        notes
    }

    fn claims(&self) -> Vec<String> {
        vec![format!("the free space of device {}", self.file.dev)]
    }

    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError> {
        Ok(Box::new(Filling {
            file: FileOf {
                name: format!("{}fill-{}", FileOf::PREFIX, host.owner()),
                ..self.file.clone()
            },
            bytes: self.bytes,
            host,
            made: None,
            most: 0,
        }))
    }
}

struct Filling {
    file: FileOf,
    bytes: u64,
    host: Host,
    made: Option<Made>,
    /// The most that it took.
    most: u64,
}

struct Made {
    applied: Applied,
    file: File,
    taken: u64,
    /// How much is taken at once.
    step: u64,
    /// This file system takes blocks only for what is written.
    by_writing: bool,
}

impl Filling {
    fn make(&mut self) -> Result<Made, ActError> {
        let refused = |what: &str, source: io::Error| ActError::Refused {
            what: format!("{what} in {}", self.file.directory.display()),
            source: source.into(),
        };
        let mut txn = self.host.txn()?;
        let file = match nameless(&self.file.directory) {
            Ok(file) => file,
            Err(error) if knows_names_only(&error) => self.named(&mut txn)?,
            Err(error) => return Err(refused("make a file", error)),
        };
        let metadata = file.metadata().map_err(|e| refused("look at a file", e))?;
        let holder = Stat::read(std::process::id()).map_err(|e| refused("make a file", e))?;
        let held = Held {
            holder: holder.who,
            fd: file.as_raw_fd(),
            dev: metadata.dev(),
            ino: metadata.ino(),
        };
        txn.step(Undo::Held(held), || Ok(()), |()| Ok(()))?;
        Ok(Made {
            applied: txn.commit()?,
            file,
            taken: 0,
            step: STEPS.0,
            by_writing: false,
        })
    }

    /// A file that had a name for a moment, in which the journal knows it.
    fn named(&self, txn: &mut Txn) -> Result<File, ActError> {
        let path = self.file.path();
        let file = txn.step(
            Undo::File(self.file.clone()),
            || {
                let mut options = OpenOptions::new();
                let options = options.write(true).create_new(true).mode(0o600);
                let file = options.open(&path)?;
                self.host.system.delete_file(&self.file)?;
                Ok(file)
            },
            |_| Ok(()),
        )?;
        Ok(file)
    }
}

fn nameless(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).mode(0o600);
    options.custom_flags(libc::O_TMPFILE).open(directory)
}

/// Such as vfat and NFS: `open(2)`, `O_TMPFILE`.
fn knows_names_only(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)
    )
}

impl Made {
    /// Takes or gives back, a step at a time; true: there is more to do.
    fn towards(&mut self, wanted: u64) -> io::Result<bool> {
        // A watchdog has emptied it, since we were late.
        if self.file.metadata()?.len() < self.taken {
            return Ok(false);
        }
        if wanted < self.taken {
            self.file.set_len(wanted)?;
            self.taken = wanted;
            return Ok(false);
        }
        let mut length = (wanted - self.taken).min(self.step);
        let since = Instant::now();
        while length > 0 {
            match self.take(length) {
                Ok(()) => {
                    self.pace(since.elapsed());
                    return Ok(self.taken < wanted);
                }
                // Somebody else has taken room: then less, down to what makes no difference.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && length > LEAST => {
                    length /= 2;
                }
                // As full as it gets: that is what was asked for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn pace(&mut self, took: Duration) {
        if took > STEP_TIME.1 {
            self.step = (self.step / 2).max(LEAST);
        } else if took < STEP_TIME.0 {
            self.step = (self.step * 2).min(STEPS.1);
        }
    }

    fn take(&mut self, length: u64) -> io::Result<()> {
        let signed = |n: u64| libc::off_t::try_from(n).map_err(io::Error::other);
        if !self.by_writing {
            let (at, signed_length) = (signed(self.taken)?, signed(length)?);
            match fallocate(&self.file, FallocateFlags::empty(), at, signed_length) {
                Ok(()) => {
                    self.taken += length;
                    return Ok(());
                }
                Err(Errno::EOPNOTSUPP) => self.by_writing = true,
                Err(errno) => return Err(errno.into()),
            }
        }
        // What is all zeros may be taken for a hole.
        let length = usize::try_from(length.min(WRITTEN)).map_err(io::Error::other)?;
        let written = self.file.write_at(&vec![0xa5_u8; length], self.taken)?;
        // Where it is written later it is not taken yet.
        self.file.sync_data()?;
        self.taken += written as u64;
        Ok(())
    }
}

impl Acting for Filling {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "to a byte in a thousand million million"
    )]
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if now.intensity <= 0.0 {
            return match self.made.take() {
                Some(made) => ActError::of(&made.applied.revert()).map(|()| None),
                None => Ok(None),
            };
        }
        let mut made = match self.made.take() {
            Some(made) => made,
            None => self.make()?,
        };
        let wanted = (self.bytes as f64 * now.intensity.min(1.0)) as u64;
        let result = made.towards(wanted);
        self.most = self.most.max(made.taken);
        self.made = Some(made);
        let more = result.map_err(|source| ActError::Refused {
            what: format!("take blocks in {}", self.file.directory.display()),
            source: source.into(),
        })?;
        Ok(more.then_some(Duration::ZERO))
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let taken = self.made.as_ref().map_or(0, |made| made.taken);
        // By its file where there is one: something else may be mounted there by now.
        let free = match &self.made {
            Some(made) => room(&made.file),
            None => File::open(&self.file.directory).and_then(|directory| room(&directory)),
        };
        let free = free.map_or(0, |room| room.free);
        #[expect(clippy::cast_precision_loss, reason = "numbers for people")]
        let effect = Effect {
            told: format!(
                "holds {}, {} are free",
                Size::about(taken),
                Size::about(free)
            ),
            asked: Some(self.bytes as f64),
            reached: Some(taken as f64),
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
        self.made
            .map_or_else(RevertReport::default, |made| made.applied.revert())
    }
}
