//! What aya's maps need of us, and descriptors with a number of choice.

use std::{
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::fcntl::{FcntlArg, fcntl};

/// Types that cross aya's maps as bytes.
mod pod {
    /// aya's marker, for the ABI types that live in ordinary (not mapped) maps.
    macro_rules! pod {
        ($($t:ident: $path:path),*) => {$(
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            #[doc = concat!("`", stringify!($t), "` as a value or key of an aya map.")]
            pub struct $t(pub $path);
            // SAFETY: repr(C), integers only, no padding: the ABI crate asserts the size.
            unsafe impl aya::Pod for $t {}
        )*};
    }
    pod!(
        Bits: chaosd_ebpf::Bits,
        Counters: chaosd_ebpf::Counters,
        FlowKey: chaosd_ebpf::FlowKey,
        NameKey: chaosd_ebpf::dns::NameKey,
        NameBits: chaosd_ebpf::dns::NameBits,
        FileCounters: chaosd_ebpf::file_error::FileCounters
    );

    /// A table of quantiles as a value of an aya map.
    #[derive(Clone, Copy)]
    #[repr(transparent)]
    pub struct Quantiles(pub [i32; chaosd_ebpf::TABLE_LEN]);
    // SAFETY: an array of integers.
    unsafe impl aya::Pod for Quantiles {}
}
pub use pod::{Bits, Counters, FileCounters, FlowKey, NameBits, NameKey, Quantiles};

/// The same file under a descriptor numbered `at_least` or higher; close-on-exec.
pub fn renumber(fd: BorrowedFd<'_>, at_least: RawFd) -> io::Result<OwnedFd> {
    let new = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(at_least))?;
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}
