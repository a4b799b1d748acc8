//! Hands the kernel programs to the compiler: `target/ebpf/NAME.o`, made by `cargo xtask build`,
//! becomes `$OUT_DIR/NAME.o`. Compiles nothing itself: a plain `cargo build` stays a host build.

use std::env::var_os;
use std::error::Error;
use std::path::{Path, PathBuf};

const OBJECTS: [&str; 2] = ["plane.o", "files.o"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=CHAOSD_EBPF_DIR");
    let out = PathBuf::from(var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for name in OBJECTS {
        let object = directory(&out).join(name);
        // Cargo runs this again as long as the file does not exist, and whenever it changes.
        println!("cargo::rerun-if-changed={}", object.display());
        if !object.exists() {
            println!(
                "cargo::error=the kernel programs are not built ({} is missing); run: cargo xtask build",
                object.display()
            );
            return Ok(());
        }
        std::fs::copy(&object, out.join(name))?;
    }
    Ok(())
}

/// `CHAOSD_EBPF_DIR`, else `ebpf` in the target directory, wherever the user keeps that:
/// `OUT_DIR` is TARGET/[TRIPLE/]PROFILE/build/NAME/out.
fn directory(out: &Path) -> PathBuf {
    if let Some(dir) = var_os("CHAOSD_EBPF_DIR") {
        return dir.into();
    }
    let mut candidates = out
        .ancestors()
        .skip(4)
        .take(2)
        .map(|target| target.join("ebpf"));
    let first = candidates.next().unwrap_or_else(|| out.to_path_buf());
    std::iter::once(first.clone())
        .chain(candidates)
        .find(|dir| dir.join(OBJECTS[0]).exists())
        .unwrap_or(first)
}
