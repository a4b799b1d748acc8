//! The static binary in a directory with nothing else, as in its image: with /dev, and the node's /proc, /sys and
//! /run, as its manifest mounts them.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::{Family, Instance, Lab, Mount, Snapshot, ping, skip, wait_until};

use crate::scene::LONG;

const PINGS: u32 = 3;

/// `cargo xtask dist` puts it there.
fn binary() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let path = test.ancestors().nth(3)?.join("dist/chaosd");
    path.exists().then_some(path)
}

struct Image {
    root: Mount,
    instance: Instance,
}

impl Image {
    fn new(binary: PathBuf) -> Result<Self> {
        let root = Mount::tmpfs()?;
        for dir in ["proc", "sys", "run", "dev"] {
            std::fs::create_dir(root.path().join(dir))?;
        }
        std::fs::copy(binary, root.path().join("chaosd"))?;
        Ok(Self {
            root,
            instance: Instance::new()?,
        })
    }

    /// The mounts go with the process, whose namespace is its own.
    fn chaosd(&self, args: &[&str]) -> Command {
        let script = "for d in proc sys run dev; do mount --rbind /$d \"$0/$d\" || exit 99; done; \
                      exec chroot \"$0\" /chaosd \"$@\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "slave", "sh", "-c", script])
            .arg(self.root.path())
            .args(args)
            .env("CHAOSD_STATE_DIR", self.instance.state_dir())
            .env("CHAOSD_SOCKET", self.instance.socket());
        command
    }
}

/// Dropped, it is interrupted, which reverts.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill};
        kill(
            nix::unistd::Pid::from_raw(self.0.id().cast_signed()),
            Signal::SIGINT,
        )
        .ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_static_binary_needs_nothing_beside_it() -> Result<()> {
    let Some(binary) = binary() else {
        skip!(
            Ok(()),
            "there is no static binary: `cargo xtask dist` makes it"
        );
    };
    let image = Image::new(binary)?;
    let bare = Command::new("chroot")
        .arg(image.root.path())
        .args(["/chaosd", "--version"])
        .output()?;
    ensure!(bare.status.success(), "{bare:?}");
    let doctor = image.chaosd(&["doctor", "-o", "json"]).output()?;
    let told: serde_json::Value =
        serde_json::from_slice(&doctor.stdout).with_context(|| format!("{doctor:?}"))?;
    ensure!(told["ready"] == true, "{told}");

    let lab = Lab::new("alone")?;
    let before = Snapshot::take(lab.target())?;
    let answers = || ping::ping(lab.target(), lab.peer(), Family::V4, PINGS);
    ensure!(answers()? == PINGS, "before");
    let netns = lab.target().netns();
    let flags = [
        "inject", "drop", "--rate", "100%", "--netns", netns, "--for", "5m",
    ];
    let running = image
        .chaosd(&flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = Running(running);
    let hit = wait_until(LONG, || answers().is_ok_and(|answers| answers == 0));
    ensure!(hit, "the fault has no effect");
    drop(running);
    let over = wait_until(Duration::from_secs(5), || {
        answers().is_ok_and(|a| a == PINGS)
    });
    ensure!(over, "the fault goes on");
    Snapshot::take(lab.target())?.assert_same(&before);
    Ok(())
}
