//! The state directory: where it is, that it is safe, and who is in it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use super::{InstanceError, Owner, failed};
use crate::journal;

/// The state directory unless another is named: on tmpfs, so that a reboot clears it together with
/// the kernel's state.
pub const DEFAULT_STATE_DIR: &str = "/run/chaosd";

/// The state directory. Nothing is made before somebody claims something in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
}

/// An instance that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its number.
    pub number: u32,
    /// Who claimed it. It may be dead while its watchdog still holds the lock.
    pub owner: Option<Owner>,
    /// Its watchdog.
    pub watchdog: Option<Owner>,
}

/// An instance that nobody holds, which has left something behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Its number.
    pub number: u32,
    /// Who it was.
    pub owner: Option<Owner>,
    /// What it did not undo.
    pub journals: Vec<PathBuf>,
}

impl StateDir {
    /// The state directory at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.path.join("chaosd.sock")
    }

    /// Instances that are alive, by number.
    pub fn live(&self) -> Result<Vec<Live>, InstanceError> {
        let mut live = Vec::new();
        for number in self.numbers()? {
            if self.is_held(number)? {
                let dir = self.instance(number);
                live.push(Live {
                    number,
                    owner: Owner::read(&dir.join("lock")),
                    watchdog: Owner::read(&dir.join("watchdog")),
                });
            }
        }
        Ok(live)
    }

    /// Instances that died and have left journals, by number. Changes nothing.
    pub fn abandoned(&self) -> Result<Vec<Abandoned>, InstanceError> {
        let mut abandoned = Vec::new();
        for number in self.numbers()? {
            let dir = self.instance(number);
            let journals = journals(&dir)?;
            if !journals.is_empty() && !self.is_held(number)? {
                abandoned.push(Abandoned {
                    number,
                    owner: Owner::read(&dir.join("lock")),
                    journals,
                });
            }
        }
        Ok(abandoned)
    }

    /// Makes the directory, for root alone, or makes sure that it is safe.
    pub(super) fn prepare(&self) -> Result<(), InstanceError> {
        for dir in [self.path.clone(), self.instances()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
            made.map_err(failed("make directory", &dir))?;
        }
        self.check().map(|_| ())
    }

    /// False: there is no such directory. Refuses one in which others could write.
    fn check(&self) -> Result<bool, InstanceError> {
        for path in [self.path.clone(), self.instances()] {
            let meta = match fs::symlink_metadata(&path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(source) => return Err(failed("look at", path)(source)),
            };
            let why = if !meta.is_dir() {
                "it is not a directory"
            } else if meta.uid() != geteuid().as_raw() && !geteuid().is_root() {
                return Err(InstanceError::NotOurs {
                    path,
                    uid: meta.uid(),
                });
            } else if meta.uid() != geteuid().as_raw() {
                "it belongs to another user"
            } else if meta.mode() & 0o022 != 0 {
                "others may write in it"
            } else {
                continue;
            };
            return Err(InstanceError::Unsafe { path, why });
        }
        Ok(true)
    }

    pub(super) fn instances(&self) -> PathBuf {
        self.path.join("instances")
    }

    pub(super) fn instance(&self, number: u32) -> PathBuf {
        self.instances().join(number.to_string())
    }

    /// Numbers that have a directory, in order.
    pub(super) fn numbers(&self) -> Result<Vec<u32>, InstanceError> {
        if !self.check()? {
            return Ok(Vec::new());
        }
        let path = self.instances();
        let entries = fs::read_dir(&path).map_err(failed("list", &path))?;
        let mut numbers: Vec<u32> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn is_held(&self, number: u32) -> Result<bool, InstanceError> {
        let path = self.instance(number).join("lock");
        match File::open(&path) {
            Ok(file) => held(&file).map_err(failed("look at the lock", path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(failed("open", path)(source)),
        }
    }
}

/// Asks with a shared lock, which is gone when `file` is: a claim that meets it in this instant
/// takes another number.
fn held(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Journals in an instance's directory; none when the directory is gone.
pub(super) fn journals(dir: &Path) -> Result<Vec<PathBuf>, InstanceError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("list", dir)(source)),
    };
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == journal::EXTENSION))
        .collect())
}

/// Takes the lock at `path`, made if need be. None: somebody else holds it, or it was deleted
/// while we took it.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(is_at(&file, path).then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// True while `file` is what stands at `path`: a holder deletes its lock when it goes, and a lock
/// on a deleted file locks nobody out.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let here = file.metadata();
    let there = fs::symlink_metadata(path);
    here.is_ok_and(|a| there.is_ok_and(|b| (a.dev(), a.ino()) == (b.dev(), b.ino())))
}
