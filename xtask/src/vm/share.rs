//! The host's root as the guest sees it: every file, and no way to change one.
//!
//! Invariant: virtiofsd runs in a mount namespace in which everything but the run's own directory
//! is read-only, so that not even a guest that mounts the share writable can write to the host.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::interrupt::Supervised;
use super::kernel::program;

/// The name of the socket in the run's directory.
pub const SOCKET: &str = "share";
const LOG: &str = "share.log";
const START_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Runs in the new mount namespace. The run's directory is mounted on itself, which keeps it
/// writable; /run is ours, since virtiofsd keeps a lock there. What cannot be made read-only is
/// no file system of the host's, such as /proc below a container.
const ENTER: &str = r#"
set -e
work=$1
shift
mount --bind "$work" "$work"
mount -t tmpfs run /run
while read -r _ dir _; do
    dir=$(printf '%b' "$dir")
    case $dir in
    "$work" | /run | /run/* | /proc | /proc/* | /sys | /sys/* | /dev/pts) ;;
    *) mount -o remount,bind,ro "$dir" 2>/dev/null || : ;;
    esac
done </proc/self/mounts
cd "$work"
exec "$@" >share.log 2>&1
"#;

/// Serves the root while it lives.
pub fn start(work: &Path) -> Result<Supervised> {
    let virtiofsd = program("virtiofsd")?;
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ENTER,
            "sh",
        ])
        .arg(work)
        .arg(&virtiofsd)
        .arg(format!("--socket-path={SOCKET}"));
    // The first virtiofsd was part of QEMU, the one after it is a program of its own.
    if virtiofsd.starts_with("/usr/lib/qemu") {
        command.args([
            "-o",
            "source=/",
            "-o",
            "cache=always",
            "-o",
            "sandbox=chroot",
        ]);
    } else {
        command.args(["--shared-dir=/", "--cache=always", "--sandbox=chroot"]);
    }
    let (share, _) = Supervised::start(&command)?;
    let socket = work.join(SOCKET);
    let mut waited = Duration::ZERO;
    while !socket.exists() {
        if waited > START_MAX || share.ended()?.is_some() {
            super::interrupt::check()?;
            bail!(
                "{} did not start: {}",
                virtiofsd.display(),
                log(work).trim_end()
            );
        }
        std::thread::sleep(POLL);
        waited += POLL;
    }
    Ok(share)
}

/// What it said.
pub fn log(work: &Path) -> String {
    std::fs::read_to_string(work.join(LOG)).unwrap_or_default()
}
