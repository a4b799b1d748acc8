//! A place for a parent to die in.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    fuse::FENCED,
    parent::{KEYS, this_binary},
};
use crate::{
    instance::StateDir,
    journal::testing::TempDir,
    undo::{
        System,
        fake::{new_netns, real},
    },
};

/// A namespace, a state directory, and a parent in it.
pub(super) struct Scene {
    dir: TempDir,
    netns: OwnedFd,
    parent: Option<Child>,
    /// Kept, so that the parent can write to it to the end.
    output: Option<BufReader<ChildStdout>>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self {
            dir: TempDir::new(),
            netns: new_netns(),
            parent: None,
            output: None,
        }
    }

    pub(super) fn state(&self) -> StateDir {
        StateDir::new(self.dir.path().join("state"))
    }

    pub(super) fn fenced(&self) -> PathBuf {
        self.dir.path().join("fenced")
    }

    /// Starts a parent; returns the watchdog's process id once all is applied, if it comes so far.
    pub(super) fn start(&mut self, role: &str) -> Option<i32> {
        self.start_with(role, &[])
    }

    /// As [`Scene::start`], with variables that say what to apply.
    pub(super) fn start_with(&mut self, role: &str, told: &[(&str, String)]) -> Option<i32> {
        let fd = self.netns.as_raw_fd();
        let netns = format!("/proc/{}/fd/{fd}", std::process::id());
        let mut child = this_binary(role)
            .env("CHAOSD_TEST_STATE", self.state().path())
            .env("CHAOSD_TEST_NETNS", netns)
            .env(FENCED, self.fenced())
            .envs(told.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = self
            .output
            .insert(BufReader::new(child.stdout.take().unwrap()));
        self.parent = Some(child);
        output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("applied ")?.parse().ok())
    }

    pub(super) fn parent(&mut self) -> &mut Child {
        self.parent.as_mut().unwrap()
    }

    pub(super) fn values(&self) -> Vec<String> {
        let read = |key| {
            real()
                .read_sysctl(self.netns.as_fd(), key)
                .unwrap()
                .unwrap()
        };
        KEYS.map(read).to_vec()
    }

    pub(super) fn as_before(&self) -> bool {
        self.values() == ["0"; 3]
    }

    pub(super) fn nothing_left(&self) -> bool {
        let instances = self.state().path().join("instances");
        fs::read_dir(instances).map_or(0, Iterator::count) == 0
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(parent) = &mut self.parent {
            let _gone = parent.kill();
            let _reaped = parent.wait();
        }
    }
}

/// How long it took, at most `limit`.
pub(super) fn within(limit: Duration, condition: impl Fn() -> bool) -> Duration {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < limit, "not within {limit:?}");
        sleep(Duration::from_millis(5));
    }
    since.elapsed()
}

pub(super) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

pub(super) fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}
