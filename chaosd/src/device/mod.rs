//! Finds the disks that the I/O of a path goes to, whatever lies in between.
//!
//! A disk is a queue at which the kernel throttles: a whole disk, never a partition. A device
//! mapper volume, an md array and a loop device are disks too: a bio is held back where it enters
//! their queue, and again where what becomes of it enters the queue below (block/blk-core.c,
//! `submit_bio_noacct`). The uppermost is taken: its I/O is that of the path, and nothing else's.
//! Reads only.

mod error;
mod mounts;
mod sysfs;

pub use error::DeviceError;

use std::{
    fmt,
    fs::{self, File},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use nix::sys::stat::{major, minor};
use serde::{Deserialize, Serialize};

use crate::mounts::Mount;

/// How deep overlays may lie on each other (fs/overlayfs allows two).
const DEPTH_MAX: u32 = 4;

/// Major and minor number of a block device, as `io.max` names it: `8:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Number {
    /// Which driver.
    pub major: u64,
    /// Which of its devices.
    pub minor: u64,
}

/// A whole disk, and what lies below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its number, for `io.max`.
    pub number: Number,
    /// Its name in /sys/class/block: `dm-0`.
    pub name: String,
    /// What it is called otherwise: the name of a device mapper volume, the file of a loop device.
    pub label: Option<String>,
    /// The partition that the path is on, if it is on one.
    pub partition: Option<String>,
    /// The disks that it is made of.
    pub below: Vec<Disk>,
}

/// Where the I/O of a path goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Location {
    /// As asked.
    pub path: PathBuf,
    /// Its file system; none for a device node.
    pub file_system: Option<String>,
    /// The disks, at least one: several with btrfs and overlays.
    pub disks: Vec<Disk>,
}

/// The disks that the I/O of `path` goes to: of a file or directory those of its file system, of a
/// block device node its own.
///
/// # Errors
/// A path that is on no disk is refused by the name of what it is on.
pub fn of(path: &Path) -> Result<Location, DeviceError> {
    let mut location = Location {
        path: path.to_owned(),
        file_system: None,
        disks: Vec::new(),
    };
    let kind = fs::metadata(path)
        .map_err(|source| DeviceError::read(path, source))?
        .file_type();
    if kind.is_block_device() {
        let device = fs::metadata(path).map_err(|source| DeviceError::read(path, source))?;
        let disk = sysfs::disk(Number::of(device.rdev())).map_err(|e| e.at(path))?;
        location.disks.push(disk);
        return Ok(location);
    }
    if !kind.is_file() && !kind.is_dir() {
        return Err(DeviceError::NoFile(path.to_owned()));
    }
    let (mount, disks) = below(path, 0)?;
    location.file_system = Some(mount.kind);
    for disk in disks {
        if !(location.disks.iter()).any(|known: &Disk| known.number == disk.number) {
            location.disks.push(disk);
        }
    }
    Ok(location)
}

/// True when an open file is the root of a whole file system, and where else something is mounted
/// below it.
pub(crate) fn mounted(file: &File, path: &Path) -> Result<(bool, Vec<PathBuf>), DeviceError> {
    let root = mounts::of(file)?.is_some_and(|m| m.point == path && m.is_whole());
    Ok((root, mounts::below(path)))
}

/// The mount that a path is on, and the disks of that.
fn below(path: &Path, depth: u32) -> Result<(Mount, Vec<Disk>), DeviceError> {
    let read = |source| DeviceError::read(path, source);
    // Opened without touching it, so that the mount found is the one that the path leads to.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
        .map_err(read)?;
    let number = Number::of(file.metadata().map_err(read)?.dev());
    let mount = mounts::of(&file)?.ok_or_else(|| DeviceError::NoMount(path.to_owned()))?;
    let disks = match mount.kind.as_str() {
        // Its files have an anonymous device each subvolume, and its extents are anywhere.
        "btrfs" => sysfs::btrfs(&mount.source).map_err(|e| e.at(path))?,
        "bcachefs" => by_source(path, &mount)?,
        "overlay" if depth < DEPTH_MAX => overlay(path, &mount, depth)?,
        _ if number.major != 0 => vec![sysfs::disk(number).map_err(|e| e.at(path))?],
        _ => return Err(DeviceError::no_disk(path, &mount)),
    };
    Ok((mount, disks))
}

/// All devices that a mount names as its source: `/dev/sda:/dev/sdb`.
fn by_source(path: &Path, mount: &Mount) -> Result<Vec<Disk>, DeviceError> {
    let mut disks = Vec::new();
    for node in mount.source.split(':') {
        let device = fs::metadata(node).map_err(|source| DeviceError::read(node, source))?;
        if !device.file_type().is_block_device() {
            return Err(DeviceError::no_disk(path, mount));
        }
        disks.push(sysfs::disk(Number::of(device.rdev())).map_err(|e| e.at(path))?);
    }
    Ok(disks)
}

/// An overlay writes to its upper directory, and reads from that and from the lower ones. Those
/// that cannot be looked at from here (named relative to a directory that only the mounter knew)
/// are left out as long as another can.
fn overlay(path: &Path, mount: &Mount, depth: u32) -> Result<Vec<Disk>, DeviceError> {
    let mut disks = Vec::new();
    let mut failure = None;
    for layer in mount.layers() {
        if !layer.is_absolute() {
            continue;
        }
        match below(&layer, depth + 1) {
            Ok((_, found)) => disks.extend(found),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match (disks.is_empty(), failure) {
        (false, _) => Ok(disks),
        (true, Some(error)) => Err(error),
        (true, None) => Err(DeviceError::no_disk(path, mount)),
    }
}

impl Number {
    fn of(device: u64) -> Self {
        Self {
            major: major(device),
            minor: minor(device),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for Number {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.trim().split_once(':').unwrap_or((text, ""));
        Ok(Self {
            major: major.parse()?,
            minor: minor.parse()?,
        })
    }
}

/// `/srv -> dm-0 (vg-data) -> nvme0n1p3 -> nvme0n1`; several side by side: `md0 -> (sda, sdb)`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path.display(), arrows(&self.disks))
    }
}

/// The disk and all below it, as in [`Location`].
impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(partition) = &self.partition {
            write!(f, "{partition} -> ")?;
        }
        write!(f, "{}", self.name)?;
        if let Some(label) = &self.label {
            write!(f, " ({label})")?;
        }
        f.write_str(&arrows(&self.below))
    }
}

fn arrows(disks: &[Disk]) -> String {
    let each: Vec<_> = disks.iter().map(ToString::to_string).collect();
    match each.as_slice() {
        [] => String::new(),
        [one] => format!(" -> {one}"),
        several => format!(" -> ({})", several.join(", ")),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
