//! File systems of a test's own: what is done there hangs nobody else.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

static MOUNTS: AtomicU32 = AtomicU32::new(0);

/// A mount at a place of its own. Dropped, it is taken away.
#[derive(Debug)]
pub struct Mount {
    point: PathBuf,
}

impl Mount {
    /// An empty file system in memory.
    pub fn tmpfs() -> Result<Self> {
        Self::at_a_place("chaosd-test", Some("tmpfs"), MsFlags::empty())
    }

    /// The file system on a device.
    pub fn of(device: &str, kind: &str) -> Result<Self> {
        Self::at_a_place(device, Some(kind), MsFlags::empty())
    }

    /// A directory once more.
    pub fn bind(directory: &Path) -> Result<Self> {
        let from = directory.to_str().context("no plain name")?;
        Self::at_a_place(from, None, MsFlags::MS_BIND)
    }

    fn at_a_place(source: &str, kind: Option<&str>, flags: MsFlags) -> Result<Self> {
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaosd-test-mount-{}-{number}", std::process::id());
        let point = std::env::temp_dir().join(name);
        std::fs::create_dir(&point).with_context(|| point.display().to_string())?;
        let mounted = mount(Some(source), &point, kind, flags, None::<&str>);
        if let Err(error) = mounted {
            std::fs::remove_dir(&point).ok();
            return Err(error).with_context(|| format!("failed to mount {source}"));
        }
        Ok(Self { point })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// A file there, with its directories, and what it says.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.point.join(name);
        let directory = path.parent().context("a file in no directory")?;
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whoever still has something open there keeps it until he closes it.
        let gone = umount2(&self.point, MntFlags::MNT_DETACH)
            .map_err(std::io::Error::from)
            .and_then(|()| std::fs::remove_dir(&self.point));
        if let Err(error) = gone {
            eprintln!("{} is left over: {error}", self.point.display());
        }
    }
}
