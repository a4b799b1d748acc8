//! Whether a call is one of the target's.

use aya_ebpf::{
    helpers::{
        bpf_get_current_comm, bpf_get_current_pid_tgid,
        generated::{bpf_get_current_ancestor_cgroup_id, bpf_get_current_task},
    },
    macros::map,
    maps::HashMap,
};
use chaosd_ebpf::file_error::SESSION;

use crate::layout;

/// `PF_KTHREAD` (include/linux/sched.h).
const KERNEL_THREAD: u32 = 0x0020_0000;
/// What serves SSH sessions: its children are known by this before the daemon has seen them.
const SSH: [u8; 4] = *b"sshd";

/// Whom no fault may hit: processes, and sessions with [`SESSION`]. Kept by the daemon.
#[map]
pub static SPARED: HashMap<u64, u32> = HashMap::with_max_entries(16384, 1);

/// True when the fault is for who calls.
#[inline(always)]
pub fn is_meant() -> bool {
    let process = bpf_get_current_pid_tgid() >> 32;
    if layout::process() != 0 && u64::from(layout::process()) != process {
        return false;
    }
    let (cgroup, level) = layout::cgroup();
    // SAFETY: a helper that takes a number; 0 where there is no such depth.
    if cgroup != 0 && unsafe { bpf_get_current_ancestor_cgroup_id(level.cast_signed()) } != cgroup {
        return false;
    }
    true
}

/// True when who calls is left alone all the same.
#[inline(never)]
pub fn is_spared() -> bool {
    let process = bpf_get_current_pid_tgid() >> 32;
    if is_listed(process) {
        return true;
    }
    // SAFETY: a helper without arguments.
    let task = unsafe { bpf_get_current_task() };
    if layout::task_flags(task) & KERNEL_THREAD != 0 {
        return true;
    }
    if is_listed(u64::from(layout::session(task)) | SESSION) {
        return true;
    }
    bpf_get_current_comm().is_ok_and(|name| name[..4] == SSH)
}

#[inline(always)]
fn is_listed(key: u64) -> bool {
    // SAFETY: the value is not looked at.
    unsafe { SPARED.get(key) }.is_some()
}
