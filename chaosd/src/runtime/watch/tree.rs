//! The directories of cgroups that tell of their members' comings and goings, by inotify(7).

use std::{
    collections::HashMap,
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

use crate::runtime::Member;

/// Directories watched of a whole tree; a host with 200 pods has about 1000.
const MAX_WATCHED: usize = 8192;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    inotify: Inotify,
    /// Anybody may come, anywhere.
    every: bool,
    watched: HashMap<PathBuf, WatchDescriptor>,
}

impl Tree {
    pub(super) fn new(root: PathBuf, every: bool) -> io::Result<Self> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        Ok(Self {
            root,
            inotify: Inotify::init(flags)?,
            every,
            watched: HashMap::new(),
        })
    }

    /// Watches the cgroups of these and every directory above, or the whole tree when there is nobody yet.
    pub(super) fn follow(&mut self, members: &[Member]) -> io::Result<()> {
        let mut wanted: Vec<(PathBuf, AddWatchFlags)> = Vec::new();
        let comings = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let own = members.iter().flat_map(|member| &member.cgroups);
        for dir in own {
            // Its processes come and go (Documentation/admin-guide/cgroup-v2.rst, "populated").
            wanted.push((dir.join("cgroup.events"), AddWatchFlags::IN_MODIFY));
            let above = dir
                .ancestors()
                .take_while(|dir| dir.starts_with(&self.root));
            wanted.extend(above.map(|dir| (dir.to_owned(), comings)));
        }
        if wanted.is_empty() || self.every {
            let all = subtree(&self.root);
            wanted.extend(all.into_iter().map(|dir| (dir, comings)));
        }
        let mut now = HashMap::new();
        for (path, flags) in wanted {
            if now.contains_key(&path) {
                continue;
            }
            // Of a directory that was made anew at the same place this is another watch.
            match self.inotify.add_watch(&path, flags) {
                Ok(watch) => {
                    now.insert(path, watch);
                }
                // It is gone already, which the directory above tells.
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        for (path, watch) in std::mem::replace(&mut self.watched, now) {
            let still = self.watched.get(&path) == Some(&watch);
            let elsewhere = self.watched.values().any(|other| *other == watch);
            if !still && !elsewhere {
                // The kernel may have ended it with its directory.
                let _ = self.inotify.rm_watch(watch);
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn watches(&self, dir: &Path) -> bool {
        self.watched.contains_key(dir)
    }

    /// Takes what there is to tell; `true`: there was anything.
    pub(super) fn drain(&mut self) -> bool {
        let mut seen = false;
        // `IN_IGNORED` alone is the echo of a watch that `follow` ended.
        while let Ok(events) = self.inotify.read_events() {
            seen |= events
                .iter()
                .any(|event| event.mask != AddWatchFlags::IN_IGNORED);
        }
        seen
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The directories of a tree, those near its root first.
fn subtree(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut at = 0;
    while at < found.len() && found.len() < MAX_WATCHED {
        let children = fs::read_dir(&found[at]).into_iter().flatten().flatten();
        let dirs = children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let dirs: Vec<PathBuf> = dirs.map(|entry| entry.path()).collect();
        found.extend(dirs);
        at += 1;
    }
    found.truncate(MAX_WATCHED);
    found
}
