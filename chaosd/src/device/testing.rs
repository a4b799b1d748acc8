//! Block devices that go with a test.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{journal::testing::TempDir, netlink::tests::skipped};

/// A loop device over a sparse file.
pub(crate) struct Loop {
    /// `/dev/loop0`
    pub node: String,
    pub file: PathBuf,
    _directory: TempDir,
}

/// A device mapper volume that is a loop device.
pub(crate) struct Volume {
    pub node: String,
    name: String,
}

/// What a program prints. None: it failed, and what it says of that is in the test's output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        println!("{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success().then(|| text.trim().to_owned())
}

/// Loads a driver whose control node is not there; where it is no module, nothing happens.
fn load(module: &str, control: &str) {
    if !Path::new(control).exists() {
        run("modprobe", &[module]);
    }
}

impl Loop {
    /// None, and the test is skipped: this machine has no loop devices.
    pub fn new() -> Option<Self> {
        const SIZE: u64 = 128 << 20;
        load("loop", "/dev/loop-control");
        let directory = TempDir::new();
        let file = directory.path().join("disk");
        File::create(&file).unwrap().set_len(SIZE).unwrap();
        let path = file.to_str().unwrap();
        let node = run("losetup", &["--find", "--show", path]);
        if node.is_none() {
            skipped("this machine has no loop device to give");
        }
        Some(Self {
            node: node?,
            file,
            _directory: directory,
        })
    }

    /// With a file system. None, and the test is skipped: it cannot be made here.
    pub fn with(kind: &str) -> Option<Self> {
        let disk = Self::new()?;
        let made = run(&format!("mkfs.{kind}"), &["-q", &disk.node]);
        if made.is_none() {
            skipped(&format!("this machine has no mkfs.{kind}"));
        }
        made.map(|_| disk)
    }

    /// None: this kernel has no device mapper.
    pub fn volume(&self) -> Option<Volume> {
        load("dm-mod", "/dev/mapper/control");
        let sectors = run("blockdev", &["--getsz", &self.node])?;
        let name = format!("chaosd-test-{}", self.node.trim_start_matches("/dev/"));
        let table = format!("0 {sectors} linear {} 0", self.node);
        run(
            "dmsetup",
            &[
                "create",
                &name,
                "--noudevsync",
                "--noudevrules",
                "--table",
                &table,
            ],
        )?;
        let mut volume = Volume {
            node: String::new(),
            name,
        };
        // The node that the kernel makes by itself; that in /dev/mapper is udev's business.
        let columns = [
            "--columns",
            "--noheadings",
            "-o",
            "blkdevname",
            &volume.name,
        ];
        let node = run("dmsetup", &[&["info"][..], &columns].concat())?;
        volume.node = format!("/dev/{node}");
        Some(volume)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        run("losetup", &["--detach", &self.node]);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run(
            "dmsetup",
            &["remove", "--retry", "--noudevsync", &self.name],
        );
    }
}
