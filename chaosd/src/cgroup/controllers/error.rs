//! Why a controller cannot be used for a cgroup, and what to do about it.

use std::{io, path::PathBuf};

use super::Controller;
use crate::cgroup::CgroupError;

/// Why a controller cannot be used for a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A file of the hierarchy cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Its processes cannot be listed.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Removed since it was found.
    #[error("the cgroup {} is gone", .0.display())]
    Gone(PathBuf),
    /// The root has no limits.
    #[error(
        "the root cgroup has no {0} limits of its own: name a cgroup below it, such as /system.slice"
    )]
    Root(Controller),
    /// Not in this kernel, or switched off.
    #[error(
        "this kernel has no {0} controller: it is built without it, or booted with \
         cgroup_disable={name}", name = .0.v1()
    )]
    Absent(Controller),
    /// In a v1 hierarchy that is not mounted here.
    #[error(
        "the {0} controller is in a v1 hierarchy that is not mounted here: \
         `mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} none /sys/fs/cgroup/{name}`, \
         or boot with systemd.unified_cgroup_hierarchy=1", name = .0.v1()
    )]
    NotMounted(Controller),
    /// No directory at that path in the v1 hierarchy.
    #[error(
        "{} is missing: this host limits {controller} by cgroups of v1, and this cgroup has none \
         there; its service manager makes it when told to ({hint}), or boot with \
         systemd.unified_cgroup_hierarchy=1",
        path.display(), hint = controller.accounting()
    )]
    NoCounterpart {
        /// Of which controller.
        controller: Controller,
        /// Where it should be.
        path: PathBuf,
    },
    /// A process of the target that a v1 cgroup would not limit.
    #[error(
        "process {pid} of {} is in {at} of the v1 {controller} hierarchy, where a limit would not \
         reach it", cgroup.display()
    )]
    Elsewhere {
        /// Of which controller.
        controller: Controller,
        /// The target.
        cgroup: PathBuf,
        /// The process.
        pid: i32,
        /// Its cgroup there.
        at: String,
    },
    /// A process that is not of the target and would be limited too.
    #[error("process {pid} is in {} and not of the target: it would be limited too", path.display())]
    Bystander {
        /// The v1 cgroup.
        path: PathBuf,
        /// The process.
        pid: i32,
    },
    /// Controllers cannot be enabled below a cgroup with processes.
    #[error(
        "{controller} cannot be enabled for {}: its parent {} has processes of its own \
         (such as {pid}), for which the kernel allows no controllers below; name the parent instead",
        cgroup.display(), parent.display()
    )]
    Populated {
        /// Which controller.
        controller: Controller,
        /// The target.
        cgroup: PathBuf,
        /// The one with processes.
        parent: PathBuf,
        /// One of them.
        pid: String,
    },
    /// Only some controllers work there.
    #[error("{} is threaded: the kernel allows no {controller} limits there", path.display())]
    Threaded {
        /// Which controller.
        controller: Controller,
        /// The threaded cgroup.
        path: PathBuf,
    },
}
