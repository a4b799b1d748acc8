//! Every developer verb, one file each: `cargo xtask VERB`.
//!
//! A verb is a module with `Args` and `run`; a new one is a new file, a line in [`Verb`] and a
//! line in [`dispatch`]. Nothing here is needed to use chaosd.

mod bench;
mod build;
mod demo;
mod dist;
mod lint;
mod program;
mod setup;
mod step;
mod test;
mod tree;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tree::Tree;

/// Builds, checks and tests chaosd.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring what this machine lacks to build and test; does nothing the second time.
    Setup(setup::Args),
    /// Build the kernel programs, then the binary that carries them.
    Build(build::Args),
    /// Show each fault at work: what was asked, and what a peer measured.
    Demo(demo::Args),
    /// Build the static binary, and what makes an image of it for Kubernetes.
    Dist(dist::Args),
    /// Run every test that this kernel, or another, can run, and count them.
    Test(test::Args),
    /// Measure what chaosd costs and how fast it is.
    Bench(bench::Args),
    /// Formatting, lints, documentation and the rules of the tree.
    Lint(lint::Args),
    /// Run a command under another kernel, in a machine that is thrown away.
    Vm(vm::Args),
    /// What a guest of the laboratory is told to do.
    #[command(hide = true)]
    RunTests(test::runner::Args),
}

fn dispatch(tree: &Tree, verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Vm(args) => return Ok(vm::run(tree, args)),
        Verb::Bench(args) => return bench::run(tree, args),
        Verb::Setup(args) => setup::run(tree, args),
        Verb::Build(args) => build::run(tree, args),
        Verb::Demo(args) => demo::run(tree, args),
        Verb::Dist(args) => dist::run(tree, args),
        Verb::Test(args) => test::run(tree, args),
        Verb::Lint(args) => lint::run(tree, args),
        Verb::RunTests(args) => test::runner::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match Tree::find().and_then(|tree| dispatch(&tree, &cli.verb)) {
        Ok(code) => code,
        Err(error) => {
            step::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
