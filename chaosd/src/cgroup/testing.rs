//! Cgroups to limit, in whichever hierarchy this machine keeps a controller, and programs in them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Change, Controller, Version, apply, mount, resolve, tests::Scratch};
use crate::{
    journal::{
        Journal,
        testing::{TempDir, begin},
    },
    plan::Cgroup,
    txn::{Applied, Txn},
    undo::{RevertReport, fake::real},
};

/// What a controller is enabled for is of the whole machine, so these tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A cgroup, with its counterpart in a v1 hierarchy if this machine has the controller there. Both
/// go with the guard, and the processes in them.
pub(crate) struct Target {
    pub cgroup: Cgroup,
    /// Where the files of the controller are, or will be.
    pub files: PathBuf,
    pub version: Version,
    children: Vec<Child>,
    below: Vec<Scratch>,
    _directories: Vec<Scratch>,
    _turn: MutexGuard<'static, ()>,
}

impl Target {
    pub fn new(name: &str, controller: Controller) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let unified = Scratch::new(name);
        let mut directories = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let v1 = mount::v1(&mounts, controller.v1());
        let (files, version) = match v1.filter(|_| controller != Controller::Freezer) {
            Some(root) => {
                let counterpart = Scratch(root.join(unified.name()));
                fs::create_dir(&counterpart.0).unwrap();
                let files = counterpart.0.clone();
                directories.push(counterpart);
                (files, Version::V1)
            }
            None => (unified.0.clone(), Version::V2),
        };
        let cgroup = resolve(unified.name()).unwrap();
        directories.push(unified);
        Self {
            cgroup,
            files,
            version,
            children: Vec::new(),
            below: Vec::new(),
            _directories: directories,
            _turn: turn,
        }
    }

    /// One of v1's freezer alone, below the root of its hierarchy; none where there is no such.
    pub fn in_v1_s_freezer(name: &str) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = mount::v1(&mounts, Controller::Freezer.v1())?;
        let unified = Scratch::new(name);
        let counterpart = Scratch(root.join(unified.name()));
        fs::create_dir(&counterpart.0).unwrap();
        Some(Self {
            cgroup: resolve(unified.name()).unwrap(),
            files: counterpart.0.clone(),
            version: Version::V1,
            children: Vec::new(),
            below: Vec::new(),
            _directories: vec![counterpart, unified],
            _turn: turn,
        })
    }

    /// Makes a cgroup below, in both hierarchies.
    pub fn make_below(&mut self, name: &str) -> PathBuf {
        let mut directories = vec![self.cgroup.path.join(name)];
        if self.version == Version::V1 {
            directories.push(self.files.join(name));
        }
        for directory in &directories {
            fs::create_dir(directory).unwrap();
            self.below.push(Scratch(directory.clone()));
        }
        self.files.join(name)
    }

    pub fn file(&self, name: &str) -> String {
        read(&self.files, name)
    }

    /// Moves a process into the cgroup.
    pub fn take(&self, pid: u32) {
        for directory in [&self.cgroup.path, &self.files] {
            fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
        }
    }

    /// Starts a program in the cgroup.
    pub fn start(&mut self, program: &str, arguments: &[&str]) -> &mut Child {
        let child = Command::new(program).args(arguments).spawn().unwrap();
        let pid = child.id();
        self.children.push(child);
        self.take(pid);
        self.children.last_mut().unwrap()
    }

    /// Starts one that sleeps, in a cgroup that was made below.
    pub fn sleep_below(&mut self, directory: &Path) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id();
        self.children.push(child);
        fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// Starts a shell that burns CPU time.
    pub fn spin(&mut self) -> u32 {
        self.start("sh", &["-c", "while :; do :; done"]).id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

pub(crate) fn read(directory: &Path, name: &str) -> String {
    let text = fs::read_to_string(directory.join(name)).unwrap();
    text.trim().to_owned()
}

/// CPU time that a process has used.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let fields = after_name.split(' ').skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
    // USER_HZ is 100 on every architecture that chaosd is built for.
    Duration::from_millis(ticks * 10)
}

/// Changes that stand until the guard is asked to revert them.
pub(crate) struct Standing {
    applied: Applied,
    _directory: TempDir,
}

impl Standing {
    pub fn of(changes: &[Change]) -> Self {
        let directory = TempDir::new();
        let journal = Journal::create(directory.path().join("a.journal"), begin()).unwrap();
        let mut txn = Txn::begin(journal, Arc::new(real()));
        for change in changes {
            apply(&mut txn, change).unwrap_or_else(|e| {
                panic!("{change:?}: {}", crate::undo::chain(&e));
            });
        }
        Self {
            applied: txn.commit().unwrap(),
            _directory: directory,
        }
    }

    /// Undoes them, and says what came of it.
    pub fn report(self) -> RevertReport {
        self.applied.revert()
    }

    /// Undoes them, of which nothing may be left.
    pub fn revert(self) {
        let undos = self.applied.undos().count();
        let report = self.applied.revert();
        assert!(
            report.is_clean() && report.left_alone.is_empty(),
            "{report}"
        );
        assert_eq!(report.undone.len(), undos, "{report}");
    }
}
