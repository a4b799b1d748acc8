//! The standard library's sources, from which `-Z build-std` compiles `core` for BPF.
//!
//! rustup brings them where it can fetch. Where it cannot, Debian's package `rust-src` carries
//! the same files; apt fetches it from the mirror that this machine is already configured with,
//! in a state directory of its own, so that the machine's apt is not changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step;
use crate::tree::Tree;

/// Suites that may carry the pinned version, the likeliest first.
const SUITES: [&str; 3] = ["trixie-backports", "trixie", "sid"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// rustup tries for minutes when packets to its server vanish.
const RUSTUP_TIMEOUT_SECONDS: &str = "120";

/// Puts the sources of `version` into the sysroot, unless they are there.
pub fn ensure(tree: &Tree, version: &str) -> Result<()> {
    let label = format!("rust-src {version}");
    let sysroot = step::output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(tree.root()),
    )?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    if source.join("library/core/Cargo.toml").exists() {
        step::nothing_to_do(&label, "already there");
        return Ok(());
    }
    step::quiet(&label, || {
        let rustup = step::output(
            Command::new("timeout")
                .args([
                    RUSTUP_TIMEOUT_SECONDS,
                    "rustup",
                    "component",
                    "add",
                    "rust-src",
                ])
                .current_dir(tree.root()),
        );
        match rustup {
            Ok(_) => Ok(()),
            Err(rustup) => from_debian(tree, version, &source).map_err(|debian| {
                rustup.context(format!(
                    "rust-src {version} comes neither from Debian ({debian:#}) nor from rustup"
                ))
            }),
        }
    })
}

fn from_debian(tree: &Tree, version: &str, destination: &Path) -> Result<()> {
    let apt = Apt::new(&tree.target().join("setup/apt"), &mirror()?)?;
    apt.run("apt-get", &["update"])?;
    let listing = apt.run("apt-cache", &["madison", "rust-src"])?;
    let package = pick(&listing, version)
        .with_context(|| format!("no suite of {} carries it", SUITES.join(", ")))?;
    apt.run("apt-get", &["download", &format!("rust-src={package}")])?;

    let unpacked = apt.dir.join("unpacked");
    let archive = apt.downloaded()?;
    step::output(Command::new("dpkg").arg("-x").arg(&archive).arg(&unpacked))?;
    create_dir(destination)?;
    let library = unpacked.join(format!("usr/src/rustc-{version}/library"));
    step::output(Command::new("cp").arg("-a").arg(&library).arg(destination))?;
    // Only the copy in the sysroot is needed; a left-over is harmless and lies in target.
    drop(std::fs::remove_dir_all(&apt.dir));
    Ok(())
}

/// An apt whose every file lies in one directory.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn new(dir: &Path, mirror: &str) -> Result<Self> {
        // What an interrupted run left would be taken for this run's.
        if dir.exists() {
            std::fs::remove_dir_all(dir)
                .with_context(|| format!("failed to remove {}", dir.display()))?;
        }
        for part in [
            "etc",
            "state/lists/partial",
            "cache/archives/partial",
            "debs",
        ] {
            create_dir(&dir.join(part))?;
        }
        let sources =
            SUITES.map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"));
        write(&dir.join("etc/sources.list"), &sources.concat())?;
        write(&dir.join("state/status"), "")?;
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let dir = self.dir.display();
        let mut command = Command::new(program);
        command.current_dir(self.dir.join("debs")).arg("-q");
        for option in [
            format!("Dir::Etc::sourcelist={dir}/etc/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={dir}/state"),
            format!("Dir::State::status={dir}/state/status"),
            format!("Dir::Cache={dir}/cache"),
            // apt's own user may not reach a checkout in somebody's home.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        step::output(command.args(args))
    }

    fn downloaded(&self) -> Result<PathBuf> {
        let debs = self.dir.join("debs");
        let entry = std::fs::read_dir(&debs)
            .with_context(|| format!("failed to read {}", debs.display()))?
            .next()
            .context("apt-get download brought no file")?;
        Ok(entry
            .with_context(|| format!("failed to read {}", debs.display()))?
            .path())
    }
}

/// The Debian mirror that this machine's apt uses.
fn mirror() -> Result<String> {
    let ask = || {
        step::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
        ]))
    };
    let mut targets = ask()?;
    if debian(&targets).is_none() && super::is_root() {
        // Targets are listed only once their index has been fetched.
        step::output(Command::new("apt-get").args(["-q", "update"]))?;
        targets = ask()?;
    }
    match debian(&targets) {
        Some(mirror) => Ok(mirror.to_owned()),
        None => bail!("apt is configured with no Debian mirror"),
    }
}

/// The label tells the main archive from the security archive.
fn debian(targets: &str) -> Option<&str> {
    targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian|Debian|"))
}

/// The package version of upstream `version` in what `apt-cache madison` prints.
fn pick<'a>(madison: &'a str, version: &str) -> Option<&'a str> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|found| {
            found
                .strip_prefix(version)
                .is_some_and(|rest| rest.starts_with(['+', '-']))
        })
}

fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("failed to create {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{debian, pick};

    #[test]
    fn only_the_exact_upstream_version_is_picked() {
        let madison = " rust-src | 1.95.01-1 | m sid/main\n rust-src | 1.95.0+dfsg1-1~bpo13+1 | m trixie-backports/main\n";
        assert_eq!(pick(madison, "1.95.0"), Some("1.95.0+dfsg1-1~bpo13+1"));
        assert_eq!(pick(madison, "1.96.0"), None);
    }

    #[test]
    fn the_main_archive_is_taken_and_not_the_security_archive() {
        let targets =
            "Google|Google|http://a/\nDebian|Debian-Security|http://b/\nDebian|Debian|http://c/\n";
        assert_eq!(debian(targets), Some("http://c/"));
        assert_eq!(debian(""), None);
    }
}
