//! The programs of a fault of files: what calls on files come to, decided where the kernel asks its
//! security modules (`include/linux/lsm_hook_defs.h`). One set of them is one fault.
//!
//! Nothing here knows a kernel's types: where their fields lie stands in [`layout`], which the daemon
//! fills in from the kernel's own BTF before it loads anything.
//!
//! Invariant: programs fail open. What cannot be read, a target that is not known, a lease or a
//! deadline that has passed: the call goes on as if we were not there.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(
    missing_docs,
    reason = "the macros put each program's page on an inner function"
)]
#![expect(internal_features, reason = "atomic_xadd, see decide.rs")]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows calls, but a program's stack is shared by all its frames"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the program macros call"
)]

mod decide;
mod layout;
mod place;
mod target;

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::lsm, programs::LsmContext};
use chaosd_ebpf::file_error as op;

use crate::{
    decide::{CONTROL, decide},
    layout::Address,
};

/// `MAY_WRITE`, `MAY_READ` (include/linux/fs.h).
const MAY_WRITE: i32 = 2;
const MAY_READ: i32 = 4;
/// `ATTR_SIZE` (include/linux/fs.h)
const ATTR_SIZE: u32 = 1 << 3;

/// Finds the place that the fault is for, by its address in the kernel, which stays what it is while
/// the daemon holds the file: the daemon's thread asks for the file's attributes once.
#[lsm(hook = "inode_getattr")]
pub fn learn(ctx: LsmContext) -> i32 {
    let thread = bpf_get_current_pid_tgid() & 0xffff_ffff;
    if thread == u64::from(layout::learner())
        && let Some(control) = CONTROL.get_ptr_mut(0)
    {
        let dentry = layout::dentry_of_path(argument(&ctx, 0));
        // SAFETY: fields of a map's value, which nobody reads before the daemon arms the fault.
        unsafe {
            // The first time: an overlay goes on to ask for the file below (until Linux 6.7).
            if (*control).inode == 0 {
                (*control).superblock = layout::superblock(dentry);
                (*control).inode = layout::inode(dentry);
            }
        }
    }
    0
}

#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    decide(op::OPEN, place::of_file(argument(&ctx, 0)), 0)
}

/// `read(2)`, `write(2)` and their kin, on descriptors that were open before too.
#[lsm(hook = "file_permission")]
pub fn file_permission(ctx: LsmContext) -> i32 {
    let mask: i32 = ctx.arg(1);
    let write = layout::wants(op::WRITE) && mask & MAY_WRITE != 0;
    let read = layout::wants(op::READ) && mask & MAY_READ != 0;
    if !write && !read {
        return 0;
    }
    let operation = if write { op::WRITE } else { op::READ };
    decide(operation, place::of_file(argument(&ctx, 0)), 0)
}

#[lsm(hook = "inode_create")]
pub fn inode_create(ctx: LsmContext) -> i32 {
    decide(op::CREATE, argument(&ctx, 1), 0)
}

#[lsm(hook = "inode_mknod")]
pub fn inode_mknod(ctx: LsmContext) -> i32 {
    decide(op::CREATE, argument(&ctx, 1), 0)
}

#[lsm(hook = "inode_mkdir")]
pub fn inode_mkdir(ctx: LsmContext) -> i32 {
    decide(op::MKDIR, argument(&ctx, 1), 0)
}

#[lsm(hook = "inode_unlink")]
pub fn inode_unlink(ctx: LsmContext) -> i32 {
    decide(op::UNLINK, argument(&ctx, 1), 0)
}

#[lsm(hook = "inode_rmdir")]
pub fn inode_rmdir(ctx: LsmContext) -> i32 {
    decide(op::RMDIR, argument(&ctx, 1), 0)
}

/// Into the place, out of it, or within.
#[lsm(hook = "inode_rename")]
pub fn inode_rename(ctx: LsmContext) -> i32 {
    decide(op::RENAME, argument(&ctx, 1), argument(&ctx, 3))
}

#[lsm(hook = "inode_link")]
pub fn inode_link(ctx: LsmContext) -> i32 {
    decide(op::LINK, argument(&ctx, 2), 0)
}

#[lsm(hook = "inode_symlink")]
pub fn inode_symlink(ctx: LsmContext) -> i32 {
    decide(op::SYMLINK, argument(&ctx, 1), 0)
}

/// Before Linux 6.9.
#[lsm(hook = "inode_setattr")]
pub fn inode_setattr(ctx: LsmContext) -> i32 {
    set(argument(&ctx, 0), argument(&ctx, 1))
}

/// Since Linux 6.9 the mapping of ids comes first.
#[lsm(hook = "inode_setattr")]
pub fn inode_setattr_mapped(ctx: LsmContext) -> i32 {
    set(argument(&ctx, 1), argument(&ctx, 2))
}

#[inline(always)]
fn set(dentry: Address, attributes: Address) -> i32 {
    if layout::valid(attributes) & ATTR_SIZE == 0 {
        return 0;
    }
    decide(op::TRUNCATE, dentry, 0)
}

#[lsm(hook = "inode_getattr")]
pub fn inode_getattr(ctx: LsmContext) -> i32 {
    decide(op::STAT, layout::dentry_of_path(argument(&ctx, 0)), 0)
}

/// The hook's argument, an object of the kernel's.
#[inline(always)]
fn argument(ctx: &LsmContext, n: usize) -> Address {
    ctx.arg(n)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
