//! The programs of the tests package that a verb runs against the real binary: built for release,
//! as chaosd is shipped.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tree::Tree;
use crate::{build, setup, step};

/// Builds everything and becomes the program `name`: it gets the terminal's signals, and its exit
/// code is the verb's.
pub fn run(tree: &Tree, name: &str, args: &[String]) -> Result<()> {
    let program = build(tree, name)?;
    let error = command(&program, args).exec();
    Err(error).with_context(|| format!("failed to start {}", program.display()))
}

/// Builds everything and runs the program `name` to its end: its exit status, or 128 and the
/// signal that ended it, as a shell has it.
pub fn here(tree: &Tree, name: &str, args: &[String]) -> Result<u8> {
    let program = build(tree, name)?;
    let status = command(&program, args)
        .status()
        .with_context(|| format!("failed to start {}", program.display()))?;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Ok(code
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX))
}

/// Builds everything; where the program `name` is, with chaosd beside it.
pub fn build(tree: &Tree, name: &str) -> Result<PathBuf> {
    setup::needs_root("this makes network namespaces and loads programs")?;
    setup::for_tests()?;
    build::programs(tree)?;
    build::binary(tree, true)?;
    let mut cargo = tree.cargo();
    cargo.args(["build", "--release", "-p", "tests", "--bin", name]);
    step::loud(name, &mut cargo)?;
    Ok(tree.target().join("release").join(name))
}

fn command(program: &Path, args: &[String]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("CHAOSD_BIN", program.with_file_name("chaosd"));
    command
}
