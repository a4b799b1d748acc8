//! Where the kernel's fields lie, and what a fault is for its whole life: read-only data, which the
//! daemon writes before the programs are loaded and the verifier takes for constants.

use core::ptr::read_volatile;

use aya_ebpf::helpers::bpf_probe_read_kernel;

/// An address in the kernel; 0: nothing is there.
pub type Address = u64;

macro_rules! constants {
    ($($(#[$about:meta])* $name:ident: $type:ty = $value:expr;)*) => {$(
        $(#[$about])*
        #[unsafe(no_mangle)]
        static $name: $type = $value;
    )*};
}

constants! {
    /// `struct file`: `f_inode`, and the dentry in `f_path`.
    FILE_INODE: u32 = 0;
    FILE_DENTRY: u32 = 0;
    /// `struct path`: `dentry`.
    PATH_DENTRY: u32 = 0;
    /// `struct dentry`: `d_parent`, `d_inode`, `d_sb`.
    DENTRY_PARENT: u32 = 0;
    DENTRY_INODE: u32 = 0;
    DENTRY_SUPERBLOCK: u32 = 0;
    /// `struct iattr`: `ia_valid`.
    ATTR_VALID: u32 = 0;
    /// `struct task_struct`: `flags`, `signal`.
    TASK_FLAGS: u32 = 0;
    TASK_SIGNAL: u32 = 0;
    /// `struct signal_struct`: the session in `pids`.
    SIGNAL_SESSION: u32 = 0;
    /// `struct pid`: the number in the first namespace.
    PID_NUMBER: u32 = 0;

    /// What a call that is hit returns: -4095 to -1.
    ERRNO: i32 = 0;
    /// Bit n: operation n.
    OPERATIONS: u32 = 0;
    /// What chance is drawn from.
    SEED: u64 = 0;
    /// Only processes of this cgroup and its subtree; 0: of any.
    CGROUP: u64 = 0;
    /// Its depth; the root is 0.
    CGROUP_LEVEL: u32 = 0;
    /// Only this process; 0: any.
    PROCESS: u32 = 0;
    /// 1: whatever is on the file system of the place is hit.
    WHOLE: u32 = 0;
    /// The daemon's thread, by whose call the place is known.
    LEARNER: u32 = 0;
}

macro_rules! get {
    ($name:ident) => {
        // SAFETY: an aligned constant. The compiler must not take it for what stands above.
        unsafe { read_volatile(&raw const $name) }
    };
}

/// Reads a field; 0 when it cannot be read.
#[inline(always)]
fn field(object: Address, offset: u32) -> Address {
    if object == 0 {
        return 0;
    }
    let at = object.wrapping_add(u64::from(offset)) as *const u64;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(at) }.unwrap_or(0)
}

/// As [`field`], of 32 bits.
#[inline(always)]
fn word(object: Address, offset: u32) -> u32 {
    let at = object.wrapping_add(u64::from(offset)) as *const u32;
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(at) }.unwrap_or(0)
}

#[inline(always)]
pub fn dentry_of_path(path: Address) -> Address {
    field(path, get!(PATH_DENTRY))
}

#[inline(always)]
pub fn dentry_of_file(file: Address) -> Address {
    field(file, get!(FILE_DENTRY))
}

#[inline(always)]
pub fn inode_of_file(file: Address) -> Address {
    field(file, get!(FILE_INODE))
}

#[inline(always)]
pub fn inode(dentry: Address) -> Address {
    field(dentry, get!(DENTRY_INODE))
}

#[inline(always)]
pub fn parent(dentry: Address) -> Address {
    field(dentry, get!(DENTRY_PARENT))
}

#[inline(always)]
pub fn superblock(dentry: Address) -> Address {
    field(dentry, get!(DENTRY_SUPERBLOCK))
}

/// Which attributes are set.
#[inline(always)]
pub fn valid(attributes: Address) -> u32 {
    word(attributes, get!(ATTR_VALID))
}

/// `PF_*` of a task.
#[inline(always)]
pub fn task_flags(task: Address) -> u32 {
    word(task, get!(TASK_FLAGS))
}

/// The number of a task's session.
#[inline(always)]
pub fn session(task: Address) -> u32 {
    let signal = field(task, get!(TASK_SIGNAL));
    let session = field(signal, get!(SIGNAL_SESSION));
    if session == 0 {
        return 0;
    }
    word(session, get!(PID_NUMBER))
}

/// What a call that is hit returns. Linux 6.1 oopses on what is no errno and does not ask.
#[inline(always)]
pub fn errno() -> i32 {
    let errno = get!(ERRNO);
    if (-4095..0).contains(&errno) {
        errno
    } else {
        0
    }
}

#[inline(always)]
pub fn wants(operation: u32) -> bool {
    get!(OPERATIONS) & (1 << operation) != 0
}

#[inline(always)]
pub fn seed() -> u64 {
    get!(SEED)
}

#[inline(always)]
pub fn cgroup() -> (u64, u32) {
    (get!(CGROUP), get!(CGROUP_LEVEL))
}

#[inline(always)]
pub fn process() -> u32 {
    get!(PROCESS)
}

#[inline(always)]
pub fn is_whole() -> bool {
    get!(WHOLE) != 0
}

#[inline(always)]
pub fn learner() -> u32 {
    get!(LEARNER)
}
