//! The clock that the programs compare with.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC` in ns as of the last jiffy, which is what `bpf_ktime_get_coarse_ns` reads
/// (kernel/time/timekeeping.c, `ktime_get_coarse_ts64`). By the exact clock a fault would begin up
/// to a jiffy after its start, and the first packets would pass. It stands still in suspend.
pub(super) fn now_ns() -> u64 {
    // clock_gettime(2) cannot fail for this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}
