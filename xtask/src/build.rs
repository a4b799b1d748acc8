//! `cargo xtask build`: the kernel programs first, then the binary that carries them inside.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::tree::{BPF_TARGET, Tree};
use crate::{setup, step};

/// The objects, by the name of their bin target in `chaosd-ebpf`.
const PROGRAMS: [&str; 2] = ["plane", "files"];

#[derive(clap::Args)]
pub struct Args {
    /// Optimise the binary (the kernel programs always are)
    #[arg(long)]
    release: bool,
}

pub fn run(tree: &Tree, args: &Args) -> Result<()> {
    programs(tree)?;
    binary(tree, args.release)
}

/// Builds the kernel programs into `target/ebpf/NAME.o`.
pub fn programs(tree: &Tree) -> Result<()> {
    setup::for_programs(tree)?;
    step::loud("kernel programs", &mut tree.cargo_for_bpf("build")?)?;
    for name in PROGRAMS {
        let built = tree.ebpf().join(BPF_TARGET).join("release").join(name);
        copy_if_changed(&built, &tree.ebpf().join(format!("{name}.o")))?;
    }
    Ok(())
}

/// Builds the binary; the programs must be there.
pub fn binary(tree: &Tree, release: bool) -> Result<()> {
    let mut cargo = tree.cargo();
    cargo.args(["build", "-p", "chaosd"]);
    if release {
        cargo.arg("--release");
    }
    step::loud("chaosd", &mut cargo)
}

/// Keeps the time stamp of an object that came out the same, so that nothing is rebuilt for it.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = std::fs::read(from).with_context(|| format!("failed to read {}", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    std::fs::write(to, new).with_context(|| format!("failed to write {}", to.display()))
}
