//! Why a path leads to no disk.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::Number;
use crate::mounts::Mount;

/// Why no disk can be found for a path.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The path, or what lies below it, cannot be looked at.
    #[error("failed to look at {}", path.display())]
    Read {
        /// Which path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A socket, pipe or character device.
    #[error("{} is neither a file, a directory nor a block device", .0.display())]
    NoFile(PathBuf),
    /// The list of mounts does not name it.
    #[error("{} is on a mount that this mount namespace does not show", .0.display())]
    NoMount(PathBuf),
    /// Not on a disk.
    #[error("{} is on {kind}{}: {why}", path.display(), at(mounted))]
    NoDisk {
        /// Which path.
        path: PathBuf,
        /// Its file system.
        kind: String,
        /// Where that is mounted.
        mounted: PathBuf,
        /// What that is instead.
        why: String,
    },
    /// A device that /sys does not show.
    #[error("{}: the kernel shows no block device {number} in /sys/dev/block", path.display())]
    Unknown {
        /// Which path.
        path: PathBuf,
        /// Its number.
        number: Number,
    },
    /// A btrfs that /sys does not show.
    #[error("{}: /sys/fs/btrfs shows no file system on {device}", path.display())]
    NoBtrfs {
        /// Which path.
        path: PathBuf,
        /// One of its devices.
        device: String,
    },
}

impl DeviceError {
    pub(super) fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        Self::Read { path, source }
    }

    /// A path on a file system without a disk.
    pub(super) fn no_disk(path: &Path, mount: &Mount) -> Self {
        let kind = mount.kind.as_str();
        let why = match kind {
            "tmpfs" | "ramfs" | "devtmpfs" | "hugetlbfs" => "it is memory, no disk".to_owned(),
            "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "afs" | "glusterfs" => format!(
                "its data is on another machine ({}); a packet fault with that peer slows it",
                mount.source
            ),
            "virtiofs" => "its data is on the machine that runs this one".to_owned(),
            "zfs" => format!(
                "the pool {} does its I/O from threads of the kernel, which no cgroup's limits hold",
                mount.source
            ),
            "overlay" => "none of its layers can be seen from here".to_owned(),
            kind if kind.starts_with("fuse") => {
                "a process serves it; name the files that this process keeps it in".to_owned()
            }
            _ if mount.source.starts_with('/') => {
                format!("{} is no block device", mount.source)
            }
            _ => "it is made by the kernel, and on no disk".to_owned(),
        };
        Self::NoDisk {
            path: path.to_owned(),
            kind: kind.to_owned(),
            mounted: mount.point.clone(),
            why,
        }
    }

    /// The same, of the path that was asked for.
    pub(super) fn at(self, asked: &Path) -> Self {
        match self {
            Self::Unknown { number, .. } => Self::Unknown {
                path: asked.to_owned(),
                number,
            },
            Self::NoBtrfs { device, .. } => Self::NoBtrfs {
                path: asked.to_owned(),
                device,
            },
            other => other,
        }
    }
}

fn at(mounted: &Path) -> String {
    format!(" (mounted at {})", mounted.display())
}
