//! Containers of a containerd without its CRI plug-in, made by its own `ctr` in a namespace of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Network, SAID, SLEEP, image, quietly};

/// In which namespace they are.
pub const NAMESPACE: &str = "lab";

/// containerd without what the tests do not use, which each takes its time to start.
pub fn configuration(place: &Path, socket: &Path) -> String {
    let (place, socket) = (place.display(), socket.display());
    format!(
        r#"version = 2
root = "{place}/store"
state = "{place}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{socket}"
"#
    )
}

/// `ctr` with these words.
pub fn run(place: &Path, args: &[&str]) -> Result<()> {
    let mut ctr = Command::new("/usr/bin/ctr");
    ctr.arg("--address").arg(place.join("api.sock"));
    quietly(ctr.args(["--namespace", NAMESPACE]).args(args), place)
}

/// Starts one that sleeps, with the label `app`.
pub fn start(place: &Path, name: &str, network: Network<'_>) -> Result<()> {
    let network = match network {
        Network::Own | Network::Pod(_) => Vec::new(),
        Network::Host => vec!["--net-host".to_owned()],
        Network::Of(other) => {
            let path = format!("network:/proc/{}/ns/net", pid(place, other)?);
            vec!["--with-ns".to_owned(), path]
        }
    };
    let network: Vec<&str> = network.iter().map(String::as_str).collect();
    let label = format!("app={}", super::app(place));
    let options = ["run", "-d", "--null-io", "--label", &label];
    let what = [image::NAME, name];
    run(place, &[&options[..], &network, &what, &SLEEP].concat())
}

/// Its first process.
pub fn pid(place: &Path, name: &str) -> Result<i32> {
    run(place, &["tasks", "ls"])?;
    let said = std::fs::read_to_string(place.join(SAID))?;
    // `TASK PID STATUS`
    let row = |line: &str| -> Option<i32> {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    };
    said.lines().find_map(row).context("it does not run")
}

/// Ends its process and starts it again.
pub fn restart(place: &Path, name: &str) -> Result<()> {
    stop(place, name)?;
    run(place, &["tasks", "start", "-d", "--null-io", name])
}

/// Ends its process and keeps the container.
pub fn stop(place: &Path, name: &str) -> Result<()> {
    run(place, &["tasks", "rm", "-f", name])
}

/// Ends its process, if it has one, and forgets the container.
pub fn remove(place: &Path, name: &str) -> Result<()> {
    stop(place, name).ok();
    run(place, &["containers", "rm", name])
}
