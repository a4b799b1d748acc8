//! A page that two processes share: words which one writes and the other reads, without a system
//! call and without either waiting for the other.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    slice,
    sync::atomic::AtomicU64,
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap, munmap},
        stat::fstat,
    },
    unistd::ftruncate,
};

/// How many words there are: half a page, where a page is 4 KiB.
pub const WORDS: usize = 256;

const BYTES: NonZeroUsize = NonZeroUsize::new(WORDS * size_of::<AtomicU64>()).expect("not zero");

/// The page, mapped. Its words are zero at first.
#[derive(Debug)]
pub struct Shared {
    base: NonNull<AtomicU64>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is read and written through
// atomics alone.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// A new page, and the descriptor by which another process adopts it (`memfd_create(2)`). It
    /// is close-on-exec, and nobody can make the page smaller.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create(c"chaosd", flags)?;
        let length = i64::try_from(BYTES.get()).map_err(io::Error::other)?;
        ftruncate(&fd, length)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
        Ok((Self::map(&fd)?, fd))
    }

    /// The page behind a descriptor of [`Shared::create`].
    pub fn adopt(fd: &OwnedFd) -> io::Result<Self> {
        let seals = fcntl(fd, FcntlArg::F_GET_SEALS)?;
        let sealed = SealFlag::from_bits_truncate(seals).contains(SealFlag::F_SEAL_SHRINK);
        let long_enough = usize::try_from(fstat(fd)?.st_size).is_ok_and(|n| n >= BYTES.get());
        if !sealed || !long_enough {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Self::map(fd)
    }

    fn map(fd: impl AsFd) -> io::Result<Self> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice, which overlaps nothing of ours.
        let base = unsafe { mmap(None, BYTES, access, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { base: base.cast() })
    }

    /// Its words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is `WORDS` words long, page-aligned, and lives as long as `self`; the
        // file cannot shrink below it, so no access faults. Any bytes are a value, and whoever
        // writes them does it through atomics as we do.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), WORDS) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives `self`.
        let _cannot_fail = unsafe { munmap(self.base.cast(), BYTES.get()) };
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let (ours, fd) = Shared::create().unwrap();
        let theirs = Shared::adopt(&fd).unwrap();
        drop(fd);
        assert!(theirs.words().iter().all(|w| w.load(Ordering::SeqCst) == 0));
        ours.words()[WORDS - 1].store(7, Ordering::SeqCst);
        assert_eq!(theirs.words()[WORDS - 1].load(Ordering::SeqCst), 7);
    }

    #[test]
    fn a_page_that_could_shrink_under_us_is_refused() {
        let file = memfd_create(c"loose", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        ftruncate(&file, 1 << 20).unwrap();
        assert!(Shared::adopt(&file).is_err());
        let (_ours, fd) = Shared::create().unwrap();
        assert!(ftruncate(&fd, 0).is_err());
    }
}
