//! Whether a process is in a cgroup or below it, asked so often that it must be cheap.
//!
//! Since Linux 6.13 a pidfd tells the id of its process's cgroup in a microsecond. What lies below what
//! never changes for an id, so it is looked up once. Before, /proc/PID/cgroup is read each time, of a
//! file that is kept open. Both belong to this very process: when it is dead they say nothing, even if
//! another has its number. Where a process stands is never remembered, for it may be moved.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use crate::sys::process::{cgroup_id, pidfd_open};

/// So many are remembered; then all are forgotten at once, which costs each of them one look.
pub(super) const REMEMBERED: usize = 512;

#[derive(Debug)]
pub(super) struct Members {
    /// From the root: `/system.slice`.
    path: String,
    processes: HashMap<i32, Process>,
    /// By the id of a cgroup: it is ours or below it.
    ours: HashMap<u64, bool>,
    tells_ids: bool,
}

/// What a process's cgroup is asked of.
#[derive(Debug)]
struct Process {
    pidfd: OwnedFd,
    file: File,
}

impl Process {
    fn open(pid: i32) -> Option<Self> {
        Some(Self {
            pidfd: pidfd_open(pid.cast_unsigned()).ok()?,
            file: File::open(format!("/proc/{pid}/cgroup")).ok()?,
        })
    }
}

impl Members {
    pub(super) fn of(path: String) -> Self {
        Self {
            path,
            processes: HashMap::new(),
            ours: HashMap::new(),
            tells_ids: true,
        }
    }

    /// True when it is one of them now.
    pub(super) fn have(&mut self, pid: i32) -> bool {
        if let Some(found) = self.look(pid) {
            return found;
        }
        // Not seen before, or it is dead and another has its number.
        let Some(process) = Process::open(pid) else {
            self.processes.remove(&pid);
            return false;
        };
        if self.processes.len() >= REMEMBERED {
            self.processes.clear();
        }
        self.processes.insert(pid, process);
        self.look(pid).unwrap_or(false)
    }

    /// None: whom we remember is dead.
    fn look(&mut self, pid: i32) -> Option<bool> {
        let process = self.processes.get(&pid)?;
        if !self.tells_ids {
            return is_below(&process.file, &self.path);
        }
        let id = match cgroup_id(process.pidfd.as_fd()) {
            Ok(id) => id,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.tells_ids = false;
                return self.look(pid);
            }
            Err(_) => return None,
        };
        if let Some(ours) = self.ours.get(&id) {
            return Some(*ours);
        }
        let ours = is_below(&process.file, &self.path)?;
        // Unless it was moved in between.
        if cgroup_id(process.pidfd.as_fd()).is_ok_and(|still| still == id) {
            if self.ours.len() >= REMEMBERED {
                self.ours.clear();
            }
            self.ours.insert(id, ours);
        }
        Some(ours)
    }
}

/// Asks an open /proc/PID/cgroup. None: its process is dead.
fn is_below(file: &File, path: &str) -> Option<bool> {
    let mut text = [0; 4096];
    let length = file.read_at(&mut text, 0).ok()?;
    let unified = unified(&text[..length])?;
    Some(is_in(unified, path.as_bytes()))
}

/// The path in the unified hierarchy: what follows `0::` (`cgroups(7)`).
fn unified(text: &[u8]) -> Option<&[u8]> {
    text.split(|byte| *byte == b'\n')
        .rev()
        .find_map(|line| line.strip_prefix(b"0::"))
}

/// True for a cgroup itself and for those below it.
fn is_in(path: &[u8], cgroup: &[u8]) -> bool {
    let root = cgroup == b"/";
    root || path
        .strip_prefix(cgroup)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::{fs, process::Command};

    use super::*;
    use crate::cgroup::{self, tests::Scratch};

    #[test]
    fn a_cgroup_has_those_below_it_and_not_its_neighbours() {
        let text = b"2:cpu:/\n1:name=systemd:/x\n0::/shop/web\n";
        let path = unified(text).unwrap();
        assert_eq!(path, b"/shop/web");
        for (cgroup, has) in [
            ("/", true),
            ("/shop", true),
            ("/shop/web", true),
            ("/shop/we", false),
            ("/shop/web/x", false),
            ("/sho", false),
        ] {
            assert_eq!(is_in(path, cgroup.as_bytes()), has, "{cgroup}");
        }
        assert_eq!(unified(b"1:cpu:/\n"), None);
    }

    #[test]
    fn a_process_is_followed_from_cgroup_to_cgroup_and_to_its_death() {
        if cgroup::unified().is_err() {
            return;
        }
        let scratch = Scratch::new("latency");
        let name = format!("/{}", scratch.name().display());
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let enter = |directory: &std::path::Path| {
            fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
        };
        for tells_ids in [true, false] {
            let mut members = Members::of(name.clone());
            members.tells_ids = tells_ids;
            enter(scratch.0.parent().unwrap());
            assert!(!members.have(pid), "{members:?}");
            enter(&scratch.0);
            assert!(members.have(pid), "{members:?}");
            enter(scratch.0.parent().unwrap());
            assert!(!members.have(pid), "{members:?}");
        }
        let mut members = Members::of("/".into());
        assert!(members.have(pid), "{members:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!members.have(pid), "it is dead");
    }
}
