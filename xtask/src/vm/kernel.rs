//! Kernels on disk: fetched once from Debian's packages, then there without a network.
//!
//! Invariant: a directory named after a version is complete, since it is renamed into place last.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::package;
use super::series::Series;
use crate::setup::{Apt, Mirrors};
use crate::tree::Tree;
use crate::{setup, step};

/// A kernel of the laboratory.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub version: String,
    /// Holds `lib/modules/VERSION`.
    pub dir: PathBuf,
}

impl Kernel {
    /// The newest cached kernel of the series, else the newest that the mirrors carry. With
    /// `update`, the mirrors are asked also when there is one.
    pub fn get(tree: &Tree, series: Series, update: bool) -> Result<Self> {
        let all = super::lab(tree).join("kernels");
        create_dir(&all)?;
        // Several laboratories may start at once, and one of them fetches.
        let lock = File::create(all.join("lock")).context("failed to create a lock")?;
        lock.lock().context("failed to lock the cache of kernels")?;

        let cached = Self::cached(&all, series)?;
        if let Some(kernel) = &cached
            && !update
        {
            return Ok(kernel.clone());
        }
        let label = format!("fetching kernel {series} from Debian");
        match step::quiet(&label, || fetch(&all, series)) {
            Ok(version) => Ok(Self::at(&all, version)),
            Err(error) => match cached {
                Some(kernel) => {
                    step::note(&format!("{error:#}\nusing {}", kernel.version));
                    Ok(kernel)
                }
                None => Err(error.context(format!(
                    "there is no kernel {series} in {} and none could be fetched; it takes \
                     Debian's package linux-image-{series}*-{} (fetched once, then cached)",
                    all.display(),
                    package::FLAVOUR
                ))),
            },
        }
    }

    /// Where the bootable image is: Debian moved it among the modules in 7.x.
    pub fn image(&self) -> Result<PathBuf> {
        let version = &self.version;
        [
            format!("boot/vmlinuz-{version}"),
            format!("lib/modules/{version}/vmlinuz"),
        ]
        .iter()
        .map(|path| self.dir.join(path))
        .find(|path| path.is_file())
        .with_context(|| format!("no vmlinuz in {}", self.dir.display()))
    }

    fn cached(all: &Path, series: Series) -> Result<Option<Self>> {
        let read = || format!("failed to read {}", all.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(all).with_context(read)? {
            let name = entry.with_context(read)?.file_name();
            names.extend(name.to_str().map(|name| format!("linux-image-{name}")));
        }
        Ok(package::newest(names.iter().map(String::as_str), series)
            .map(|version| Self::at(all, version.to_owned())))
    }

    fn at(all: &Path, version: String) -> Self {
        Self {
            dir: all.join(&version),
            version,
        }
    }
}

/// Fetches the newest kernel of the series, unless it is there, and returns its version.
fn fetch(all: &Path, series: Series) -> Result<String> {
    let mirrors = Mirrors::find()?;
    let main = mirrors.main.as_str();
    let mut archives = vec![(main, "bookworm"), (main, "trixie-backports")];
    // Where Debian 12 gets the long-term kernels of Debian 13 too.
    archives.extend(
        mirrors
            .security
            .as_deref()
            .map(|m| (m, "bookworm-security")),
    );
    let work = all.join("apt");
    let apt = Apt::new(&work, &archives)?;
    apt.update()?;
    let names = apt.cache(&["pkgnames", &format!("linux-image-{series}")])?;
    let Some(version) = package::newest(names.lines(), series) else {
        bail!(
            "the mirrors carry no linux-image-{series}*-{}",
            package::FLAVOUR
        );
    };
    let finished = all.join(version);
    if !finished.exists() {
        let parts = package::parts(version, |name| apt.cache(&["show", name]).is_ok());
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let unpacked = work.join("unpacked");
        for archive in apt.download(&parts)? {
            setup::unpack(&archive, &unpacked)?;
        }
        put_modules_in_lib(&unpacked)?;
        step::output(
            Command::new(program("depmod")?)
                .arg("-b")
                .arg(&unpacked)
                .arg(version),
        )?;
        std::fs::rename(&unpacked, &finished)
            .with_context(|| format!("failed to create {}", finished.display()))?;
    }
    // Only the kernel is needed; a left-over is harmless and lies in target.
    drop(std::fs::remove_dir_all(&work));
    Ok(version.to_owned())
}

/// Newer packages are made for a merged /usr, which only exists once it is installed.
fn put_modules_in_lib(unpacked: &Path) -> Result<()> {
    let modules = unpacked.join("usr/lib/modules");
    if !modules.exists() {
        return Ok(());
    }
    create_dir(&unpacked.join("lib"))?;
    std::fs::rename(&modules, unpacked.join("lib/modules"))
        .with_context(|| format!("failed to move {}", modules.display()))
}

/// A program that `cargo xtask setup` brings.
pub fn program(name: &str) -> Result<PathBuf> {
    setup::path_of(name).with_context(|| format!("there is no {name}; run: cargo xtask setup"))
}

fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("failed to create {}", path.display()))
}
