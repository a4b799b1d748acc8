//! Where the files of a controller are for a cgroup: in the unified tree (v2), or at the same path
//! in a hierarchy of v1 on a hybrid host; and what must be enabled first.
//!
//! Reads only. A limit that would hit nobody, or others too, is refused here.

mod error;

pub use error::ControllerError;

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{change::Change, enabled, file::SUBTREE_CONTROL, limits::freeze, mount, pids, tree_of};
use crate::{mounts, plan::Cgroup, undo::Part};

/// A resource controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// CPU time.
    Cpu,
    /// Block devices: `io`, in v1 `blkio`.
    Io,
    /// Stopping all tasks. Part of every cgroup of the unified tree, without a controller.
    Freezer,
    /// Memory.
    Memory,
    /// Process slots.
    Pids,
}

/// Which kind of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of one controller, on a hybrid host.
    V1,
    /// The unified tree.
    V2,
}

/// Where the files of a controller are for one cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which kind.
    pub version: Version,
    /// Their directory.
    pub directory: PathBuf,
    /// The root of that hierarchy.
    pub root: PathBuf,
    /// Enables the controller from the top down (v2), also where this process has done so already.
    /// Empty: it is enabled. To be applied before the files are there; undone in reverse like any
    /// transaction.
    pub enable: Vec<Change>,
}

impl Controller {
    /// In `cgroup.controllers` of the unified tree.
    pub fn v2(self) -> &'static str {
        match self {
            Self::Io => "io",
            other => other.v1(),
        }
    }

    /// In `/proc/cgroups` and as a mount option of v1.
    pub fn v1(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Io => "blkio",
            Self::Freezer => "freezer",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }

    /// What makes systemd give a unit a v1 cgroup of this controller (`systemd.resource-control(5)`).
    fn accounting(self) -> &'static str {
        match self {
            Self::Cpu => "systemd: CPUAccounting=yes",
            Self::Io => "systemd: BlockIOAccounting=yes",
            Self::Memory => "systemd: MemoryAccounting=yes",
            Self::Pids => "systemd: TasksAccounting=yes",
            Self::Freezer => "mkdir",
        }
    }

    /// Where the files of this controller are for a cgroup of the unified tree.
    pub fn place(self, cgroup: &Cgroup) -> Result<Place, ControllerError> {
        if !super::exists(cgroup) {
            return Err(ControllerError::Gone(cgroup.path.clone()));
        }
        let root = tree_of(cgroup);
        let v2 = |enable| Place {
            version: Version::V2,
            directory: cgroup.path.clone(),
            root: root.clone(),
            enable,
        };
        if self == Self::Freezer {
            // In every cgroup but the root since Linux 5.2.
            if cgroup.path.join(freeze::V2).exists() {
                return Ok(v2(Vec::new()));
            }
        } else if lists(&read(root.join("cgroup.controllers"))?, self.v2()) {
            if cgroup.level == 0 {
                return Err(ControllerError::Root(self));
            }
            return Ok(v2(self.enabling(cgroup)?));
        }
        self.counterpart(cgroup)
    }

    /// In the v1 hierarchy, at the same path.
    fn counterpart(self, cgroup: &Cgroup) -> Result<Place, ControllerError> {
        // The root's group takes no quota (kernel/sched/core.c, tg_set_bandwidth) and cannot freeze.
        if cgroup.level == 0 && matches!(self, Self::Cpu | Self::Freezer | Self::Pids) {
            return Err(ControllerError::Root(self));
        }
        let mountinfo = Path::new("/proc/self/mountinfo");
        let mounts = mounts::read(mountinfo).map_err(|source| ControllerError::Read {
            path: mountinfo.to_owned(),
            source,
        })?;
        let Some(root) = mount::v1(&mounts, self.v1()) else {
            let known = read("/proc/cgroups".into()).unwrap_or_default();
            return Err(if enabled(&known, self.v1()) {
                ControllerError::NotMounted(self)
            } else {
                ControllerError::Absent(self)
            });
        };
        let relative = cgroup
            .path
            .strip_prefix(tree_of(cgroup))
            .unwrap_or(&cgroup.path);
        let directory = root.join(relative);
        if !directory.is_dir() {
            return Err(ControllerError::NoCounterpart {
                controller: self,
                path: directory,
            });
        }
        if cgroup.level > 0 {
            self.check_members(cgroup, &Path::new("/").join(relative), &directory)?;
        }
        Ok(Place {
            version: Version::V1,
            directory,
            root,
            enable: Vec::new(),
        })
    }

    /// The processes of the target and of its v1 counterpart must be the same.
    fn check_members(
        self,
        cgroup: &Cgroup,
        relative: &Path,
        directory: &Path,
    ) -> Result<(), ControllerError> {
        for pid in pids(cgroup)? {
            if let Some(at) = cgroup_of(pid, self.v1())
                && !Path::new(&at).starts_with(relative)
            {
                return Err(ControllerError::Elsewhere {
                    controller: self,
                    cgroup: cgroup.path.clone(),
                    pid,
                    at,
                });
            }
        }
        for pid in super::processes::below(directory)? {
            if let Some(at) = cgroup_of(pid, "")
                && !Path::new(&at).starts_with(relative)
            {
                return Err(ControllerError::Bystander {
                    path: directory.to_owned(),
                    pid,
                });
            }
        }
        Ok(())
    }

    /// What enables this controller for a cgroup of the unified tree, from the top down.
    fn enabling(self, cgroup: &Cgroup) -> Result<Vec<Change>, ControllerError> {
        let mut below_root = cgroup.path.ancestors().take(cgroup.level as usize);
        if self.is_domain()
            && let Some(path) = below_root.find(|path| is_threaded(path))
        {
            return Err(ControllerError::Threaded {
                controller: self,
                path: path.to_owned(),
            });
        }
        let mut missing = Vec::new();
        for parent in cgroup.path.ancestors().skip(1).take(cgroup.level as usize) {
            let is_on = lists(&read(parent.join(SUBTREE_CONTROL))?, self.v2());
            let failed = |source| ControllerError::Read {
                path: parent.to_owned(),
                source,
            };
            if is_on {
                let id = fs::metadata(parent).map_err(failed)?.ino();
                if !enabled::by_us(id, self.v2()) {
                    continue;
                }
            }
            // The root may have both (Documentation/admin-guide/cgroup-v2.rst, "No Internal
            // Process Constraint").
            if parent != tree_of(cgroup)
                && let Ok(members) = read(parent.join("cgroup.procs"))
                && let Some(pid) = members.lines().next()
            {
                return Err(ControllerError::Populated {
                    controller: self,
                    cgroup: cgroup.path.clone(),
                    parent: parent.to_owned(),
                    pid: pid.to_owned(),
                });
            }
            let controller = self.v2().to_owned();
            let part = Part::Enabled { controller };
            missing.push(Change::new(parent, SUBTREE_CONTROL, part).map_err(failed)?);
        }
        missing.reverse();
        Ok(missing)
    }

    /// False for controllers that can tell threads of one process apart.
    fn is_domain(self) -> bool {
        matches!(self, Self::Io | Self::Memory)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.v2())
    }
}

