//! A region of memory of which chosen pages are resident: a burner's hoard.

use std::{io, num::NonZeroUsize, ops::Range, ptr::NonNull};

use nix::{
    errno::Errno,
    libc,
    sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munlock, munmap},
    unistd::{SysconfVar, sysconf},
};

/// A private mapping in which nothing is resident at first.
#[derive(Debug)]
pub struct Region {
    base: NonNull<libc::c_void>,
    bytes: NonZeroUsize,
    page: usize,
    locked: bool,
}

impl Region {
    /// Reserves addresses for so many bytes, rounded up to whole pages. `lock` keeps what is
    /// touched from being swapped (`mlock2(2)` with `MLOCK_ONFAULT`, Linux 4.4).
    ///
    /// # Errors
    /// `ENOMEM` where the kernel promises no more memory than it has (`vm.overcommit_memory` 2), or
    /// where locking is limited (`RLIMIT_MEMLOCK`).
    pub fn reserve(bytes: u64, lock: bool) -> io::Result<Self> {
        let page = page_size()?;
        let bytes = usize::try_from(bytes)
            .ok()
            .and_then(|n| n.max(1).checked_next_multiple_of(page))
            .and_then(NonZeroUsize::new)
            .ok_or(Errno::ENOMEM)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at a place of the kernel's choice, which overlaps nothing of ours.
        let base = unsafe { mmap_anonymous(None, bytes, access, flags) }?;
        let region = Self {
            base,
            bytes,
            page,
            locked: lock,
        };
        // A touched page is to be one page. Fails where the kernel has no huge ones, rightly.
        // SAFETY: the range is the whole mapping, and the advice changes no content.
        let _none_here = unsafe { madvise(base, bytes.get(), MmapAdvise::MADV_NOHUGEPAGE) };
        if lock {
            region.lock(0..region.pages())?;
        }
        Ok(region)
    }

    /// How many pages it has.
    pub fn pages(&self) -> usize {
        self.bytes.get() / self.page
    }

    /// The size of one, in bytes.
    pub fn page_size(&self) -> usize {
        self.page
    }

    /// Makes pages resident, by writing to each something that no other has: neither a page of
    /// zeros nor one like another takes memory where the kernel looks for such.
    ///
    /// # Panics
    /// When they lie outside.
    pub fn touch(&mut self, pages: Range<usize>) {
        assert!(pages.end <= self.pages(), "pages outside of the region");
        for n in pages {
            // SAFETY: the page lies in the mapping, as asserted, which is writable; a mapping is
            // aligned for any integer, and nobody holds a reference into it.
            unsafe {
                self.base
                    .as_ptr()
                    .byte_add(n * self.page)
                    .cast::<usize>()
                    .write_volatile(!n);
            }
        }
    }

    /// Gives pages back to the kernel.
    ///
    /// # Panics
    /// When they lie outside.
    pub fn release(&mut self, pages: Range<usize>) -> io::Result<()> {
        let (start, length) = self.range(&pages);
        if length == 0 {
            return Ok(());
        }
        if self.locked {
            // What is locked is not given back (madvise(2), EINVAL).
            // SAFETY: the range lies in the mapping.
            unsafe { munlock(start, length) }?;
        }
        // SAFETY: the range lies in our private mapping, whose content nobody reads.
        unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) }?;
        if self.locked {
            self.lock(pages)?;
        }
        Ok(())
    }

    fn lock(&self, pages: Range<usize>) -> io::Result<()> {
        let (start, length) = self.range(&pages);
        // SAFETY: the range lies in the mapping; locking changes no content.
        let answer = unsafe { libc::mlock2(start.as_ptr(), length, libc::MLOCK_ONFAULT) };
        Ok(Errno::result(answer).map(drop)?)
    }

    fn range(&self, pages: &Range<usize>) -> (NonNull<libc::c_void>, usize) {
        assert!(pages.end <= self.pages(), "pages outside of the region");
        // SAFETY: the start lies in the mapping or at its end, as asserted.
        let start = unsafe { self.base.byte_add(pages.start.min(pages.end) * self.page) };
        (start, pages.len() * self.page)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it is left.
        let _cannot_fail = unsafe { munmap(self.base, self.bytes.get()) };
    }
}

/// The size of a page, in bytes.
pub fn page_size() -> io::Result<usize> {
    let size = sysconf(SysconfVar::PAGE_SIZE)?.ok_or(Errno::ENOSYS)?;
    usize::try_from(size).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::fs;

    use super::*;

    /// Resident pages of the mapping, by `/proc/self/smaps` (`proc_pid_smaps(5)`).
    fn resident(region: &Region) -> usize {
        let text = fs::read_to_string("/proc/self/smaps").unwrap();
        let (start, end) = {
            let start = region.base.as_ptr() as usize;
            (start, start + region.bytes.get())
        };
        let mut inside = false;
        let mut kib = 0;
        for line in text.lines() {
            let first = line.split_whitespace().next().unwrap();
            if let Some((from, _)) = first.split_once('-') {
                let from = usize::from_str_radix(from, 16).unwrap();
                inside = (start..end).contains(&from);
            } else if inside && let Some(size) = line.strip_prefix("Rss:") {
                kib += size
                    .trim()
                    .trim_end_matches(" kB")
                    .parse::<usize>()
                    .unwrap();
            }
        }
        kib * 1024 / region.page
    }

    #[test]
    fn only_touched_pages_are_resident_until_they_are_given_back() {
        for lock in [false, true] {
            let page = page_size().unwrap();
            let mut region = Region::reserve(u64::try_from(page * 64 - 1).unwrap(), lock).unwrap();
            assert_eq!(region.pages(), 64);
            assert_eq!(resident(&region), 0);
            region.touch(0..48);
            assert_eq!(resident(&region), 48);
            region.release(32..64).unwrap();
            assert_eq!(resident(&region), 32);
            region.touch(32..33);
            assert_eq!(resident(&region), 33);
            region.release(0..64).unwrap();
            region.release(64..64).unwrap();
            assert_eq!(resident(&region), 0);
        }
    }

    #[test]
    fn more_than_there_are_addresses_is_refused() {
        assert!(Region::reserve(u64::MAX, false).is_err());
        assert!(Region::reserve(1 << 60, false).is_err());
    }
}
