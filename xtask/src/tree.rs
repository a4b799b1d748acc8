//! Where things lie in this checkout, and how another cargo is started from it.
//!
//! Invariant: a cargo started here sees the user's own environment, not what the cargo that runs
//! xtask has added to it; otherwise two ways to start the same build would rebuild each other.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The checkout.
pub struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// The checkout that this xtask was built from.
    pub fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask has no parent directory")?
            .to_path_buf();
        // Cargo takes a relative directory from where it was started, and so do we.
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir).context("failed to resolve CARGO_TARGET_DIR")?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target directory.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where `cargo install --root` puts our own tools.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Where the kernel programs are built, and where `chaosd/build.rs` finds them.
    pub fn ebpf(&self) -> PathBuf {
        self.target.join("ebpf")
    }

    /// A cargo at the root of the checkout, with the environment its user has.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_of_the_outer_cargo) {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    /// A cargo that compiles the kernel programs: our linker first on the path, the unstable
    /// `-Z build-std` allowed on the stable toolchain, and no flags meant for the host.
    pub fn cargo_for_bpf(&self, verb: &str) -> Result<Command> {
        let mut cargo = self.cargo();
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(is_meant_for_the_host) {
                cargo.env_remove(name);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs = std::iter::once(self.tools().join("bin")).chain(std::env::split_paths(&path));
        cargo
            .env(
                "PATH",
                std::env::join_paths(dirs).context("failed to extend PATH")?,
            )
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "RUSTFLAGS",
                "-C debuginfo=2 -C link-arg=--btf -C target-cpu=v3",
            )
            .args([verb, "--release", "-p", "chaosd-ebpf", "--bins"])
            .args(["--features", "programs", "--target", BPF_TARGET])
            .args(["-Z", "build-std=core", "--target-dir"])
            .arg(self.ebpf());
        Ok(cargo)
    }
}

/// The target triple of the kernel programs: BPF, in this machine's byte order.
pub const BPF_TARGET: &str = if cfg!(target_endian = "big") {
    "bpfeb-unknown-none"
} else {
    "bpfel-unknown-none"
};

/// Variables that `cargo run` sets for the program it runs (The Cargo Book, "Environment
/// variables Cargo sets for crates").
fn is_of_the_outer_cargo(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(
            name,
            "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
        )
}

/// Variables that steer code generation; what suits the host breaks the BPF target.
fn is_meant_for_the_host(name: &str) -> bool {
    name.starts_with("CARGO_PROFILE_")
        || name.starts_with("CARGO_BUILD_")
        || name.starts_with("CARGO_TARGET_") && name != "CARGO_TARGET_DIR"
        || matches!(
            name,
            "RUSTFLAGS" | "CARGO_ENCODED_RUSTFLAGS" | "RUSTC_WRAPPER" | "RUSTC_WORKSPACE_WRAPPER"
        )
}

#[cfg(test)]
mod tests {
    use super::{is_meant_for_the_host, is_of_the_outer_cargo};

    #[test]
    fn flags_for_the_host_do_not_reach_the_programs() {
        assert!(is_meant_for_the_host("RUSTFLAGS"));
        assert!(is_meant_for_the_host(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"
        ));
        assert!(!is_meant_for_the_host("RUSTUP_TOOLCHAIN"));
        assert!(!is_meant_for_the_host("CARGO_HOME"));
    }

    #[test]
    fn where_the_user_wants_the_target_directory_is_kept() {
        assert!(!is_meant_for_the_host("CARGO_TARGET_DIR"));
        assert!(!is_of_the_outer_cargo("CARGO_TARGET_DIR"));
    }
}
