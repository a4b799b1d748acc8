//! bpf-linker, which turns LLVM bitcode into one BPF object.
//!
//! It goes into `target/tools`, so that nothing of ours lands in the user's home.

use anyhow::Result;

use crate::step;
use crate::tree::Tree;

/// Loads the libLLVM of rustc 1.95. From 0.11 on it wants a system LLVM that no stable
/// distribution carries.
const VERSION: &str = "0.10.4";

/// Installs the linker unless this version is there.
pub fn ensure(tree: &Tree) -> Result<()> {
    let label = format!("bpf-linker {VERSION}");
    let tools = tree.tools();
    if tools.join("bin/bpf-linker").exists() && is_installed(&tools) {
        step::nothing_to_do(&label, "already there");
        return Ok(());
    }
    let mut cargo = tree.cargo();
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--root",
        ])
        .arg(&tools)
        // Another target directory would be shared with whatever else the user builds there.
        .arg("--target-dir")
        .arg(tools.join("build"));
    step::loud(&label, &mut cargo)?;
    // 300 MB that nobody needs again; that it stays on a failure to remove it is harmless.
    drop(std::fs::remove_dir_all(tools.join("build")));
    Ok(())
}

/// Cargo's own record of what it installed under this root.
fn is_installed(tools: &std::path::Path) -> bool {
    std::fs::read_to_string(tools.join(".crates.toml"))
        .is_ok_and(|record| record.contains(&format!("\"bpf-linker {VERSION} ")))
}
