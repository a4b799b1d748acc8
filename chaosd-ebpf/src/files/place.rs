//! Whether a file is the one that is meant, or lies below the directory that is.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use chaosd_ebpf::file_error::FileControl;

use crate::layout::{self, Address};

/// Directories above one another: a path has at most 4096 bytes, two for each.
const DEEPEST: u32 = 2048;

/// The dentry of an open file; 0 for what an overlay has opened below for one of its own files, which
/// wears that file's path and would be counted twice (fs/backing-file.c).
#[inline(always)]
pub fn of_file(file: Address) -> Address {
    let dentry = layout::dentry_of_file(file);
    if layout::inode(dentry) == layout::inode_of_file(file) {
        dentry
    } else {
        0
    }
}

/// True when it is the fault's place or in it.
#[inline(always)]
pub fn holds(control: &FileControl, dentry: Address) -> bool {
    if dentry == 0 || layout::superblock(dentry) != control.superblock {
        return false;
    }
    layout::is_whole() || is_below(dentry, control.inode)
}

struct Walk {
    dentry: Address,
    wanted: Address,
    found: u64,
}

#[inline(never)]
fn is_below(dentry: Address, wanted: Address) -> bool {
    let mut walk = Walk {
        dentry,
        wanted,
        found: 0,
    };
    let step: extern "C" fn(u32, *mut c_void) -> i64 = up;
    // SAFETY: the callback has the helper's signature, and the state outlives the call.
    unsafe {
        bpf_loop(
            DEEPEST,
            step as *mut c_void,
            (&raw mut walk).cast::<c_void>(),
            0,
        );
        core::ptr::read_volatile(&raw const walk.found) != 0
    }
}

/// One directory up; not 0 ends the walk. Renames in between let it go astray, which is one wrong
/// decision: each address is read with care.
#[inline(never)]
extern "C" fn up(_: u32, walk: *mut c_void) -> i64 {
    // SAFETY: the state that `is_below` handed over.
    let walk = unsafe { &mut *walk.cast::<Walk>() };
    let inode = layout::inode(walk.dentry);
    if inode == walk.wanted && inode != 0 {
        walk.found = 1;
        return 1;
    }
    let parent = layout::parent(walk.dentry);
    if parent == walk.dentry || parent == 0 {
        return 1;
    }
    walk.dentry = parent;
    0
}
