//! System packages: the only list of programs that the tests and the demonstration start.

use std::process::Command;

use anyhow::{Result, bail};

use super::is_root;
use crate::step;

/// A Debian or Ubuntu package and the program we want of it.
struct Package {
    program: &'static str,
    package: &'static str,
}

/// Each with its reason. The product itself starts none of them.
const PACKAGES: [Package; 5] = [
    // Makes the network namespaces and veth pairs of the laboratory.
    Package {
        program: "ip",
        package: "iproute2",
    },
    // Shows that no qdisc and no filter is left behind.
    Package {
        program: "tc",
        package: "iproute2",
    },
    // Turns GRO on, so that super-packets reach the programs as they do on real hosts.
    Package {
        program: "ethtool",
        package: "ethtool",
    },
    // ICMP and ICMPv6, which no socket of ours speaks.
    Package {
        program: "ping",
        package: "iputils-ping",
    },
    // The kernel loads veth and the qdiscs through it where they are modules.
    Package {
        program: "modprobe",
        package: "kmod",
    },
];

/// Installs what is missing when root; else fails with the line that does it.
pub fn ensure() -> Result<()> {
    let mut missing: Vec<_> = PACKAGES
        .iter()
        .filter(|p| !is_on_path(p.program))
        .map(|p| p.package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        step::nothing_to_do("system packages", "already there");
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_on_path("apt-get") {
        bail!("the tests need these packages, by their Debian names: {list}");
    }
    if !is_root() {
        bail!("the tests need system packages; run: sudo apt-get install -y {list}");
    }
    let label = format!("system packages: {list}");
    step::quiet(&label, || {
        install(&missing).or_else(|_| {
            // The lists of a fresh machine are empty or old.
            step::output(Command::new("apt-get").args(["-q", "update"]))?;
            install(&missing)
        })
    })
}

fn install(packages: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-q", "install", "-y", "--no-install-recommends"])
        .args(packages);
    step::output(&mut apt).map(drop)
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks sbin, where these programs are.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}
