//! `cargo xtask setup`: everything that a machine with only Rust lacks.
//!
//! Invariant: each part first looks whether it is there, so the second run changes nothing and
//! needs no network. The other verbs call the parts they need.

mod apt;
mod linker;
mod packages;
mod rust_src;
mod standard_library;
mod toolkit;

pub use apt::{Apt, Mirrors, unpack};
pub use packages::path_of;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tree::Tree;
use crate::{step, vm};

#[derive(clap::Args)]
pub struct Args {
    /// Bring QEMU and the kernels of the laboratory too, which else the first guest does
    #[arg(long)]
    laboratory: bool,
}

/// All parts that building and testing on this kernel take.
pub fn run(tree: &Tree, args: &Args) -> Result<()> {
    for_programs(tree)?;
    for_tests()?;
    for_toolkit(tree);
    if args.laboratory {
        for_laboratory()?;
        vm::fetch_all(tree)?;
    }
    Ok(())
}

/// What compiling the kernel programs takes.
pub fn for_programs(tree: &Tree) -> Result<()> {
    let version = toolchain(tree)?;
    rust_src::ensure(tree, &version)?;
    linker::ensure(tree)
}

/// What the tests and the demonstration run.
pub fn for_tests() -> Result<()> {
    packages::for_tests()
}

/// What the tests of experiments let drive chaosd.
pub fn for_toolkit(tree: &Tree) {
    toolkit::ensure(tree);
}

/// What compiling for another target takes.
pub fn standard_library(tree: &Tree, target: &str) -> Result<()> {
    standard_library::ensure(tree, target)
}

/// What booting another kernel takes; only the verbs that boot one ask for it.
pub fn for_laboratory() -> Result<()> {
    packages::for_laboratory()
}

/// Brings what a guest with systemd as its first process runs.
pub fn for_systemd() -> Result<()> {
    packages::for_systemd()
}

/// Whether this process may change the machine.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // /proc/self belongs to the effective user, which spares a system call binding.
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Fails, with what to type instead, unless this process may change the machine.
pub fn needs_root(why: &str) -> Result<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    ensure!(
        is_root(),
        "{why}, which takes root; run:\n  sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask {}",
        words.join(" ")
    );
    Ok(())
}

/// The version of rustc, which must be the one that `rust-toolchain.toml` pins: the standard
/// library's sources have to match it exactly.
fn toolchain(tree: &Tree) -> Result<String> {
    let path = tree.root().join("rust-toolchain.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let pinned = channel(&text).with_context(|| format!("no channel in {}", path.display()))?;
    let line = step::output(
        std::process::Command::new("rustc")
            .arg("--version")
            .current_dir(tree.root()),
    )?;
    let found = line.split_whitespace().nth(1).unwrap_or_default();
    if found != pinned {
        bail!(
            "rustc is {found}, but rust-toolchain.toml pins {pinned}; run: rustup toolchain install {pinned}"
        );
    }
    Ok(pinned.to_owned())
}

fn channel(toolchain: &str) -> Option<&str> {
    let value = toolchain
        .lines()
        .find_map(|line| line.trim().strip_prefix("channel"))?;
    value
        .trim_start()
        .strip_prefix('=')?
        .trim()
        .strip_prefix('"')?
        .split('"')
        .next()
}

#[cfg(test)]
mod tests {
    use super::channel;

    #[test]
    fn the_pinned_channel_is_read_from_the_toolchain_file() {
        assert_eq!(
            channel("[toolchain]\nchannel = \"1.95.0\"\n"),
            Some("1.95.0")
        );
        assert_eq!(channel("[toolchain]\nprofile = \"minimal\"\n"), None);
    }
}