fn read(path: PathBuf) -> Result<String, ControllerError> {
    fs::read_to_string(&path).map_err(|source| ControllerError::Read { path, source })
}

fn lists(text: &str, name: &str) -> bool {
    text.split_whitespace().any(|word| word == name)
}

fn is_threaded(path: &Path) -> bool {
    // "threaded", "domain threaded", "domain invalid"; a plain "domain" takes every controller.
    fs::read_to_string(path.join("cgroup.type")).is_ok_and(|kind| kind.trim() != "domain")
}

/// `/proc/cgroups` (cgroups(7)): name, hierarchy, number of cgroups, enabled.
fn enabled(table: &str, name: &str) -> bool {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|fields| fields.first() == Some(&name) && fields.get(3) == Some(&"1"))
}

/// The path of a process in the hierarchy of a v1 controller, or in the unified tree (`""`). None:
/// it has ended.
fn cgroup_of(pid: i32, controller: &str) -> Option<String> {
    let table = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    line_of(&table, controller).map(str::to_owned)
}

fn line_of<'a>(table: &'a str, controller: &str) -> Option<&'a str> {
    table.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (names, path) = (fields.next()?, fields.next()?);
        names
            .split(',')
            .any(|name| name == controller)
            .then_some(path)
    })
}

#[cfg(test)]
mod tests;
