//! `cargo xtask bench WHAT`: builds everything for release and measures.

use anyhow::Result;

use crate::program;
use crate::tree::Tree;

#[derive(clap::Args)]
pub struct Args {
    /// What to measure, and how
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WHAT"
    )]
    rest: Vec<String>,
}

pub fn run(tree: &Tree, args: &Args) -> Result<()> {
    program::run(tree, "bench", &args.rest)
}
