//! What a parent changes, and how to tell that it is as before.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::PathBuf};

use nix::{
    mount::{MsFlags, mount, umount},
    sys::statvfs::statvfs,
};

use super::parent::{CONTROLS, FAULT};
use crate::{
    cgroup::{
        Controller, Version,
        testing::{Standing, Target},
    },
    clock,
    device::{self, testing::Loop},
    journal::testing::TempDir,
    undo::{Control, Part},
};

/// Files that limits are written to, by both versions, and those that enable controllers.
const FILES: [&str; 12] = [
    "cpu.max",
    "cpu.max.burst",
    "io.max",
    "cgroup.freeze",
    "pids.max",
    "cgroup.subtree_control",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.write_iops_device",
    "freezer.state",
];
/// What counts as the same time, in microseconds.
const SAME_US: i64 = 1_000;

/// A limit of a cgroup.
pub(super) struct Case {
    pub(super) name: &'static str,
    controller: Controller,
    /// As a profile has it. `DISK` is a disk.
    fault: &'static str,
    /// What the cgroup is held to before: a file of v1 and its text, and the same of v2. `DISK` is the
    /// disk's number. Without it the controller is not even enabled, where it can be disabled.
    prior: Option<[(&'static str, &'static str); 2]>,
}

pub(super) const CASES: [Case; 7] = [
    Case {
        name: "a quota where there was none",
        controller: Controller::Cpu,
        fault: "cpu-quota: 10%",
        prior: None,
    },
    Case {
        name: "a lower quota",
        controller: Controller::Cpu,
        fault: "cpu-quota: 10%",
        prior: Some([("cpu.cfs_quota_us", "80000"), ("cpu.max", "40000 50000")]),
    },
    Case {
        name: "a throttle where there was none",
        controller: Controller::Io,
        fault: "disk: {device: DISK, read-bps: 2MB/s, write-iops: 50}",
        prior: None,
    },
    Case {
        name: "a lower throttle",
        controller: Controller::Io,
        fault: "disk: {device: DISK, read-bps: 2MB/s, write-bps: 2MB/s, write-iops: 50}",
        prior: Some([
            ("blkio.throttle.read_bps_device", "DISK 9000000"),
            ("io.max", "DISK rbps=9000000 riops=700"),
        ]),
    },
    Case {
        name: "a full stop",
        controller: Controller::Freezer,
        fault: "freeze: {}",
        prior: None,
    },
    Case {
        name: "no slots where they were not counted",
        controller: Controller::Pids,
        fault: "pids: {}",
        prior: None,
    },
    Case {
        name: "fewer slots",
        controller: Controller::Pids,
        fault: "pids: {leave: 2}",
        prior: Some([("pids.max", "300"), ("pids.max", "300")]),
    },
];

/// What a parent changes, and how to tell that it is as before.
pub(super) trait Subject {
    /// Variables that tell the parent.
    fn told(&self) -> Vec<(&'static str, String)>;
    /// How it stands, if that is not as before.
    fn changed(&self) -> Option<String>;
}

/// A cgroup with a process in it, which is to be limited.
pub(super) struct Limited {
    told: (&'static str, String),
    directories: Vec<PathBuf>,
    before: BTreeMap<PathBuf, String>,
    // In this order they go.
    _prior: Option<Standing>,
    _disk: Option<Loop>,
    _target: Target,
}

impl Limited {
    /// None: this machine has no disk for it, and the test says so.
    pub(super) fn new(case: &Case) -> Option<Self> {
        let mut target = Target::new("crash", case.controller);
        let disk = match case.controller {
            Controller::Io => Some(Loop::new()?),
            _ => None,
        };
        let node = disk.as_ref().map_or("", |disk| disk.node.as_str());
        let number = disk.as_ref().map(|disk| {
            let found = device::of(disk.node.as_ref()).unwrap();
            found.disks[0].number.to_string()
        });
        // In the unified tree it is one below, so that there is something to enable.
        let (limited, prior) = match target.version {
            Version::V1 => (target.cgroup.path.clone(), None),
            Version::V2 => {
                let limited = target.make_below("in");
                let cgroup = crate::cgroup::resolve(&limited).unwrap();
                let place = case.controller.place(&cgroup).unwrap();
                let enabled = || Standing::of(&place.enable);
                (limited, case.prior.map(|_| enabled()))
            }
        };
        let files = match target.version {
            Version::V1 => target.files.clone(),
            Version::V2 => limited.clone(),
        };
        if let Some([v1, v2]) = case.prior {
            let (file, text) = match target.version {
                Version::V1 => v1,
                Version::V2 => v2,
            };
            let text = text.replace("DISK", number.as_deref().unwrap_or_default());
            fs::write(files.join(file), text).unwrap();
        }
        match target.version {
            Version::V1 => drop(target.start("sleep", &["600"]).id()),
            Version::V2 => target.sleep_below(&limited),
        }
        let fault = format!(
            "version: 1\ntarget: {{cgroup: {}}}\nfaults: [{{{}}}]\n",
            limited.display(),
            case.fault.replace("DISK", node)
        );
        let mut directories = vec![limited.clone(), files];
        directories.extend(limited.ancestors().skip(1).take(2).map(PathBuf::from));
        Some(Self::of((FAULT, fault), directories, prior, disk, target))
    }

