//! The clock that the programs compare with.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in ns, in steps of a jiffy, just as `bpf_ktime_get_coarse_ns` reads it: a run
/// that starts now by the exact clock would start for the programs up to a jiffy later. It stands
/// still in suspend.
pub(crate) fn now_ns() -> u64 {
    // clock_gettime(2) cannot fail for this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}
