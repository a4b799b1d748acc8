//! The only code that knows cgroup files: finds cgroups of the unified (v2) hierarchy and their
//! processes, and limits what they get.
//!
//! A target is always a cgroup of the unified hierarchy, for that is by which the kernel tells
//! packets apart. A controller that a hybrid host keeps in a v1 hierarchy has a cgroup of the same
//! path there (`controllers`). Everything reads but for `file`; what is written goes through a
//! transaction (`change`).

mod change;
mod controllers;
mod cpus;
mod enabled;
mod file;
mod hold;
pub mod limits;
pub(crate) mod line;
mod mount;
mod nearest;
mod processes;

pub use change::{Change, Settled, apply};
pub use controllers::{Controller, ControllerError, Place, Version};
pub use cpus::{allowed as allowed_cpus, online as online_cpus};
pub use file::{read_control, uses_controller, write_control};
pub use hold::{Hold, HoldError};
pub use mount::{any_tree, unified};
pub use processes::pids;

use std::{
    fs,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use chaosd_ebpf::CGROUP_LEVELS;

use crate::plan::Cgroup;

/// Why a cgroup cannot be found or used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The list of mounts cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Only v1.
    #[error(
        "this host has no unified (v2) cgroup tree, by which packets are told apart: boot with \
         systemd.unified_cgroup_hierarchy=1, or mount one with `mount -t cgroup2 none \
         /sys/fs/cgroup/unified` and make cgroups there; a container, a pod or a network namespace \
         (--netns) is hit as a whole without"
    )]
    NoUnified,
    /// The mount shows a part of the tree.
    #[error(
        "{} shows only a part of the cgroup tree, for chaosd runs in a cgroup namespace: run it \
         in the host's (docker: --cgroupns=host)", .0.display()
    )]
    Partial(PathBuf),
    /// No such cgroup.
    #[error("there is no cgroup {} below {}{}", path.display(), tree.display(), hint(nearest.as_deref()))]
    Unknown {
        /// As typed.
        path: PathBuf,
        /// The unified tree.
        tree: PathBuf,
        /// The cgroup that was probably meant.
        nearest: Option<PathBuf>,
    },
    /// A directory of another file system.
    #[error(
        "{} is not a cgroup of the unified tree: name one below {}, such as /system.slice",
        path.display(), tree.display()
    )]
    NotUnified {
        /// As typed.
        path: PathBuf,
        /// The unified tree.
        tree: PathBuf,
    },
    /// Below what the programs remember of a socket.
    #[error("{} is {level} levels deep; chaosd knows {} levels", path.display(), CGROUP_LEVELS - 1)]
    TooDeep {
        /// As typed.
        path: PathBuf,
        /// Its depth.
        level: u32,
    },
    /// A process without a cgroup of its own.
    #[error(
        "process {0} is in the root cgroup, so its packets cannot be told from those of others: \
         hit its whole network namespace with --netns /proc/{0}/ns/net, or move it to a cgroup \
         of its own"
    )]
    InRoot(i32),
    /// The process ended.
    #[error("process {0} has ended")]
    NoProcess(i32),
}

/// The root of the tree that a cgroup is in.
fn tree_of(cgroup: &Cgroup) -> PathBuf {
    let root = cgroup.path.ancestors().nth(cgroup.level as usize);
    root.unwrap_or(&cgroup.path).to_owned()
}

fn hint(nearest: Option<&Path>) -> String {
    nearest.map_or_else(String::new, |path| {
        format!("; did you mean {}?", path.display())
    })
}

/// Finds a cgroup: a path below the unified tree, with or without a leading slash, or an absolute
/// file path into it.
pub fn resolve(path: &Path) -> Result<Cgroup, CgroupError> {
    resolve_in(&unified()?, path)
}

/// The unified cgroup of a process.
///
/// # Errors
/// [`CgroupError::InRoot`] when that is the root, to which half the system belongs.
pub fn of_pid(pid: i32) -> Result<Cgroup, CgroupError> {
    let tree = unified()?;
    let file = PathBuf::from(format!("/proc/{pid}/cgroup"));
    let lines = fs::read_to_string(&file).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CgroupError::NoProcess(pid),
        _ if source.raw_os_error() == Some(libc::ESRCH) => CgroupError::NoProcess(pid),
        _ => CgroupError::Read { path: file, source },
    })?;
    match unified_line(&lines) {
        None => Err(CgroupError::NoUnified),
        Some("/") => Err(CgroupError::InRoot(pid)),
        Some(path) => resolve_in(&tree, Path::new(path)),
    }
}

/// True while the directory is there and is the same cgroup. Ids are not reused while the system
/// is up: they are 64-bit and grow (fs/kernfs/dir.c).
pub fn exists(cgroup: &Cgroup) -> bool {
    fs::metadata(&cgroup.path).is_ok_and(|metadata| metadata.ino() == cgroup.id)
}

/// True when a process is in this very cgroup, by the lines of its `/proc/PID/cgroup`.
pub fn holds(cgroup: &Cgroup, lines: &str) -> bool {
    let Some(line) = unified_line(lines) else {
        return false;
    };
    // Below the root of the tree there are as many names as it is deep.
    let below = Path::new(line.trim_start_matches('/'));
    let deep = u32::try_from(below.components().count());
    deep == Ok(cgroup.level) && cgroup.path.ends_with(below)
}

/// The path on the `0::` line of /proc/PID/cgroup (cgroups(7)).
fn unified_line(lines: &str) -> Option<&str> {
    lines
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(|path| path.strip_suffix(" (deleted)").unwrap_or(path))
}

