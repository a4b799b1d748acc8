//! The power switch (`reboot(2)`), and the signals by which systemd presses it.

use std::io;

use nix::{
    sys::reboot::{RebootMode, reboot},
    unistd::sync,
};

/// `SIGRTMIN` as glibc has it, by which systemd counts whatever we are linked to (systemd(1)).
const SIGRTMIN: libc::c_int = 34;
const START_POWEROFF: libc::c_int = SIGRTMIN + 4;
const START_REBOOT: libc::c_int = SIGRTMIN + 5;

/// What becomes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// It is switched off.
    Off,
    /// It starts anew.
    Reboot,
}

/// Asks systemd, which is the first process, to stop what runs in order, and then the machine.
pub fn ask_systemd(power: Power) -> io::Result<()> {
    let signal = match power {
        Power::Off => START_POWEROFF,
        Power::Reboot => START_REBOOT,
    };
    // SAFETY: kill takes two integers and touches no memory of ours.
    if unsafe { libc::kill(1, signal) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Writes out what the kernel has to write, which may take long, and stops the machine at once, or the
/// pid namespace if this is not the first one. Returns only when that fails.
pub fn stop(power: Power) -> io::Error {
    sync();
    let mode = match power {
        Power::Off => RebootMode::RB_POWER_OFF,
        Power::Reboot => RebootMode::RB_AUTOBOOT,
    };
    match reboot(mode) {
        Err(errno) => errno.into(),
        Ok(never) => match never {},
    }
}
