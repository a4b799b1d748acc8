//! The files of a target as its processes see them.
//!
//! Invariant: no link of the target's leads out of its root directory (`RESOLVE_IN_ROOT` of
//! openat2(2)), and nothing but a regular file is read, and not much of it.

use std::{
    fs::{self, File},
    io::Read,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2},
    sys::stat::Mode,
};

use crate::{cgroup, plan::Scope, profile::Target};

use super::super::{netns, process};

/// Bytes of a file that are read: a resolv.conf has a few hundred, a hosts file may be long.
const MOST_BYTES: u64 = 1 << 20;
/// Processes that are looked at for a resolv.conf.
const MOST_PROCESSES: usize = 64;
/// What `ip netns exec` lays over /etc (ip-netns(8)).
const OVERLAYS: &str = "/etc/netns";
/// Where `ip netns` keeps names, by both of its paths.
const NAMED: [&str; 2] = [netns::NAMED, "/var/run/netns"];

pub(super) struct View {
    /// The root directory; `None`: nothing can be read.
    root: Option<OwnedFd>,
    /// The same in words: empty for our own.
    prefix: PathBuf,
    /// A directory whose files hide those of /etc.
    overlay: Option<PathBuf>,
}

impl View {
    pub fn of(target: &Target, scope: &Scope) -> Self {
        match target {
            Target::Host => Self::own(),
            Target::Pid(pid) => scope
                .process
                .as_ref()
                .and_then(|process| Self::of_process(*pid, process.as_fd()))
                .unwrap_or_else(Self::own),
            Target::Cgroup(_) => {
                let pids = scope.cgroup.as_ref().and_then(|c| cgroup::pids(c).ok());
                Self::best(pids.into_iter().flatten())
            }
            Target::Netns(name) => Self::of_netns(name, scope),
        }
    }

    /// Ours.
    fn own() -> Self {
        Self::at(Path::new("/"), PathBuf::new())
    }

    pub(super) fn at(root: &Path, prefix: PathBuf) -> Self {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Self {
            root: open(root, flags, Mode::empty()).ok(),
            prefix,
            overlay: None,
        }
    }

    fn of_pid(pid: i32) -> Option<Self> {
        Self::of_process(pid, process::open(pid).ok()?.as_fd())
    }

    /// `process`: its directory in /proc.
    fn of_process(pid: i32, process: impl AsFd) -> Option<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = openat(process, "root", flags, Mode::empty()).ok()?;
        Some(Self {
            root: Some(root),
            prefix: format!("/proc/{pid}/root").into(),
            overlay: None,
        })
    }

    /// The files that `ip netns` keeps for a name; else those of the process that the path names, or of
    /// one that lives there.
    fn of_netns(name: &Path, scope: &Scope) -> Self {
        let named = NAMED.iter().find_map(|named| {
            let path = &scope.netns.path;
            path.strip_prefix(named)
                .ok()
                .filter(|n| n.components().count() == 1)
        });
        let overlay = named.or((name.components().count() == 1).then_some(name));
        let overlay = overlay.map(|name| Path::new(OVERLAYS).join(name));
        if let Some(overlay) = overlay.filter(|path| path.is_dir()) {
            return Self {
                overlay: Some(overlay),
                ..Self::own()
            };
        }
        Self::best(owner(name).into_iter().chain(inhabitants(scope)))
    }

    /// That of the first process that has a resolv.conf; a container's placeholder may have none.
    fn best(pids: impl Iterator<Item = i32>) -> Self {
        let mut views = pids.filter_map(Self::of_pid);
        let Some(first) = views.next() else {
            return Self::own();
        };
        let has_one = |view: &Self| !view.etc("resolv.conf").1.is_empty();
        if has_one(&first) {
            return first;
        }
        views.take(MOST_PROCESSES).find(has_one).unwrap_or(first)
    }

    /// A file of /etc: where it is, and its text, empty when it cannot be read.
    pub fn etc(&self, name: &str) -> (PathBuf, String) {
        if let Some(overlay) = &self.overlay {
            let path = overlay.join(name);
            if path.exists() {
                let text = fs::File::open(&path).ok().and_then(text);
                return (path, text.unwrap_or_default());
            }
        }
        let inside = Path::new("/etc").join(name);
        let mut path = self.prefix.clone().into_os_string();
        path.push(&inside);
        (
            path.into(),
            self.open(&inside).and_then(text).unwrap_or_default(),
        )
    }

    /// True when somebody may listen there.
    pub fn has_socket(&self, path: &str) -> bool {
        let how = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let file = self.open_as(Path::new(path), how);
        file.and_then(|file| file.metadata().ok())
            .is_some_and(|metadata| metadata.file_type().is_socket())
    }

    fn open(&self, path: &Path) -> Option<File> {
        // A FIFO would wait for its writer.
        self.open_as(
            path,
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC,
        )
    }

    fn open_as(&self, path: &Path, flags: OFlag) -> Option<File> {
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(self.root.as_ref()?, path, how).ok().map(File::from)
    }
}

fn text(file: File) -> Option<String> {
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The process of a path such as /proc/7/ns/net.
fn owner(netns: &Path) -> Option<i32> {
    let mut parts = netns.strip_prefix("/proc").ok()?.iter();
    parts.next()?.to_str()?.parse().ok()
}

/// Processes of a scope's network namespace, in no order. Those that end meanwhile are left out.
fn inhabitants(scope: &Scope) -> impl Iterator<Item = i32> {
    let netns = (scope.netns.dev, scope.netns.ino);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let lives = fs::metadata(entry.path().join("ns/net")).ok()?;
        ((lives.dev(), lives.ino()) == netns).then_some(pid)
    })
}