fn resolve_in(tree: &Path, typed: &Path) -> Result<Cgroup, CgroupError> {
    let below = typed.strip_prefix(tree).unwrap_or(typed);
    let not_unified = || CgroupError::NotUnified {
        path: typed.to_owned(),
        tree: tree.to_owned(),
    };
    let mut relative = PathBuf::new();
    for component in below.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => relative.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(not_unified()),
        }
    }
    let path = tree.join(&relative);
    let directory = match File::open(&path) {
        Ok(directory) => directory,
        // An absolute path to somewhere else, such as a v1 controller's directory.
        Err(_) if typed.is_absolute() && typed.starts_with("/sys") && typed.exists() => {
            return Err(not_unified());
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return Err(CgroupError::Unknown {
                path: typed.to_owned(),
                tree: tree.to_owned(),
                nearest: nearest::nearest(tree, &relative),
            });
        }
        Err(source) => return Err(CgroupError::Read { path, source }),
    };
    let read = |source| CgroupError::Read {
        path: path.clone(),
        source,
    };
    let metadata = directory.metadata().map_err(read)?;
    let kind = fstatfs(directory.as_fd()).map_err(|errno| read(errno.into()))?;
    if !metadata.is_dir() || kind.filesystem_type() != CGROUP2_SUPER_MAGIC {
        return Err(not_unified());
    }
    let level = u32::try_from(relative.components().count()).unwrap_or(u32::MAX);
    if level as usize >= CGROUP_LEVELS {
        return Err(CgroupError::TooDeep {
            path: typed.to_owned(),
            level,
        });
    }
    Ok(Cgroup {
        path,
        // The kernfs node id, which is what `bpf_skb_cgroup_id` returns, is the inode number
        // wherever inode numbers have 64 bits (include/linux/kernfs.h).
        id: metadata.ino(),
        level,
        fd: Arc::new(OwnedFd::from(directory)),
    })
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use super::*;

    /// A cgroup that goes with the guard.
    pub(crate) struct Scratch(pub(crate) PathBuf);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Self {
            let path = unified()
                .unwrap()
                .join(format!("chaosd-test-{}-{name}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(crate) fn name(&self) -> &Path {
            Path::new(self.0.file_name().unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // A process that was killed leaves its cgroup a moment later.
            for _ in 0..100 {
                if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn three_spellings_name_one_cgroup() {
        let scratch = Scratch::new("spellings");
        let name = scratch.name().display();
        let ids: Vec<(u64, u32)> = [
            format!("{name}"),
            format!("/{name}"),
            scratch.0.display().to_string(),
        ]
        .iter()
        .map(|spelling| resolve(Path::new(spelling)).unwrap())
        .map(|cgroup| (cgroup.id, cgroup.level))
        .collect();
        let id = fs::metadata(&scratch.0).unwrap().ino();
        assert_eq!(ids, [(id, 1); 3]);
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest_cgroup() {
        let scratch = Scratch::new("nearby");
        let typed = format!("{}x", scratch.name().display());
        let error = resolve(Path::new(&typed)).unwrap_err();
        let meant = format!("did you mean /{}?", scratch.name().display());
        assert!(error.to_string().ends_with(&meant), "{error}");
    }

    #[test]
    fn a_bare_name_is_found_deeper_in_the_tree() {
        let scratch = Scratch::new("slice");
        let inner = Scratch(scratch.0.join("deep-inside-only-here.service"));
        fs::create_dir(&inner.0).unwrap();
        let error = resolve(Path::new("deep-inside-only-here.service")).unwrap_err();
        let meant = format!(
            "did you mean /{}/deep-inside-only-here.service?",
            scratch.name().display()
        );
        assert!(error.to_string().ends_with(&meant), "{error}");
        drop(inner);
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_refused() {
        for path in ["/sys/fs", "../../kernel"] {
            let error = resolve(Path::new(path)).unwrap_err();
            assert!(matches!(error, CgroupError::NotUnified { .. }), "{error}");
        }
    }

    #[test]
    fn a_removed_cgroup_no_longer_exists_and_its_successor_is_another() {
        let scratch = Scratch::new("removed");
        let cgroup = resolve(scratch.name()).unwrap();
        assert!(exists(&cgroup));
        fs::remove_dir(&scratch.0).unwrap();
        assert!(!exists(&cgroup));
        fs::create_dir(&scratch.0).unwrap();
        assert!(!exists(&cgroup));
    }

    #[test]
    fn a_process_is_found_in_its_cgroup_and_below_it() {
        let scratch = Scratch::new("outer");
        let inner = Scratch(scratch.0.join("inner"));
        fs::create_dir(&inner.0).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        fs::write(inner.0.join("cgroup.procs"), pid.to_string()).unwrap();
        let found = of_pid(pid).map(|cgroup| (cgroup.path, cgroup.level));
        let listed = pids(&resolve(scratch.name()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.unwrap(), (inner.0.clone(), 2));
        assert_eq!(listed.unwrap(), [pid]);
        assert!(matches!(of_pid(pid), Err(CgroupError::NoProcess(p)) if p == pid));
    }

    #[test]
    fn the_unified_line_is_found_among_those_of_v1() {
        let lines = "4:memory:/a\n1:name=systemd:/b\n0::/system.slice/x.service\n";
        assert_eq!(unified_line(lines), Some("/system.slice/x.service"));
        assert_eq!(unified_line("0::/gone (deleted)\n"), Some("/gone"));
        assert_eq!(unified_line("4:memory:/a\n"), None);
    }
}
