//! A memory-mapped BPF array (`BPF_F_MMAPABLE`, Linux 5.5): user space and programs share the
//! bytes, so that a write is an arm or a disarm without a system call.

use std::{io, marker::PhantomData, num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Types of which every byte pattern is a value, and which hold no padding.
///
/// # Safety
/// The implementor must be `repr(C)`, made of integers only, without padding.
pub unsafe trait Plain: Copy {}

// SAFETY: the ABI crate asserts their sizes, and none has padding or other than integers.
unsafe impl Plain for chaosd_ebpf::Control {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::Run {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::Fault {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::FaultState {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::Bits {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::Iface {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::DnsRule {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::dns::DnsHit {}
// SAFETY: as above.
unsafe impl Plain for chaosd_ebpf::file_error::FileControl {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}

/// An array map, mapped.
pub struct Mapped<T: Plain> {
    base: NonNull<T>,
    len: usize,
    _t: PhantomData<T>,
}

// SAFETY: the mapping belongs to the process, not to a thread; accesses are volatile.
unsafe impl<T: Plain> Send for Mapped<T> {}

impl<T: Plain> std::fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapped({} x {} bytes)", self.len, size_of::<T>())
    }
}

impl<T: Plain> Mapped<T> {
    /// Maps the first `len` entries. The kernel rounds each value up to 8 bytes (kernel/bpf/arraymap.c
    /// `array_map_alloc`), which every ABI type already is.
    pub fn new(fd: impl AsFd, len: usize) -> io::Result<Self> {
        const {
            assert!(
                size_of::<T>().is_multiple_of(8),
                "an ABI type fills whole words"
            );
        };
        let bytes = NonZeroUsize::new(len * size_of::<T>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        // SAFETY: a new shared mapping of a map that has at least `bytes` bytes; the kernel refuses
        // a longer one (EINVAL).
        let base = unsafe {
            mmap(
                None,
                bytes,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_SHARED,
                fd,
                0,
            )
        }?;
        Ok(Self {
            base: base.cast(),
            len,
            _t: PhantomData,
        })
    }

    fn at(&self, i: usize) -> *mut T {
        assert!(i < self.len, "index {i} of {}", self.len);
        // SAFETY: within the mapping.
        unsafe { self.base.as_ptr().add(i) }
    }

    /// A copy of entry `i`.
    pub fn get(&self, i: usize) -> T {
        // SAFETY: in bounds, aligned, any bytes are a T.
        unsafe { self.at(i).read_volatile() }
    }

    /// Overwrites entry `i`.
    pub fn set(&mut self, i: usize, value: T) {
        // SAFETY: in bounds and aligned.
        unsafe { self.at(i).write_volatile(value) }
    }

    /// Changes one 64-bit field of entry `i`, in one store that a program sees whole.
    pub fn set_field(&mut self, i: usize, field: impl FnOnce(&mut T) -> &mut u64, value: u64) {
        // SAFETY: in bounds and aligned; the reference lives for this call, and programs read the
        // field with volatile loads.
        let field: *mut u64 = field(unsafe { &mut *self.at(i) });
        // SAFETY: it points into entry `i`.
        unsafe { field.write_volatile(value) }
    }

    /// Overwrites entry `i` from its byte `from` on, which starts a 64-bit word.
    pub fn set_from(&mut self, i: usize, from: usize, value: T) {
        let words = size_of::<T>() / 8;
        let (to, value) = (self.at(i).cast::<u64>(), (&raw const value).cast::<u64>());
        for word in from.div_ceil(8)..words {
            // SAFETY: within the entry and within `value`, both of whole 64-bit words.
            unsafe {
                to.add(word)
                    .write_volatile(value.add(word).read_unaligned());
            }
        }
    }

    /// Overwrites every entry with zeros.
    pub fn zero(&mut self) {
        // SAFETY: any bytes are a T, zeros too; the pointer and the length are the mapping's.
        unsafe { self.base.as_ptr().write_bytes(0, self.len) }
    }

    /// Reads, changes and writes entry `i`.
    pub fn update(&mut self, i: usize, change: impl FnOnce(&mut T)) {
        let mut value = self.get(i);
        change(&mut value);
        self.set(i, value);
    }
}

impl<T: Plain> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping, unmapped once.
        let unmapped = unsafe { munmap(self.base.cast(), self.len * size_of::<T>()) };
        debug_assert!(unmapped.is_ok());
    }
}
