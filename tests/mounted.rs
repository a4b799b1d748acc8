//! File systems of a test's own, in memory, on files and on the laboratory's disk.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use nix::sys::statvfs::statvfs;
use support::{is_laboratory, run};

use crate::limits::Loop;

/// The laboratory's scratch disk.
const VIRTIO: &str = "/dev/vda";
/// Files that are disks take room only as they are written.
const MIB: u64 = 64;

static MOUNTS: AtomicU32 = AtomicU32::new(0);
static VIRTIO_TURN: Mutex<()> = Mutex::new(());

/// What a file system is on. All that is there goes.
pub enum Disk {
    /// A file, through the loop driver.
    File(Loop),
    /// The scratch disk, of which there is one.
    Virtio { _turn: MutexGuard<'static, ()> },
}

impl Disk {
    /// On a file of so many MiB.
    pub fn file(mib: u64) -> Result<Self> {
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        Loop::sized(&format!("disk-{number}"), mib).map(Self::File)
    }

    /// Outside of the laboratory there is none to spare.
    pub fn virtio() -> Result<Self> {
        let is_there = is_laboratory() && Path::new(VIRTIO).exists();
        let turn = VIRTIO_TURN.lock().unwrap_or_else(PoisonError::into_inner);
        is_there
            .then_some(Self::Virtio { _turn: turn })
            .context("only the laboratory has a disk to spare")
    }

    fn device(&self) -> &str {
        match self {
            Self::File(disk) => disk.device(),
            Self::Virtio { .. } => VIRTIO,
        }
    }
}

/// A file system, mounted at a directory of its own.
pub struct Mounted {
    directory: PathBuf,
    // Last: it is detached when nothing is mounted from it.
    _disk: Option<Disk>,
}

impl Mounted {
    /// In memory.
    pub fn tmpfs() -> Result<Self> {
        Self::mount(&["-t", "tmpfs", "-o", "size=64m", "tmpfs"], None)
    }

    /// On a file.
    pub fn ext4() -> Result<Self> {
        Self::on("ext4", Disk::file(MIB)?)
    }

    /// Of this kind, made anew. Fails where there is no `mkfs` for it, or the kernel has no such.
    pub fn on(kind: &str, disk: Disk) -> Result<Self> {
        // What is on the disk does not matter; ext4 keeps a share of it for root else.
        let force = match kind {
            "ext4" => &["-q", "-F", "-m", "0"][..],
            _ => &["-q", "-f"],
        };
        run(&format!("mkfs.{kind}"), &[force, &[disk.device()]].concat())?;
        let device = disk.device().to_owned();
        Self::mount(&["-t", kind, &device], Some(disk))
    }

    /// Layers, by the options of mount(8).
    pub fn overlay(options: &str) -> Result<Self> {
        Self::mount(&["-t", "overlay", "-o", options, "overlay"], None)
    }

    fn mount(words: &[&str], disk: Option<Disk>) -> Result<Self> {
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaosd-test-{}-mount-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)?;
        let place = directory.display().to_string();
        if let Err(error) = run("mount", &[words, &[&place]].concat()) {
            std::fs::remove_dir(&directory).ok();
            return Err(error);
        }
        Ok(Self {
            directory,
            _disk: disk,
        })
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Bytes that anybody may still write.
    pub fn free(&self) -> Result<u64> {
        let stat = statvfs(&self.directory)?;
        Ok(stat.blocks_available() * stat.fragment_size())
    }

    /// All that was done is on the disk (`syncfs(2)`).
    pub fn sync(&self) -> Result<()> {
        Ok(nix::unistd::syncfs(std::fs::File::open(&self.directory)?)?)
    }

    /// Their names.
    pub fn files(&self) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.directory)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<Result<_>>()?;
        names.retain(|name| name != "lost+found");
        Ok(names)
    }

    /// Writes 4 MB, and flushes them to the disk.
    pub fn write(&self) -> std::io::Result<()> {
        let path = self.directory.join("somebody");
        let mut file = std::fs::File::create(&path)?;
        let written = file
            .write_all(&vec![1; 4_000_000])
            .and_then(|()| file.sync_all());
        std::fs::remove_file(&path)?;
        written
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let place = self.directory.display().to_string();
        if let Err(error) = run("umount", &[&place]) {
            eprintln!("a mount is left over: {error:#}");
        }
        std::fs::remove_dir(&self.directory).ok();
    }
}
