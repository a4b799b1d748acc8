//! The Chaos Toolkit, which the tests let drive chaosd: in a directory of its own under `target/tools`,
//! by the pip that this machine's Python has.

use std::process::Command;

use anyhow::Result;

use crate::step;
use crate::tree::Tree;

/// The last ones that a Python of Debian 12 takes.
const PACKAGES: [&str; 2] = ["chaostoolkit==1.19.0", "chaostoolkit-lib==1.44.0"];

/// Brings it unless it is there. Where that fails, the tests that need it are skipped, saying so.
pub fn ensure(tree: &Tree) {
    let label = "Chaos Toolkit";
    if tree.tools().join("chaostoolkit/bin/chaos").exists() {
        step::nothing_to_do(label, "already there");
        return;
    }
    if let Err(error) = step::quiet(label, || install(tree)) {
        step::note(&format!("its tests are skipped: {error:#}"));
    }
}

fn install(tree: &Tree) -> Result<()> {
    let place = tree.tools().join("chaostoolkit");
    // What an interrupted installation left is begun anew.
    step::output(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&place),
    )?;
    let mut pip = Command::new(place.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir"])
        .args(["--disable-pip-version-check", "--retries", "1"])
        .args(PACKAGES);
    step::output(&mut pip).map(drop)
}
