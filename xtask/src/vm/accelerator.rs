//! Whether this machine's processor can run the guest, or QEMU has to compute it.
//!
//! A /dev/kvm proves nothing: where virtualisation is nested badly it answers, and the guest then
//! hangs. So a kernel is booted under it once per boot of this machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::kernel::Kernel;
use super::qemu;
use super::work::Work;
use super::{initramfs, interrupt};
use crate::step;

/// A kernel that boots at all under KVM takes a second or two.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: right everywhere, and 5 to 40 times slower.
    Tcg,
}

impl Accelerator {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// KVM where it works; the answer is kept in `lab` until this machine boots again.
    pub fn find(lab: &Path, kernel: &Kernel) -> Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            return Ok(Self::Tcg);
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .context("failed to read this boot's id")?;
        let boot = boot.trim();
        let cache = lab.join("accelerator");
        if let Ok(known) = std::fs::read_to_string(&cache)
            && let Some(found) = recall(&known, boot)
        {
            return Ok(found);
        }
        let found = step::quiet("whether KVM works here", || probe(lab, kernel))?;
        interrupt::check()?;
        std::fs::write(&cache, format!("{boot} {}\n", found.name()))
            .with_context(|| format!("failed to write {}", cache.display()))?;
        Ok(found)
    }
}

fn recall(known: &str, boot: &str) -> Option<Accelerator> {
    let (of, name) = known.trim().split_once(' ')?;
    [Accelerator::Kvm, Accelerator::Tcg]
        .into_iter()
        .find(|accelerator| of == boot && accelerator.name() == name)
}

fn probe(lab: &Path, kernel: &Kernel) -> Result<Accelerator> {
    let work = Work::new(&lab.join("run"))?;
    let initrd = initramfs::write(kernel, work.dir(), b"")?;
    let command = qemu::probe(kernel, &initrd, work.dir())?;
    let (guest, _pipes) = interrupt::Supervised::start(&command)?;
    guest.wait(PROBE_MAX)?;
    Ok(
        if qemu::console(work.dir()).contains("laboratory: booted") {
            Accelerator::Kvm
        } else {
            Accelerator::Tcg
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{Accelerator, recall};

    #[test]
    fn what_was_found_holds_for_this_boot_alone() {
        assert_eq!(recall("abc kvm\n", "abc"), Some(Accelerator::Kvm));
        assert_eq!(recall("abc tcg\n", "abc"), Some(Accelerator::Tcg));
        assert_eq!(recall("abc kvm\n", "def"), None);
        assert_eq!(recall("", "abc"), None);
    }
}
