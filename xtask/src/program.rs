//! The programs of the tests package that a verb runs against the real binary: built for release,
//! as chaosd is shipped.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::tree::Tree;
use crate::{build, setup, step};

/// Builds everything and becomes the program `name`: it gets the terminal's signals, and its exit
/// code is the verb's.
pub fn run(tree: &Tree, name: &str, args: &[String]) -> Result<()> {
    setup::needs_root("this makes network namespaces and loads programs")?;
    setup::for_tests()?;
    build::programs(tree)?;
    build::binary(tree, true)?;
    let mut cargo = tree.cargo();
    cargo.args(["build", "--release", "-p", "tests", "--bin", name]);
    step::loud(name, &mut cargo)?;

    let built = tree.target().join("release");
    let program = built.join(name);
    let error = Command::new(&program)
        .args(args)
        .env("CHAOSD_BIN", built.join("chaosd"))
        .exec();
    Err(error).with_context(|| format!("failed to start {}", program.display()))
}
