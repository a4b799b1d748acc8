//! `cargo xtask demo`: builds everything for release and shows each fault at work.

use anyhow::Result;

use crate::program;
use crate::tree::Tree;

#[derive(clap::Args)]
pub struct Args {
    /// Arguments of the demonstration, such as --seed 7 or -o json
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub fn run(tree: &Tree, args: &Args) -> Result<()> {
    program::run(tree, "demo", &args.rest)
}
