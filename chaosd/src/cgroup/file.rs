//! Reads and writes control files of a cgroup, and of nothing else.
//!
//! The directory is opened once, must be of a cgroup file system, and must be the same cgroup
//! (inode); the file is opened below that descriptor. So a path from a journal leads nowhere else.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use nix::{
    dir::{Dir, Type},
    errno::Errno,
    fcntl::{OFlag, openat},
    sys::{
        stat::Mode,
        statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs},
    },
};

use super::enabled;

/// The files that chaosd writes.
const WRITTEN: [&str; 16] = [
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "io.max",
    "cgroup.freeze",
    "pids.max",
    SUBTREE_CONTROL,
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.cfs_burst_us",
    "cpu.shares",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
    "freezer.state",
];

/// Which controllers the cgroups below one have.
pub(super) const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

/// The values with which the kernel makes a cgroup, of those files of a controller that somebody
/// may have set (Documentation/admin-guide/cgroup-v2.rst, "Controllers").
const DEFAULTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "cpu",
        &[
            ("cpu.max", "max 100000"),
            ("cpu.max.burst", "0"),
            ("cpu.weight", "100"),
            ("cpu.idle", "0"),
            ("cpu.uclamp.min", "0.00"),
            ("cpu.uclamp.max", "max"),
        ],
    ),
    (
        "io",
        &[
            ("io.max", ""),
            ("io.latency", ""),
            ("io.weight", "default 100"),
            ("io.bfq.weight", "default 100"),
            ("io.prio.class", "no-change"),
        ],
    ),
    (
        "memory",
        &[
            ("memory.min", "0"),
            ("memory.low", "0"),
            ("memory.high", "max"),
            ("memory.max", "max"),
            ("memory.oom.group", "0"),
            ("memory.swap.high", "max"),
            ("memory.swap.max", "max"),
            ("memory.zswap.max", "max"),
        ],
    ),
    ("pids", &[("pids.max", "max")]),
];

/// The contents of a control file, without surrounding blanks. None: there is no such cgroup any
/// more, or it has no such file (its controller is not enabled).
pub fn read_control(cgroup: &Path, id: u64, file: &str) -> io::Result<Option<String>> {
    match open(cgroup, id)? {
        Some(directory) => read_in(&directory, file),
        None => Ok(None),
    }
}

/// Writes a control file, in one write, which is how the kernel parses it.
///
/// # Errors
/// `NotFound` when the cgroup is gone or another has its name; `InvalidInput` for what is no
/// cgroup, or a file that chaosd never writes; else what the kernel answers.
pub fn write_control(cgroup: &Path, id: u64, file: &str, text: &str) -> io::Result<()> {
    open_control(cgroup, id, file)?.write_all(text.as_bytes())?;
    if file == SUBTREE_CONTROL {
        enabled::wrote(id, text);
    }
    Ok(())
}

/// A control file, to be written; errors as of [`write_control`].
pub(super) fn open_control(cgroup: &Path, id: u64, file: &str) -> io::Result<File> {
    if !WRITTEN.contains(&file) {
        return Err(invalid(format!("chaosd writes no file {file} of a cgroup")));
    }
    let directory = open(cgroup, id)?.ok_or_else(|| {
        let text = format!("the cgroup {} is gone", cgroup.display());
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    Ok(openat(directory.as_fd(), file, flags, Mode::empty())?.into())
}

/// What would be lost if `controller` were disabled for the cgroups below this one: a value that
/// is not the one they are made with, or one more level that has it. None: nothing.
pub fn uses_controller(cgroup: &Path, id: u64, controller: &str) -> io::Result<Option<String>> {
    let Some(directory) = open(cgroup, id)? else {
        return Ok(None);
    };
    let defaults = DEFAULTS
        .iter()
        .find(|(name, _)| *name == controller)
        .map_or(&[][..], |(_, files)| files);
    let mut listing = Dir::from_fd(directory.try_clone()?)?;
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type() != Some(Type::Directory) || name.starts_with('.') {
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let child = match openat(&directory, entry.file_name(), flags, Mode::empty()) {
            Ok(child) => child,
            Err(Errno::ENOENT | Errno::ENODEV) => continue,
            Err(errno) => return Err(errno.into()),
        };
        let below = read_in(&child, SUBTREE_CONTROL)?.unwrap_or_default();
        if below.split_whitespace().any(|word| word == controller) {
            return Ok(Some(format!("{controller} in use below {name}")));
        }
        for (file, default) in defaults {
            if let Some(found) = read_in(&child, file)?
                && found != *default
            {
                return Ok(Some(format!("{name}/{file} set to {found}")));
            }
        }
    }
    Ok(None)
}

/// The directory, if it is still the same cgroup.
fn open(cgroup: &Path, id: u64) -> io::Result<Option<OwnedFd>> {
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(cgroup);
    let directory = match opened {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let kind = fstatfs(directory.as_fd())?.filesystem_type();
    if kind != CGROUP2_SUPER_MAGIC && kind != CGROUP_SUPER_MAGIC {
        return Err(invalid(format!("{} is no cgroup", cgroup.display())));
    }
    let same = directory.metadata()?.ino() == id;
    Ok(same.then(|| directory.into()))
}

fn read_in(directory: &OwnedFd, file: &str) -> io::Result<Option<String>> {
    if file.contains('/') || file.starts_with('.') {
        return Err(invalid(format!("{file} is no file of a cgroup")));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mut file = match openat(directory.as_fd(), file, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) => Ok(Some(text.trim().to_owned())),
        // The cgroup was removed while we held it (fs/kernfs/file.c).
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
