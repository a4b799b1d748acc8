//! The clock that the programs compare with.

use nix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC_COARSE` in ns: what `bpf_ktime_get_coarse_ns` returns. It stands still in
/// suspend. The finer clock is up to a jiffy ahead of it, so that a run which started by that one
/// would let packets pass for as long.
pub(super) fn now_ns() -> u64 {
    // clock_gettime(2) cannot fail for this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}
