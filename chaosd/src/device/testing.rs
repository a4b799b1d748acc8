//! Block devices that go with a test.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs::File, path::PathBuf, process::Command};

use crate::journal::testing::TempDir;

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

pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.trim().to_owned())
}

impl Loop {
    pub fn new() -> Self {
        const SIZE: u64 = 32 << 20;
        let directory = TempDir::new();
        let file = directory.path().join("disk");
        File::create(&file).unwrap().set_len(SIZE).unwrap();
        let path = file.to_str().unwrap();
        let node = run("losetup", &["--find", "--show", path]).unwrap();
        Self {
            node,
            file,
            _directory: directory,
        }
    }

    /// None: this kernel has no device mapper.
    pub fn volume(&self) -> Option<Volume> {
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
        Some(Volume {
            node: format!("/dev/mapper/{name}"),
            name,
        })
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
