//! The standard library for another target than this machine's own.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::step;
use crate::tree::Tree;

/// rustup tries for minutes when packets to its server vanish.
const TIMEOUT_SECONDS: &str = "300";

/// Brings it, unless it is there.
pub fn ensure(tree: &Tree, target: &str) -> Result<()> {
    let label = format!("standard library for {target}");
    let sysroot = step::output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(tree.root()),
    )?;
    let there = Path::new(sysroot.trim()).join("lib/rustlib").join(target);
    if there.join("lib").exists() {
        step::nothing_to_do(&label, "already there");
        return Ok(());
    }
    step::quiet(&label, || {
        let rustup = ["rustup", "target", "add", target];
        let mut command = Command::new("timeout");
        command.arg(TIMEOUT_SECONDS).args(rustup);
        step::output(command.current_dir(tree.root())).map(drop)
    })
}