    /// The freezer of v1, which is used where the unified tree has none. None: there is none here.
    pub(super) fn frozen_by_v1() -> Option<Self> {
        let mut target = Target::in_v1_s_freezer("crash-v1")?;
        target.start("sleep", &["600"]);
        let directory = target.files.clone();
        let control = Control {
            id: fs::metadata(&directory).unwrap().ino(),
            cgroup: directory.clone(),
            file: "freezer.state".into(),
            part: Part::Value {
                prior: "THAWED".into(),
                ours: "FROZEN".into(),
            },
        };
        let told = (CONTROLS, serde_json::to_string(&[control]).unwrap());
        Some(Self::of(told, vec![directory], None, None, target))
    }

    fn of(
        told: (&'static str, String),
        directories: Vec<PathBuf>,
        prior: Option<Standing>,
        disk: Option<Loop>,
        target: Target,
    ) -> Self {
        let mut limited = Self {
            told,
            directories,
            before: BTreeMap::new(),
            _prior: prior,
            _disk: disk,
            _target: target,
        };
        limited.before = limited.files();
        limited
    }

    fn files(&self) -> BTreeMap<PathBuf, String> {
        let paths = (self.directories.iter()).flat_map(|path| FILES.map(|file| path.join(file)));
        paths
            .filter_map(|path| Some((path.clone(), fs::read_to_string(path).ok()?)))
            .collect()
    }
}

impl Subject for Limited {
    fn told(&self) -> Vec<(&'static str, String)> {
        vec![self.told.clone()]
    }

    fn changed(&self) -> Option<String> {
        let now = self.files();
        (now != self.before).then(|| format!("{now:?}, and before {:?}", self.before))
    }
}

/// The host's clock.
pub(super) struct Clock {
    fault: &'static str,
    apart_us: i64,
}

impl Clock {
    pub(super) fn new(fault: &'static str) -> Self {
        let apart_us = clock::Standing::read().unwrap().apart_us;
        Self { fault, apart_us }
    }
}

impl Subject for Clock {
    fn told(&self) -> Vec<(&'static str, String)> {
        let fault = self.fault;
        vec![(FAULT, format!("version: 1\nfaults: [{{{fault}}}]\n"))]
    }

    fn changed(&self) -> Option<String> {
        let off = clock::Standing::read().unwrap().apart_us - self.apart_us;
        (off.abs() > SAME_US).then(|| format!("{off} us off"))
    }
}

/// A file system in memory, which runs full.
pub(super) struct Filled {
    directory: TempDir,
    free: u64,
}

impl Filled {
    pub(super) fn new() -> Self {
        let directory = TempDir::new();
        let (kind, size) = (Some("tmpfs"), Some("size=64m"));
        mount(kind, directory.path(), kind, MsFlags::empty(), size).unwrap();
        let mut filled = Self { directory, free: 0 };
        filled.free = filled.free();
        filled
    }

    fn free(&self) -> u64 {
        statvfs(self.directory.path()).unwrap().blocks_free()
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        umount(self.directory.path()).unwrap();
    }
}

impl Subject for Filled {
    fn told(&self) -> Vec<(&'static str, String)> {
        let path = self.directory.path().display();
        let fault = format!("disk-fill: {{path: {path}, size: 8MiB}}");
        vec![(FAULT, format!("version: 1\nfaults: [{{{fault}}}]\n"))]
    }

    fn changed(&self) -> Option<String> {
        let names = fs::read_dir(self.directory.path()).unwrap().count();
        let free = self.free();
        (names > 0 || free != self.free).then(|| {
            format!(
                "{names} files, {free} blocks free, and before {}",
                self.free
            )
        })
    }
}
