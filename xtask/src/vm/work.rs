//! A directory for one run of a guest, removed with everything in it; what a killed run left is
//! removed by the next.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Removed when dropped.
pub struct Work {
    dir: PathBuf,
}

impl Work {
    /// A new directory below `runs`, named after this process.
    pub fn new(runs: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(runs);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = runs.join(format!("{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("failed to create {}", dir.display()))?;
        Ok(Self { dir })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // The next run tries again.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Removes the directories of processes that are gone.
fn sweep(runs: &Path) {
    let Ok(entries) = std::fs::read_dir(runs) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Work;

    #[test]
    fn a_run_removes_its_own_directory_and_those_of_the_dead() -> anyhow::Result<()> {
        let runs = std::env::temp_dir().join(format!("xtask-work-{}", std::process::id()));
        // No process has this number: it is above the kernel's highest (2^22).
        let dead = runs.join("4194305-0");
        std::fs::create_dir_all(&dead)?;
        let work = Work::new(&runs)?;
        assert!(!dead.exists() && work.dir().exists());
        drop(work);
        assert_eq!(std::fs::read_dir(&runs)?.count(), 0);
        std::fs::remove_dir(&runs)?;
        Ok(())
    }
}
