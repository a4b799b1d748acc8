//! `cargo xtask dist`: a binary that asks for no library, and beside it what makes an image of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::tree::Tree;
use crate::{build, setup, step};

/// What lies beside the binary, and where it is in the tree.
const FILES: [&str; 2] = ["Dockerfile", "daemonset.yaml"];

#[derive(clap::Args)]
pub struct Args {}

pub fn run(tree: &Tree, _: &Args) -> Result<()> {
    let target = target()?;
    build::programs(tree)?;
    setup::standard_library(tree, &target)?;
    let mut cargo = tree.cargo();
    cargo.args(["build", "--release", "-p", "chaosd", "--target", &target]);
    step::loud(&format!("chaosd for {target}"), &mut cargo)?;
    let built = tree.target().join(&target).join("release/chaosd");
    let bytes =
        std::fs::read(&built).with_context(|| format!("failed to read {}", built.display()))?;
    ensure!(is_static(&bytes)?, "{} asks for libraries", built.display());
    let dist = tree.target().join("dist");
    std::fs::create_dir_all(&dist)
        .with_context(|| format!("failed to create {}", dist.display()))?;
    let program = dist.join("chaosd");
    // Debug information stays behind: it is most of the file.
    step::output(
        Command::new("strip")
            .arg("--strip-debug")
            .arg("-o")
            .arg(&program)
            .arg(&built),
    )?;
    for file in FILES {
        copy(
            &tree.root().join("chaosd/dist").join(file),
            &dist.join(file),
        )?;
    }
    starts_alone(&program)?;
    let size = std::fs::metadata(&program)?.len() / (1 << 20);
    step::nothing_to_do(&dist.display().to_string(), &format!("static, {size} MiB"));
    Ok(())
}

/// This machine's architecture, with a C library that is linked in whole.
fn target() -> Result<String> {
    match std::env::consts::ARCH {
        arch @ ("x86_64" | "aarch64") => Ok(format!("{arch}-unknown-linux-musl")),
        other => bail!("no static binary for {other}: rustup has no musl target of it"),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))
}

/// It starts in a directory with nothing else in it, as it does in its image.
fn starts_alone(program: &Path) -> Result<()> {
    setup::needs_root("the binary is tried in a directory of its own by chroot")?;
    let place = Place::new()?;
    let alone = place.0.join("chaosd");
    copy(program, &alone)?;
    let said = step::output(
        Command::new("chroot")
            .arg(&place.0)
            .args(["/chaosd", "--version"]),
    )?;
    ensure!(said.starts_with("chaosd "), "it says {said}");
    Ok(())
}

/// A directory that goes with the guard.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("chaosd-dist-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            step::note(&format!("{} is left over: {error}", self.0.display()));
        }
    }
}

/// True of a program without an interpreter and without libraries that it needs: no program header of type
/// `PT_INTERP` (elf(5)). One that is position-independent has a `PT_DYNAMIC` all the same.
fn is_static(elf: &[u8]) -> Result<bool> {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| -> Result<u64> {
        let field = at.checked_add(length).and_then(|end| elf.get(at..end));
        let field = field.context("a program that is cut off")?;
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(field);
        Ok(u64::from_le_bytes(bytes))
    };
    let is_elf64_le = elf.starts_with(b"\x7fELF\x02\x01");
    ensure!(
        is_elf64_le,
        "not a program of 64 bits, the lowest byte first"
    );
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for n in 0..count {
        let at = usize::try_from(table + n * size).context("a header beyond the file")?;
        if number(at, 4)? == u64::from(PT_INTERP) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::is_static;

    /// A header, and program headers of these types.
    fn elf(types: &[u8]) -> Vec<u8> {
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0);
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = u8::try_from(types.len()).unwrap_or(u8::MAX);
        for kind in types {
            let mut header = vec![0; 56];
            header[0] = *kind;
            elf.extend(header);
        }
        elf
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        assert!(matches!(is_static(&elf(&[1, 2, 6])), Ok(true)));
        assert!(matches!(is_static(&elf(&[6, 3, 1])), Ok(false)));
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        assert!(is_static(b"#!/bin/sh").is_err());
        let mut cut = elf(&[1, 2]);
        cut.truncate(80);
        assert!(is_static(&cut).is_err());
    }
}
