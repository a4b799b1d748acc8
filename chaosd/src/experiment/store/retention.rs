//! How many runs stay, and for how long.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{FILES, FRESH, RECORD, StoreError, is_id};

/// How many runs stay, and for how long. The newest stays in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many, the newest.
    pub most: usize,
    /// None that was written longer ago.
    pub oldest: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            most: 100,
            oldest: Duration::from_hours(90 * 24),
        }
    }
}

/// A kept run, and when its record was last written.
struct Aged {
    path: PathBuf,
    written: SystemTime,
}

impl Retention {
    /// Removes what is too many or too old, `spared` never. What fails is told, and the rest goes on.
    pub(super) fn apply(self, dir: &Path, spared: &str) -> Vec<String> {
        let mut runs = match runs(dir, spared) {
            Ok(runs) => runs,
            Err(source) => return vec![told(&StoreError::io("read", dir, source))],
        };
        runs.sort_by(|a, b| b.written.cmp(&a.written).then_with(|| b.path.cmp(&a.path)));
        let now = SystemTime::now();
        let too_old = |run: &Aged| {
            // A clock that was set back makes nothing old.
            now.duration_since(run.written)
                .is_ok_and(|age| age > self.oldest)
        };
        let room = self.most.saturating_sub(1);
        let gone = runs
            .iter()
            .enumerate()
            .filter(|(n, run)| *n >= room || too_old(run));
        gone.filter_map(|(_, run)| remove(&run.path).err())
            .map(|error| told(&error))
            .collect()
    }
}

fn told(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Those that are ours alone.
fn runs(dir: &Path, spared: &str) -> io::Result<Vec<Aged>> {
    let mut runs = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        let named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| is_id(name) && name != spared);
        // A link's type is that of the link.
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !named || !directory {
            continue;
        }
        if !is_ours(&path) {
            continue;
        }
        let modified = |path: &Path| fs::symlink_metadata(path).and_then(|of| of.modified());
        match modified(&path.join(RECORD)) {
            Ok(written) => runs.push(Aged { path, written }),
            // A chaosd that is at it needs no hour.
            Err(_) if modified(&path).is_ok_and(is_long_ago) => abandoned(&path),
            Err(_) => {}
        }
    }
    Ok(runs)
}

fn is_long_ago(written: SystemTime) -> bool {
    let age = SystemTime::now().duration_since(written);
    age.is_ok_and(|age| age > Duration::from_hours(1))
}

/// Takes away what a chaosd left that died before the record was whole. An empty directory is nobody's.
fn abandoned(run: &Path) {
    if fs::read_dir(run).is_ok_and(|mut entries| entries.next().is_some()) {
        // It is tried again with the next run.
        remove(run).ok();
    }
}

/// Nothing is in it but what we wrote.
fn is_ours(run: &Path) -> bool {
    fs::read_dir(run).is_ok_and(|entries| {
        entries.into_iter().all(|entry| {
            entry.is_ok_and(|entry| {
                let file = entry.file_type().is_ok_and(|kind| kind.is_file());
                file && entry.file_name().to_str().is_some_and(is_file_of_ours)
            })
        })
    })
}

/// One of those that we write, or what a chaosd left that died while it wrote one.
fn is_file_of_ours(name: &str) -> bool {
    let fresh = || {
        let name = name.strip_prefix('.')?.strip_suffix(FRESH)?;
        let (name, process) = name.rsplit_once('.')?;
        process.parse::<u32>().ok()?;
        Some(FILES.contains(&name))
    };
    FILES.contains(&name) || fresh() == Some(true)
}

/// The record goes last: until then it is a run.
fn remove(run: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("remove", run, source);
    let names: Vec<_> = fs::read_dir(run)
        .map_err(failed)?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    let record = names.iter().filter(|name| *name == RECORD);
    let rest = names.iter().filter(|name| *name != RECORD);
    for name in rest.chain(record) {
        gone(fs::remove_file(run.join(name))).map_err(failed)?;
    }
    gone(fs::remove_dir(run)).map_err(failed)
}

/// Another chaosd may have been quicker.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
