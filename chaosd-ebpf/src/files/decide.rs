//! Whether a call fails.

use core::{
    intrinsics::{AtomicOrdering, atomic_xadd},
    ptr::read_volatile,
};

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    helpers::generated::bpf_ktime_get_ns,
    macros::map,
    maps::{Array, PerCpuArray},
};
use chaosd_ebpf::{
    file_error::{FileControl, FileCounters, OPERATIONS},
    hits,
};

use crate::{
    layout::{self, Address},
    place, target,
};

#[map]
pub static CONTROL: Array<FileControl> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// By operation.
#[map]
static COUNTERS: PerCpuArray<FileCounters> = PerCpuArray::with_max_entries(OPERATIONS, 0);

/// What the hook returns: 0, or the error. The call is on `dentry`, or on either of both; 0: none.
#[inline(always)]
pub fn decide(operation: u32, dentry: Address, other: Address) -> i32 {
    let Some(control) = CONTROL.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: aligned fields of a map's value, which user space writes while we look.
    let (until, rate) = unsafe {
        (
            read_volatile(&raw const (*control).until_ns),
            read_volatile(&raw const (*control).rate),
        )
    };
    // SAFETY: a helper without arguments.
    if rate == 0 || unsafe { bpf_ktime_get_ns() } >= until || !target::is_meant() {
        return 0;
    }
    // SAFETY: what it reads was written before the fault was armed, and stays.
    let known = unsafe { &*control };
    if !place::holds(known, dentry) && !place::holds(known, other) {
        return 0;
    }
    if target::is_spared() {
        return 0;
    }
    // `AtomicU64` has no `fetch_add` on this target, the instruction set has (v3). Relaxed would become
    // the instruction that returns nothing.
    // SAFETY: an aligned u64 of a map's value, shared by the CPUs.
    let number = unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(&raw mut (*control).calls, 1)
    };
    let hit = hits(layout::seed(), number, rate);
    count(operation, hit);
    if hit { layout::errno() } else { 0 }
}

/// Tasks take turns on a CPU in the midst of this, unlike softirqs: it takes atomics here too.
#[inline(always)]
fn count(operation: u32, hit: bool) {
    let Some(counters) = COUNTERS.get_ptr_mut(operation) else {
        return;
    };
    // SAFETY: aligned fields of a map's value.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(&raw mut (*counters).seen, 1);
        if hit {
            atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(&raw mut (*counters).failed, 1);
        }
    }
}
