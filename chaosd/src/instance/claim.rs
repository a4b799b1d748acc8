//! One instance: a number, a directory, and the lock that says it is alive.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    InstanceError, Kind, MAX_INSTANCES, Owner, StateDir, failed,
    state::{is_at, journals, lock},
};
use crate::{
    journal::{self, Begin, Journal, JournalError},
    undo::{RevertReport, System},
};

/// An instance that this process holds. When it is dropped with no journal left, its directory
/// goes; else it stays, for `chaosd revert --all`.
#[derive(Debug)]
pub struct Instance {
    state: StateDir,
    number: u32,
    dir: PathBuf,
    lock: File,
    generation: AtomicU64,
    /// The directory is somebody else's to remove.
    keep: bool,
}

/// Files of an instance beside its journals.
const FILES: [&str; 4] = ["watchdog", "watchdog.log", FENCED, "lock"];
/// Says that the watchdog fenced.
const FENCED: &str = "fenced";
/// Names the cgroup that a watchdog made for itself.
const CGROUP: &str = "watchdog.cgroup";

impl Instance {
    /// Claims the lowest number that nobody holds and that has no journal.
    ///
    /// The lock is close-on-exec: no child holds it but the watchdog, which is given it.
    pub fn claim(state: &StateDir, kind: Kind) -> Result<Self, InstanceError> {
        for number in 0..MAX_INSTANCES {
            // Each time: whoever clears up removes the directory when it is empty.
            state.prepare()?;
            let Some(instance) = Self::take(state, number)? else {
                continue;
            };
            if !instance.journals()?.is_empty() {
                continue;
            }
            // A log of the last holder of this number, say.
            instance.clear();
            let owner = Owner::this(Some(kind)).and_then(|owner| owner.write(&instance.lock));
            owner.map_err(failed("sign", instance.dir.join("lock")))?;
            return Ok(instance);
        }
        Err(InstanceError::Full)
    }

    /// Takes over the instance of that number, whatever is in it. None: somebody holds it.
    pub(super) fn take(state: &StateDir, number: u32) -> Result<Option<Self>, InstanceError> {
        let dir = state.instance(number);
        if let Err(error) = DirBuilder::new().mode(0o700).create(&dir) {
            match error.kind() {
                io::ErrorKind::AlreadyExists => {}
                io::ErrorKind::NotFound => return Ok(None),
                _ => return Err(failed("make directory", dir)(error)),
            }
        }
        match lock(&dir.join("lock")) {
            Ok(Some(lock)) => Ok(Some(Self::with_lock(state, number, lock))),
            Ok(None) => Ok(None),
            // Its holder has gone in this instant, and the directory with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("lock", dir.join("lock"))(source)),
        }
    }

    /// The instance of another process, which gave us the same open lock: the watchdog's view.
    pub(crate) fn adopt(state: &StateDir, number: u32, lock: OwnedFd) -> Self {
        Self::with_lock(state, number, File::from(lock))
    }

    fn with_lock(state: &StateDir, number: u32, lock: File) -> Self {
        Self {
            dir: state.instance(number),
            state: state.clone(),
            number,
            lock,
            generation: AtomicU64::new(0),
            keep: false,
        }
    }

    /// Its number, below [`MAX_INSTANCES`].
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The state directory it is in.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Begins the journal of a transaction's owner (`run-ID`, `plane-K`), newer than all before.
    pub fn journal(&self, owner: &str) -> Result<Journal, JournalError> {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("{owner}.{}", journal::EXTENSION);
        Journal::create(self.dir.join(name), Begin::now(owner, generation))
    }

    /// The journals there are, newest first; those which do not say come first of all.
    pub fn journals(&self) -> Result<Vec<PathBuf>, InstanceError> {
        let mut journals = journals(&self.dir)?;
        journals.sort_by_cached_key(|path| {
            let contents = journal::read(path).unwrap_or_default();
            let generation = contents.begin().map_or(u64::MAX, |begin| begin.generation);
            std::cmp::Reverse(generation)
        });
        Ok(journals)
    }

    /// Disarms every plane of the instance at once, undoes what acts on the machine by itself, and
    /// changes nothing else. Its owner finds out by `take_fenced`.
    pub fn fence(&self, system: &dyn System) -> RevertReport {
        let report = self.each(|path| journal::fence(path, system));
        if self.is_ours() {
            // An owner that does not hear of it ends its runs at their time.
            let _noted = File::create(self.dir.join(FENCED));
        }
        report
    }

    /// True once after a fence.
    pub(crate) fn take_fenced(&self) -> bool {
        fs::remove_file(self.dir.join(FENCED)).is_ok()
    }

    /// Undoes everything in the journals: planes first, then the rest, newest first, to the end.
    pub fn replay(&self, system: &dyn System) -> RevertReport {
        // What came of it is said by the replay, which fences again.
        let _first = self.fence(system);
        self.each(|path| journal::replay(path, system))
    }

    fn each(&self, work: impl Fn(&Path) -> RevertReport) -> RevertReport {
        let mut report = RevertReport::default();
        // The number may be another's by now, if our directory is gone.
        if !self.is_ours() {
            return report;
        }
        match self.journals() {
            Ok(journals) => journals.iter().for_each(|path| report.merge(work(path))),
            Err(error) => report.fail(
                format!("read the journals of instance {}", self.number),
                &error,
                "chaosd revert --all".to_owned(),
            ),
        }
        report
    }

    /// True while the directory of that number is the one whose lock we hold.
    pub(crate) fn is_ours(&self) -> bool {
        is_at(&self.lock, &self.dir.join("lock"))
    }

    /// The same open lock, for the watchdog.
    pub(crate) fn share_lock(&self) -> io::Result<OwnedFd> {
        self.lock.as_fd().try_clone_to_owned()
    }

    /// Writes down who the watchdog is.
    pub(crate) fn sign_watchdog(&self) -> io::Result<()> {
        let file = File::create(self.dir.join("watchdog"))?;
        Owner::this(None)?.write(&file)
    }

    /// Writes down a cgroup that goes with the instance, when it is empty.
    pub(crate) fn note_cgroup(&self, path: &Path) -> io::Result<()> {
        fs::write(self.dir.join(CGROUP), path.as_os_str().as_encoded_bytes())
    }

    /// Lets go of the lock and leaves the directory to the process we share it with.
    pub(crate) fn let_go(mut self) {
        self.keep = true;
    }

    /// Deletes what is not a journal, but for the lock.
    fn clear(&self) {
        let note = self.dir.join(CGROUP);
        if let Ok(path) = fs::read_to_string(&note) {
            // Only an empty cgroup can be removed (cgroups(7)); a leftover one harms nobody.
            let _gone = fs::remove_dir(path);
            let _gone = fs::remove_file(note);
        }
        for name in FILES.iter().filter(|name| **name != "lock") {
            let _gone = fs::remove_file(self.dir.join(name));
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let empty = journals(&self.dir).is_ok_and(|journals| journals.is_empty());
        if !empty || !self.is_ours() {
            return;
        }
        self.clear();
        // The lock last, while we hold it: whoever waits for it finds that it locks nothing.
        let _gone = fs::remove_file(self.dir.join("lock"));
        let _gone = fs::remove_dir(&self.dir);
    }
}
