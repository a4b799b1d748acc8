//! The host's clock: stepping it, and whether the kernel takes it for right (`clock_adjtime(2)`).

use std::io;

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;

/// Steps `CLOCK_REALTIME` by so many microseconds, in one go: nothing that runs meanwhile is lost, as
/// it would be between reading a clock and setting it.
///
/// The kernel takes the clock for unsynchronised from then on (kernel/time/timekeeping.c,
/// `timekeeping_inject_offset`), so it does not copy it into the one of the hardware.
///
/// # Errors
/// `PermissionDenied` without `CAP_SYS_TIME`; `InvalidInput` when the clock would show a time before
/// the boot, or past 2232.
pub fn step(by_us: i64) -> io::Result<()> {
    let mut timex = none();
    // Without ADJ_NANO the fraction is of microseconds, and the unit that others read stays.
    timex.modes = libc::ADJ_SETOFFSET;
    timex.time.tv_sec = by_us.div_euclid(MICROS);
    timex.time.tv_usec = by_us.rem_euclid(MICROS);
    adjust(&mut timex)?;
    Ok(())
}

/// True while somebody keeps the clock right: `STA_UNSYNC` is clear. It stays clear for hours after
/// whoever did that has ended.
pub fn is_in_sync() -> io::Result<bool> {
    let mut timex = none();
    adjust(&mut timex)?;
    Ok(timex.status & libc::STA_UNSYNC == 0)
}

fn none() -> libc::timex {
    // SAFETY: a struct of integers, for which all zeros are a value; modes 0 only reads.
    unsafe { std::mem::zeroed() }
}

fn adjust(timex: &mut libc::timex) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads and writes the struct, which is ours alone.
    let answer = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, timex) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}
