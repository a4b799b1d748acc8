//! The clocks of a burner, in ns. None of these calls can fail for these clocks (`clock_gettime(2)`).

use nix::{
    errno::Errno,
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};

/// `CLOCK_MONOTONIC`: the same for parent and burner; it stands still in suspend.
pub(super) fn now_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The CPU time that this thread has used, and so this process, which has no other.
pub(super) fn cpu_ns() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Sleeps until the monotonic clock shows `end_ns`.
pub(super) fn sleep_until(end_ns: u64) {
    let nanos = i64::try_from(end_ns).unwrap_or(i64::MAX);
    let end = TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000);
    let clock = ClockId::CLOCK_MONOTONIC;
    while clock_nanosleep(clock, ClockNanosleepFlags::TIMER_ABSTIME, &end) == Err(Errno::EINTR) {}
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |t| {
        u64::try_from(t.tv_sec()).unwrap_or(0) * 1_000_000_000
            + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}
