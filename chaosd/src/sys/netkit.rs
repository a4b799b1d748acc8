//! A program on a netkit device: `bpf(2)` links of a type that aya does not carry.
//!
//! Invariant: the link is a descriptor that no other process inherits, and the program goes with it.

#![expect(
    unsafe_code,
    reason = "bpf(2) takes pointers that the compiler cannot check"
)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use super::test_run::{address, bpf};

/// Commands of bpf(2).
mod command {
    pub(super) const PROG_QUERY: libc::c_long = 16;
    pub(super) const LINK_CREATE: libc::c_long = 28;
}

/// `enum bpf_attach_type` (linux/bpf.h): packets that the first device of a pair sends.
const NETKIT_PRIMARY: u32 = 54;
/// More programs than ours on a device that we made is somebody else's doing.
const MOST: usize = 64;

/// `union bpf_attr`, the member for `BPF_LINK_CREATE`.
#[repr(C)]
#[derive(Default)]
struct LinkAttr {
    prog_fd: RawFd,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    pad: u32,
    expected_revision: u64,
}

/// `union bpf_attr`, the member for `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    pad: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// Runs a tc program on what netkit device `index` of the calling thread's network namespace
/// sends, until the descriptor is closed. The device must be the first of its pair.
///
/// # Errors
/// `EACCES` for the second of a pair, `ENXIO` for another kind of device, `EINVAL` before Linux 6.7.
pub fn attach(program: BorrowedFd<'_>, index: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkAttr {
        prog_fd: program.as_raw_fd(),
        target_ifindex: index,
        attach_type: NETKIT_PRIMARY,
        ..LinkAttr::default()
    };
    // SAFETY: numbers alone.
    let fd = unsafe { bpf(command::LINK_CREATE, &mut attr) }?;
    // SAFETY: the kernel has just made it for us; a link is close-on-exec from the start
    // (kernel/bpf/syscall.c: bpf_link_prime).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The ids of the programs that [`attach`] put on netkit device `index`.
///
/// # Errors
/// As [`attach`]; `ENOSPC` when there are more than 64.
pub fn attached(index: u32) -> io::Result<Vec<u32>> {
    let mut ids = vec![0_u32; MOST];
    let mut attr = QueryAttr {
        target_ifindex: index,
        attach_type: NETKIT_PRIMARY,
        prog_ids: address(ids.as_mut_ptr()),
        count: u32::try_from(MOST).map_err(io::Error::other)?,
        ..QueryAttr::default()
    };
    // SAFETY: the kernel writes at most `count` ids, for which there is room.
    unsafe { bpf(command::PROG_QUERY, &mut attr) }?;
    ids.truncate(attr.count as usize);
    Ok(ids)
}
