//! Who changes a limit holds it meanwhile: of two that lower one file, each would put back what it
//! found, and whoever ends last the other's value.
//!
//! A lock on the control file itself (`fcntl_locking(2)`, of an open file description): the same file
//! in every namespace and for every state directory, and let go of with its holder, however that dies.

use std::{fs::File, io, path::PathBuf};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};

use super::file::open_control;
use crate::{
    device::Number,
    undo::{Control, Part},
};

/// Held until it is dropped.
#[derive(Debug)]
#[must_use = "a hold that is dropped is let go of"]
pub struct Hold {
    control: (PathBuf, Range),
    _locked: File,
}

/// Of a file: `(first, length)`, 0 being all that follows. Limits by device are each a byte of their own.
type Range = (libc::off_t, libc::off_t);

/// Why a limit cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// By another process.
    #[error(
        "{} is in the hands of another chaosd: end what that does first (chaosd revert --all, with its --state-dir)",
        .0.display()
    )]
    Taken(PathBuf),
    /// The kernel did not let us.
    #[error("failed to lock {}", path.display())]
    Lock {
        /// The control file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Hold {
    /// Holds what a change is to change. `None`: there is no such file yet, for its controller is to be
    /// enabled first; or it is a controller, which others may need too.
    pub fn take(control: &Control) -> Result<Option<Self>, HoldError> {
        let Some(range) = range(&control.part) else {
            return Ok(None);
        };
        let path = control.path();
        let failed = |source| HoldError::Lock {
            path: path.clone(),
            source,
        };
        let file = match open_control(&control.cgroup, control.id, &control.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        #[expect(clippy::cast_possible_truncation, reason = "constants of 0 and 1")]
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: range.0,
            l_len: range.1,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(Some(Self {
                control: (path, range),
                _locked: file,
            })),
            Err(Errno::EAGAIN | Errno::EACCES) => Err(HoldError::Taken(path)),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// True when it holds this already.
    pub fn is_of(&self, control: &Control) -> bool {
        range(&control.part).is_some_and(|range| self.control == (control.path(), range))
    }
}

fn range(part: &Part) -> Option<Range> {
    match part {
        Part::Enabled { .. } => None,
        Part::Value { .. } => Some((0, 0)),
        Part::Device { device, .. } | Part::Fields { device, .. } => {
            Some(byte_of(device).unwrap_or((0, 0)))
        }
    }
}

fn byte_of(device: &str) -> Option<Range> {
    let Number { major, minor } = device.parse().ok()?;
    // As the kernel numbers them: 12 bits, and 20 (include/linux/kdev_t.h).
    Some((libc::off_t::try_from(major << 20 | minor).ok()?, 1))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::cgroup::{
        Controller,
        limits::{cpu, freeze, io},
        testing::Target,
    };

    #[test]
    fn a_limit_is_held_once_and_anew_when_it_is_let_go_of() {
        let target = Target::new("hold", Controller::Freezer);
        let control = freeze::prepare(&target.cgroup, &[]).unwrap()[0]
            .control
            .clone();
        let hold = Hold::take(&control).unwrap().unwrap();
        assert!(hold.is_of(&control));
        let said = Hold::take(&control).unwrap_err().to_string();
        assert!(said.contains("another chaosd"), "{said}");
        drop(hold);
        assert!(Hold::take(&control).unwrap().is_some());
    }

    #[test]
    fn each_disk_of_a_file_is_held_for_itself() {
        let target = Target::new("hold-disks", Controller::Io);
        let limits = io::Limits {
            read_bps: Some(1 << 20),
            ..io::Limits::default()
        };
        let of = |minor| {
            let disk = Number { major: 7, minor };
            io::prepare(&target.cgroup, disk, &limits).unwrap()
        };
        let last = |minor| of(minor).last().unwrap().control.clone();
        let first = Hold::take(&last(0)).unwrap();
        if first.is_none() {
            // v2, where the controller is not enabled for it: there is no file to be held.
            return;
        }
        assert!(Hold::take(&last(1)).unwrap().is_some());
        assert!(matches!(Hold::take(&last(0)), Err(HoldError::Taken(_))));
    }

    #[test]
    fn what_is_enabled_for_all_is_held_by_nobody() {
        let target = Target::new("hold-enabled", Controller::Cpu);
        for change in cpu::prepare(&target.cgroup, 2000).unwrap() {
            if matches!(change.control.part, Part::Enabled { .. }) {
                assert!(Hold::take(&change.control).unwrap().is_none());
            }
        }
    }
}
