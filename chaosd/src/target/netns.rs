//! Opens network namespaces and makes sure that they are.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

use super::TargetError;
use crate::{alike, plan::Netns, sys::ioctl::namespace_kind};

/// Where `ip netns` keeps names (ip-netns(8)).
pub(super) const NAMED: &str = "/run/netns";

/// The network namespace of the calling thread.
pub fn own() -> Result<Netns, TargetError> {
    let path = Path::new("/proc/thread-self/ns/net");
    open(path)
}

/// A namespace by its name, or by the path of a file.
pub(super) fn named(name: &Path) -> Result<Netns, TargetError> {
    let is_name = name.components().count() == 1 && name.is_relative();
    let path = if is_name {
        Path::new(NAMED).join(name)
    } else {
        name.to_owned()
    };
    match open(&path) {
        Err(TargetError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(TargetError::NoNetns {
                name: name.to_owned(),
                nearest: is_name.then(|| nearest(name)).flatten(),
            })
        }
        result => result,
    }
}

/// The namespace of a process, given its directory in /proc.
pub(super) fn of_process(pid: i32, process: BorrowedFd<'_>) -> Result<Netns, TargetError> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    match openat(
        process,
        "ns/net",
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    ) {
        Ok(fd) => check(path, fd),
        Err(nix::Error::ESRCH | nix::Error::ENOENT) => Err(TargetError::NoProcess(pid)),
        Err(errno) => Err(TargetError::Open {
            path,
            source: errno.into(),
        }),
    }
}

fn open(path: &Path) -> Result<Netns, TargetError> {
    let file = File::open(path).map_err(|source| TargetError::Open {
        path: path.to_owned(),
        source,
    })?;
    check(path.to_owned(), file.into())
}

fn check(path: PathBuf, fd: OwnedFd) -> Result<Netns, TargetError> {
    if namespace_kind(fd.as_fd()).ok() != Some(libc::CLONE_NEWNET) {
        return Err(TargetError::NotNetns(path));
    }
    let file = File::from(fd);
    match file.metadata() {
        Ok(metadata) => Ok(Netns {
            path,
            dev: metadata.dev(),
            ino: metadata.ino(),
            fd: Arc::new(file.into()),
        }),
        Err(source) => Err(TargetError::Open { path, source }),
    }
}

fn nearest(typed: &Path) -> Option<String> {
    let names: Vec<String> = fs::read_dir(NAMED)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let alike = alike::nearest(&typed.to_string_lossy(), names.iter().map(String::as_str));
    alike.into_iter().next()
}
