//! bpf(2) commands that aya does not wrap.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

const BPF_LINK_GET_FD_BY_ID: libc::c_long = 30;

/// Types that cross aya's maps as bytes.
mod pod {
    /// aya's marker, for the ABI types that live in ordinary (not mapped) maps.
    macro_rules! pod {
        ($($t:ident),*) => {$(
            #[derive(Clone, Copy)]
            #[repr(transparent)]
            #[doc = concat!("`", stringify!($t), "` as a value or key of an aya map.")]
            pub struct $t(pub chaosd_ebpf::$t);
            // SAFETY: repr(C), integers only, no padding: the ABI crate asserts the size.
            unsafe impl aya::Pod for $t {}
        )*};
    }
    pod!(Bits, Counters, FlowKey, Iface);
}
pub use pod::{Bits, Counters, FlowKey, Iface};

/// A descriptor of a link, numbered `at_least` or higher.
///
/// A dying process closes its descriptors in ascending order (fs/file.c `close_files`), so the
/// number decides which link goes last.
pub fn link_fd_from(id: u32, at_least: RawFd) -> io::Result<OwnedFd> {
    // union bpf_attr, member link_id: { u32 link_id; u32 next_id; u32 open_flags; }
    let attr = [id, 0, 0];
    // SAFETY: the attribute is 12 bytes of our own; the kernel zero-extends it.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_GET_FD_BY_ID,
            attr.as_ptr(),
            size_of_val(&attr),
        )
    };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor the kernel has just made for us.
    let low = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: duplicates our own descriptor.
    let high = unsafe {
        libc::fcntl(
            std::os::fd::AsRawFd::as_raw_fd(&low),
            libc::F_DUPFD_CLOEXEC,
            at_least,
        )
    };
    if high < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: likewise new.
    Ok(unsafe { OwnedFd::from_raw_fd(high) })
}
