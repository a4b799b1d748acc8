//! The QEMU that boots the guests: the machine's own where it is right, else a newer one beside it.
//!
//! Before 8.1, with a thread for each processor, its translator can read an instruction in the
//! middle of being patched and keep it ("accel/tcg: Always lock pages before translation"). The
//! guest's kernel then dies at a breakpoint that is long gone ("Oops: int3" in
//! `__netif_receive_skb_core`), since each hook of ours that comes or goes patches static keys.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::kernel::program;
use crate::setup::{self, Apt, Mirrors};
use crate::step;

const NAME: &str = "qemu-system-x86_64";
/// The first whose translator may use several threads.
const RIGHT: (u32, u32) = (8, 1);
/// Where Debian 12 finds a newer one, and what it takes of it; it is unpacked, not installed.
const SUITE: &str = "bookworm-backports";
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-system-data", "seabios"];

/// A QEMU on disk.
#[derive(Clone, Debug)]
pub struct Emulator {
    pub program: PathBuf,
    /// Where its firmware is, unless where it looks itself.
    pub data: Vec<PathBuf>,
    /// Whether its translator may run a thread for each of the guest's processors.
    pub threads: bool,
}

impl Emulator {
    /// The machine's own, whatever its version: under KVM nothing is translated.
    pub fn own() -> Result<Self> {
        Ok(Self {
            program: program(NAME)?,
            data: Vec::new(),
            threads: false,
        })
    }

    /// One whose translator is right, fetched once if need be; else the machine's own with one
    /// thread, which is right and slower.
    pub fn for_translation(lab: &Path) -> Result<Self> {
        let own = Self::own()?;
        if own.is_right() {
            return Ok(Self {
                threads: true,
                ..own
            });
        }
        // Several laboratories may start at once, and one of them fetches.
        let lock = File::create(lab.join("qemu.lock")).context("failed to create a lock")?;
        lock.lock().context("failed to lock the emulator")?;
        let newer = Self::at(&lab.join("qemu"));
        let there = newer.program.exists()
            || match step::quiet("fetching a newer QEMU from Debian", || fetch(lab)) {
                Ok(()) => true,
                Err(error) => {
                    step::note(&format!("{error:#}"));
                    false
                }
            };
        if there && newer.is_right() {
            return Ok(newer);
        }
        step::note(
            "this QEMU is older than 8.1, so the guest's processors take turns on one of ours",
        );
        Ok(own)
    }

    fn at(dir: &Path) -> Self {
        Self {
            program: dir.join("usr/bin").join(NAME),
            data: ["qemu", "seabios"]
                .map(|part| dir.join("usr/share").join(part))
                .into(),
            threads: true,
        }
    }

    /// Whether it starts at all, since it brings no libraries, and is new enough.
    fn is_right(&self) -> bool {
        step::output(Command::new(&self.program).arg("--version"))
            .ok()
            .and_then(|text| version(&text))
            .is_some_and(|version| version >= RIGHT)
    }
}

fn fetch(lab: &Path) -> Result<()> {
    let mirrors = Mirrors::find()?;
    let work = lab.join("qemu-apt");
    let apt = Apt::new(&work, &[(mirrors.main.as_str(), SUITE)])?;
    apt.update()?;
    let unpacked = work.join("unpacked");
    for archive in apt.download(&PACKAGES)? {
        setup::unpack(&archive, &unpacked)?;
    }
    let finished = lab.join("qemu");
    std::fs::rename(&unpacked, &finished)
        .with_context(|| format!("failed to create {}", finished.display()))?;
    // A left-over is harmless and lies in target.
    drop(std::fs::remove_dir_all(&work));
    Ok(())
}

/// Major and minor, from `QEMU emulator version 7.2.22 (Debian ...)`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once(" version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{RIGHT, version};

    #[test]
    fn an_emulator_is_right_from_8_1_on() {
        let read = |text: &str| version(text).map(|version| version >= RIGHT);
        assert_eq!(
            read("QEMU emulator version 7.2.22 (Debian 1)\n"),
            Some(false)
        );
        assert_eq!(read("QEMU emulator version 8.1.0\n"), Some(true));
        assert_eq!(
            read("QEMU emulator version 10.0.2 (Debian 1)\n"),
            Some(true)
        );
        assert_eq!(read("something else"), None);
    }
}
