//! The file or directory that is hit, held open: a fault stays where it was aimed at, whatever takes
//! that name meanwhile.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::device::{self, DeviceError};

/// Why nothing on a path can be hit.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// It cannot be opened.
    #[error("failed to open {}: {source}", path.display())]
    Open {
        /// As asked.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its mount cannot be found.
    #[error(transparent)]
    Mount(#[from] DeviceError),
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    directory: bool,
    /// Opened without being touched.
    pub file: Arc<File>,
    /// It is the root of a file system.
    pub whole: bool,
    below: Vec<PathBuf>,
}

impl Place {
    /// Links are followed.
    pub fn find(path: &Path) -> Result<Self, PlaceError> {
        let open = |source| PlaceError::Open {
            path: path.to_owned(),
            source,
        };
        let file = File::options()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)
            .map_err(open)?;
        let directory = file.metadata().map_err(open)?.is_dir();
        let real = fs::read_link(format!("/proc/thread-self/fd/{}", file.as_raw_fd()));
        let path = real.unwrap_or_else(|_| path.to_owned());
        let (whole, below) = if directory {
            device::mounted(&file, &path)?
        } else {
            (false, Vec::new())
        };
        Ok(Self {
            path,
            directory,
            file: Arc::new(file),
            whole,
            below,
        })
    }

    /// True when a file of that name would be hit, but for links to it and for mounts in between.
    pub fn covers(&self, file: &Path) -> bool {
        let apart = self.below.iter().any(|mount| file.starts_with(mount));
        file.starts_with(&self.path) && !apart
    }

    /// Where other file systems begin, which it does not reach into.
    pub fn mounts_below(&self) -> &[PathBuf] {
        &self.below
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match (self.directory, self.whole) {
            (_, true) => write!(f, "the file system of {path}"),
            (true, false) => write!(f, "{path} and what is below it"),
            (false, false) => write!(f, "{path}"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_file_system_is_told_from_a_directory_and_a_file() {
        let told = |path: &str| Place::find(Path::new(path)).unwrap().to_string();
        assert_eq!(told("/proc"), "the file system of /proc");
        assert_eq!(told("/proc/sys/../sys"), "/proc/sys and what is below it");
        assert_eq!(told("/proc/version"), "/proc/version");
        let root = Place::find(Path::new("/")).unwrap();
        assert!(!root.covers(Path::new("/proc/version")));
        let proc = Place::find(Path::new("/proc")).unwrap();
        assert!(proc.covers(Path::new("/proc/version")));
        assert!(!proc.covers(Path::new("/process")));
        let error = Place::find(Path::new("/no/such")).unwrap_err();
        assert!(error.to_string().starts_with("failed to open /no/such: "));
    }
}
