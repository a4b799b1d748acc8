//! `cargo xtask lint`: what has to hold before anything is run.
//!
//! All checks run, whatever the first ones say, so that one round shows everything.

mod rules;

use anyhow::{Result, bail};

use crate::tree::Tree;
use crate::{build, step};

/// Nothing to choose.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(tree: &Tree, _: &Args) -> Result<()> {
    // The binary does not compile without the programs.
    build::programs(tree)?;

    let mut format = tree.cargo();
    format.args(["fmt", "--all", "--check"]);

    let mut clippy = tree.cargo();
    clippy.args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);

    let mut programs = tree.cargo_for_bpf("clippy")?;
    programs.args(["--", "-D", "warnings"]);

    let mut docs = tree.cargo();
    docs.args([
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ])
    .env("RUSTDOCFLAGS", "-D warnings");

    let results = [
        step::loud("formatting", &mut format),
        step::loud("clippy", &mut clippy),
        step::loud("clippy of the kernel programs", &mut programs),
        step::loud("documentation", &mut docs),
        step::quiet("rules of the tree", || rules::check(tree)),
    ];
    let failed: Vec<_> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(())
}
