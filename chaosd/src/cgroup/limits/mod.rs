//! Limits of a cgroup, as lists of changes: CPU quota, I/O rates, process slots, a full stop.
//!
//! A limit only ever takes away: one that the cgroup already has and that is as low is kept.

pub mod cpu;
pub mod freeze;
pub mod io;
pub mod pids;

use std::path::{Path, PathBuf};

use super::{
    controllers::{Controller, ControllerError},
    file::read_control,
    processes,
};

/// Why a limit cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Its controller cannot be used for this cgroup.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// A control file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A control file says something unknown.
    #[error("{} reads {text:?}, which is no {what}", path.display())]
    Strange {
        /// Which.
        path: PathBuf,
        /// What it reads.
        text: String,
        /// What it should be.
        what: &'static str,
    },
    /// The kernel was built without it.
    #[error("{} is missing: this kernel was built without {option}", path.display())]
    NotBuilt {
        /// The file.
        path: PathBuf,
        /// What would make it.
        option: &'static str,
    },
    /// Out of the kernel's range.
    #[error("{asked} is out of range: {range}")]
    Range {
        /// What was asked for.
        asked: String,
        /// What can be.
        range: &'static str,
    },
    /// There is a limit as low already.
    #[error("{} has {found} already, so {asked} would change nothing", path.display())]
    NotLower {
        /// Whose.
        path: PathBuf,
        /// The limit it has.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// It stopped before we came.
    #[error("{} is frozen already", .0.display())]
    AlreadyFrozen(PathBuf),
    /// Freezing it would stop somebody who must go on.
    #[error("{} holds process {pid}, and {why}: name a cgroup without it", path.display())]
    Vital {
        /// The cgroup.
        path: PathBuf,
        /// Who is in it.
        pid: i32,
        /// Why that must go on, as a sentence.
        why: String,
    },
}

/// A control file's text. None: there is no such file.
fn read(directory: &Path, file: &str) -> Result<Option<String>, LimitError> {
    let failed = |source| LimitError::Read {
        path: directory.join(file),
        source,
    };
    let id = id(directory)?;
    read_control(directory, id, file).map_err(failed)
}

fn id(directory: &Path) -> Result<u64, LimitError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(directory);
    let read = metadata.map_err(|source| LimitError::Read {
        path: directory.to_owned(),
        source,
    })?;
    Ok(read.ino())
}

/// A change of one value of a cgroup.
fn value(
    directory: &Path,
    file: &str,
    prior: impl Into<String>,
    ours: impl Into<String>,
) -> Result<super::Change, LimitError> {
    change(
        directory,
        file,
        crate::undo::Part::Value {
            prior: prior.into(),
            ours: ours.into(),
        },
    )
}

fn change(
    directory: &Path,
    file: &str,
    part: crate::undo::Part,
) -> Result<super::Change, LimitError> {
    super::Change::new(directory, file, part).map_err(|source| LimitError::Read {
        path: directory.to_owned(),
        source,
    })
}

/// Refuses a cgroup, in any hierarchy, that holds the init process, this one, or one of `spared`.
fn check_vital(directory: &Path, spared: &[(i32, &str)]) -> Result<(), LimitError> {
    let members = processes::below(directory).map_err(ControllerError::from)?;
    let this = i32::try_from(std::process::id()).unwrap_or_default();
    let vital = [
        (1, "it is the first process: without it the machine stops"),
        (this, "it is chaosd itself, which has to end the fault"),
    ];
    match (vital.iter().chain(spared)).find(|(pid, _)| members.contains(pid)) {
        Some((pid, why)) => Err(LimitError::Vital {
            path: directory.to_owned(),
            pid: *pid,
            why: (*why).to_owned(),
        }),
        None => Ok(()),
    }
}

/// The cgroups below a directory, deepest first, without itself.
fn descendants(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = vec![root.to_owned()];
    while let Some(directory) = queue.pop() {
        for entry in std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                found.push(entry.path());
                queue.push(entry.path());
            }
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    found
}
