//! The clocks: the one that the programs compare with, and how far the host's own is from it.

use std::{fs, io};

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

/// The host's time to a millisecond, by which runs are told apart that begin in one second: RFC 3339, in UTC.
pub(crate) fn now_rfc3339() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Readings of which the best counts: between the clocks of one of them this process may have waited.
const READINGS: usize = 7;

/// How the host's clock stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Names the boot (`proc_sys_kernel(5)`, `random/boot_id`).
    pub boot: String,
    /// `CLOCK_REALTIME` less `CLOCK_BOOTTIME` in microseconds. It changes only when somebody sets the
    /// clock: slewing, which a time service does, and suspend move both.
    pub apart_us: i64,
    /// `CLOCK_BOOTTIME` in microseconds.
    pub up_us: i64,
}

impl Standing {
    /// Now, to a microsecond or two.
    pub fn read() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let mut best: Option<(i64, i64, i64)> = None;
        for _ in 0..READINGS {
            let before = nanos(ClockId::CLOCK_BOOTTIME)?;
            let real = nanos(ClockId::CLOCK_REALTIME)?;
            let after = nanos(ClockId::CLOCK_BOOTTIME)?;
            let (width, middle) = (after - before, before + (after - before) / 2);
            if best.is_none_or(|(narrowest, ..)| width < narrowest) {
                best = Some((width, real - middle, middle));
            }
        }
        let (_, apart, up) = best.unwrap_or_default();
        Ok(Self {
            boot: boot.trim().to_owned(),
            apart_us: apart.div_euclid(1000),
            up_us: up / 1000,
        })
    }
}

fn nanos(clock: ClockId) -> io::Result<i64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}
