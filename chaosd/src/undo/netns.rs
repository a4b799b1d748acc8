//! Finds a network namespace again, from a process that never had it open.
//!
//! A namespace is known by the device and inode of its file (namespaces(7)). The path it was
//! opened by may be gone while it lives on: then every place that can hold one is searched. The
//! kernel reuses inodes, so what is found may be another namespace: each undo checks by an alias
//! or a value that it deals with its own work.

use std::{
    fmt, fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};

use super::quoted;
use crate::{mounts, plan::Netns};

/// The identity of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetnsId {
    /// How it was opened: tried first.
    pub path: PathBuf,
    /// Device of its file.
    pub dev: u64,
    /// Inode of its file.
    pub ino: u64,
}

impl NetnsId {
    /// The namespace that is open as `netns`, found at `path`.
    pub fn of(path: impl Into<PathBuf>, netns: impl AsFd) -> io::Result<Self> {
        let stat = fstat(netns)?;
        Ok(Self {
            path: path.into(),
            dev: stat.st_dev,
            ino: stat.st_ino,
        })
    }

    /// The namespace of the calling thread.
    pub fn current() -> io::Result<Self> {
        let path = Path::new("/proc/thread-self/ns/net");
        Self::of(path, fs::File::open(path)?)
    }

    /// Opens it; None when it is nowhere to be found, that is, gone with all that was in it.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        if let Some(fd) = self.try_path(&self.path) {
            return Ok(Some(fd));
        }
        let fixed = ["/proc/thread-self/ns/net", "/proc/1/ns/net"].map(PathBuf::from);
        let found = fixed
            .into_iter()
            .chain(named())
            .chain(mounted(self.ino)?)
            .chain(of_processes()?)
            .find_map(|path| self.try_path(&path));
        if found.is_some() {
            return Ok(found);
        }
        // Last, because it reads every descriptor of every process: a namespace without a process
        // and without a name, which somebody holds open.
        Ok(held_open(self.ino)?.find_map(|path| self.try_path(&path)))
    }

    /// The words that run a command in it: `nsenter --net=/run/netns/a`.
    pub(super) fn nsenter(&self) -> String {
        format!(
            "nsenter --net={}",
            quoted(self.path.to_string_lossy().as_ref())
        )
    }

    fn try_path(&self, path: &Path) -> Option<OwnedFd> {
        // Not opened before its inode is known: opening another file may block or have effects.
        let meta = fs::metadata(path).ok()?;
        if (meta.dev(), meta.ino()) != (self.dev, self.ino) {
            return None;
        }
        let fd = OwnedFd::from(fs::File::open(path).ok()?);
        let stat = fstat(&fd).ok()?;
        ((stat.st_dev, stat.st_ino) == (self.dev, self.ino)).then_some(fd)
    }
}

impl From<&Netns> for NetnsId {
    fn from(netns: &Netns) -> Self {
        Self {
            path: netns.path.clone(),
            dev: netns.dev,
            ino: netns.ino,
        }
    }
}

impl fmt::Display for NetnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// Names that ip-netns(8) and container runtimes give.
fn named() -> impl Iterator<Item = PathBuf> {
    ["/run/netns", "/run/docker/netns"]
        .into_iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// Any other place where it is bind-mounted.
fn mounted(ino: u64) -> io::Result<Vec<PathBuf>> {
    let root = format!("net:[{ino}]");
    let table = mounts::read("/proc/thread-self/mountinfo")?;
    Ok(mounts::parse(&table)
        .filter(|mount| mount.root == Path::new(&root))
        .map(|mount| mount.point)
        .collect())
}

/// The namespaces of all threads: a thread may have one of its own.
fn of_processes() -> io::Result<impl Iterator<Item = PathBuf>> {
    Ok(processes()?
        .filter_map(|process| fs::read_dir(process.join("task")).ok())
        .flatten()
        .flatten()
        .map(|thread| thread.path().join("ns/net")))
}

/// Every descriptor that is this namespace.
fn held_open(ino: u64) -> io::Result<impl Iterator<Item = PathBuf>> {
    let wanted = PathBuf::from(format!("net:[{ino}]"));
    Ok(processes()?
        .filter_map(|process| fs::read_dir(process.join("fd")).ok())
        .flatten()
        .flatten()
        .map(|fd| fd.path())
        .filter(move |fd| fs::read_link(fd).is_ok_and(|target| target == wanted)))
}

fn processes() -> io::Result<impl Iterator<Item = PathBuf>> {
    Ok(fs::read_dir("/proc")?.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| entry.path())
    }))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::fake::new_netns;
    use super::*;

    #[test]
    fn a_namespace_is_found_again_when_its_path_is_gone() {
        let netns = new_netns();
        // Only our descriptor holds it: the last place that is searched.
        let id = NetnsId::of("/proc/0/ns/net", &netns).unwrap();
        let again = id.open().unwrap().unwrap();
        assert_eq!(NetnsId::of("/proc/0/ns/net", again).unwrap(), id);
    }

    #[test]
    fn a_path_that_leads_to_another_namespace_is_not_taken() {
        let netns = new_netns();
        let id = NetnsId::of("/proc/self/ns/net", &netns).unwrap();
        let again = id.open().unwrap().unwrap();
        assert_eq!(fstat(again).unwrap().st_ino, id.ino);
        assert_ne!(NetnsId::current().unwrap().ino, id.ino);
    }

    #[test]
    fn a_namespace_that_nobody_holds_is_gone() {
        let mut id = NetnsId::current().unwrap();
        id.ino = u64::MAX;
        assert!(id.open().unwrap().is_none());
    }
}
