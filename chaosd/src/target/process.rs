//! A process, held by its directory in /proc.
//!
//! The descriptor stays with the process it was opened for: once that is gone, every look through
//! it fails with ESRCH, even when the number is used again (fs/proc/base.c).

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    fcntl::{OFlag, open as open_path, openat},
    sys::stat::Mode,
};

use super::TargetError;

/// Opens a process that runs.
pub(super) fn open(pid: i32) -> Result<OwnedFd, TargetError> {
    if pid <= 0 {
        return Err(TargetError::NoProcess(pid));
    }
    let directory = open_path(
        format!("/proc/{pid}").as_str(),
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .map_err(|_| TargetError::NoProcess(pid))?;
    match state(directory.as_fd()) {
        None => Err(TargetError::NoProcess(pid)),
        Some('Z' | 'X') => Err(TargetError::Zombie(pid)),
        Some(_) => Ok(directory),
    }
}

/// False once it has ended, also while its parent has not noticed yet.
pub(super) fn runs(process: BorrowedFd<'_>) -> bool {
    !matches!(state(process), None | Some('Z' | 'X'))
}

/// Its name (comm), at most 15 bytes.
pub(super) fn name(process: BorrowedFd<'_>) -> Option<String> {
    let mut name = read(process, "comm")?;
    name.truncate(name.trim_end().len());
    Some(name)
}

/// The cgroups it is in (cgroups(7)).
pub(super) fn cgroups(process: BorrowedFd<'_>) -> Option<String> {
    read(process, "cgroup")
}

/// The third field of /proc/PID/stat (`proc_pid_stat(5)`). The second may hold anything, so the
/// last bracket ends it.
fn state(process: BorrowedFd<'_>) -> Option<char> {
    let stat = read(process, "stat")?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.trim_start().chars().next()
}

fn read(process: BorrowedFd<'_>, file: &str) -> Option<String> {
    let fd = openat(
        process,
        file,
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
