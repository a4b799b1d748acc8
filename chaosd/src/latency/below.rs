//! Whether a file lies where we let people wait.

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{fcntl::readlink, sys::stat::fstat};

use super::{LatencyError, marks::is_directory};
use crate::sys::handle;

/// The place.
#[derive(Debug)]
pub(super) struct Below {
    /// Open from before anybody waits.
    pub place: File,
    /// None: the mark is on the one file that is meant.
    directory: Option<PathBuf>,
    /// chaosd's program. Who starts it is still another program when its file is opened, and must
    /// not wait, for it may be what ends the fault.
    ours: Option<(u64, u64)>,
}

impl Below {
    pub(super) fn open(path: &Path) -> Result<Self, LatencyError> {
        let look = |source| LatencyError::Look {
            path: path.to_owned(),
            source,
        };
        let directory = is_directory(path)?;
        let flags = if directory { libc::O_DIRECTORY } else { 0 };
        let place = File::options()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(look)?;
        let directory = directory.then(|| name(place.as_fd())).flatten();
        let exe = File::open("/proc/self/exe").map_err(look)?;
        Ok(Self {
            place,
            directory,
            ours: identity(exe.as_fd()).map(|(dev, ino, _)| (dev, ino)),
        })
    }

    /// True when this open file of the marked file system is meant.
    pub(super) fn holds(&self, file: BorrowedFd<'_>) -> bool {
        let Some((dev, ino, links)) = identity(file) else {
            return false;
        };
        if self.ours == Some((dev, ino)) {
            return false;
        }
        let Some(directory) = &self.directory else {
            return true;
        };
        let below = |name: Option<PathBuf>| name.is_some_and(|name| name.starts_with(directory));
        // What a file is called depends on the mount by which it was opened, and on whose root
        // directory: on the mount of our place it is called what we call it.
        match handle::reopen(self.place.as_fd(), file) {
            Ok(same) => below(name(same.as_fd())) || (links > 1 && below(name(file))),
            // A file system without handles.
            Err(_) => below(name(file)),
        }
    }
}

/// What the kernel calls an open file: no file is opened for that.
fn name(file: BorrowedFd<'_>) -> Option<PathBuf> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    readlink(link.as_str())
        .ok()
        .map(|name| Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned())
}

/// Device, inode and number of names.
fn identity(file: BorrowedFd<'_>) -> Option<(u64, u64, u64)> {
    let stat = fstat(file).ok()?;
    Some((stat.st_dev, stat.st_ino, stat.st_nlink))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use super::*;
    use crate::journal::testing::TempDir;

    #[test]
    fn a_directory_holds_what_is_below_it_and_nothing_beside() {
        let dir = TempDir::new();
        for name in ["in/deep/a", "inner/b", "c"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let open = |name: &str| File::open(dir.path().join(name)).unwrap();
        let below = Below::open(&dir.path().join("in")).unwrap();
        assert!(below.holds(open("in/deep/a").as_fd()));
        assert!(!below.holds(open("inner/b").as_fd()));
        assert!(!below.holds(open("c").as_fd()));
        // A second name is as good as the first.
        fs::hard_link(dir.path().join("c"), dir.path().join("in/c")).unwrap();
        assert!(below.holds(open("in/c").as_fd()));
        let ours = File::open("/proc/self/exe").unwrap();
        assert!(!Below::open(Path::new("/")).unwrap().holds(ours.as_fd()));
    }
}
