//! The standard library's sources, from which `-Z build-std` compiles `core` for BPF.
//!
//! rustup brings them where it can fetch. Where it cannot, Debian's package `rust-src` carries
//! the same files; apt fetches it from the mirror that this machine is already configured with,
//! in a state directory of its own, so that the machine's apt is not changed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::apt::{self, Apt, Mirrors};
use crate::step;
use crate::tree::Tree;

/// Suites that may carry the pinned version, the likeliest first.
const SUITES: [&str; 3] = ["trixie-backports", "trixie", "sid"];
/// rustup tries for minutes when packets to its server vanish.
const RUSTUP_TIMEOUT_SECONDS: &str = "120";

/// Puts the sources of `version` into the sysroot, unless they are there.
pub fn ensure(tree: &Tree, version: &str) -> Result<()> {
    let label = format!("rust-src {version}");
    let sysroot = step::output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(tree.root()),
    )?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    if source.join("library/core/Cargo.toml").exists() {
        step::nothing_to_do(&label, "already there");
        return Ok(());
    }
    step::quiet(&label, || {
        let rustup = step::output(
            Command::new("timeout")
                .args([
                    RUSTUP_TIMEOUT_SECONDS,
                    "rustup",
                    "component",
                    "add",
                    "rust-src",
                ])
                .current_dir(tree.root()),
        );
        match rustup {
            Ok(_) => Ok(()),
            Err(rustup) => from_debian(tree, version, &source).map_err(|debian| {
                rustup.context(format!(
                    "rust-src {version} comes neither from Debian ({debian:#}) nor from rustup"
                ))
            }),
        }
    })
}

fn from_debian(tree: &Tree, version: &str, destination: &Path) -> Result<()> {
    let dir = tree.target().join("setup/apt");
    let mirrors = Mirrors::find()?;
    let apt = Apt::new(&dir, &SUITES.map(|suite| (mirrors.main.as_str(), suite)))?;
    apt.update()?;
    let listing = apt.cache(&["madison", "rust-src"])?;
    let package = pick(&listing, version)
        .with_context(|| format!("no suite of {} carries it", SUITES.join(", ")))?;

    let unpacked = dir.join("unpacked");
    for archive in apt.download(&[&format!("rust-src={package}")])? {
        apt::unpack(&archive, &unpacked)?;
    }
    std::fs::create_dir_all(destination)
        .with_context(|| format!("failed to create {}", destination.display()))?;
    let library = unpacked.join(format!("usr/src/rustc-{version}/library"));
    step::output(Command::new("cp").arg("-a").arg(&library).arg(destination))?;
    // Only the copy in the sysroot is needed; a left-over is harmless and lies in target.
    drop(std::fs::remove_dir_all(&dir));
    Ok(())
}

/// The package version of upstream `version` in what `apt-cache madison` prints.
fn pick<'a>(madison: &'a str, version: &str) -> Option<&'a str> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|found| {
            found
                .strip_prefix(version)
                .is_some_and(|rest| rest.starts_with(['+', '-']))
        })
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn only_the_exact_upstream_version_is_picked() {
        let madison = " rust-src | 1.95.01-1 | m sid/main\n rust-src | 1.95.0+dfsg1-1~bpo13+1 | m trixie-backports/main\n";
        assert_eq!(pick(madison, "1.95.0"), Some("1.95.0+dfsg1-1~bpo13+1"));
        assert_eq!(pick(madison, "1.96.0"), None);
    }
}
