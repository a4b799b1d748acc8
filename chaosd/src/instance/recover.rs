//! Undoes what the dead have left: `chaosd revert --all` without a daemon, and the first thing
//! that every start does.

use std::{
    fs,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use super::{DaemonLock, Instance, InstanceError, Live, StateDir};
use crate::{
    sys::process::{pidfd_open, pidfd_send_signal},
    undo::{RevertReport, System},
};

/// How long a watchdog whose process has died may take to undo its work.
const WATCHDOG_TIME: Duration = Duration::from_secs(5);

/// Replays the journals of every instance that nobody holds, and removes what is then empty.
///
/// An instance whose process is dead while its watchdog still holds the lock is waited for; a
/// watchdog that is stuck (stopped, say) is killed after a while, and replaced by us.
/// Instances that are alive are left alone.
pub fn revert_abandoned(state: &StateDir, system: &dyn System) -> RevertReport {
    let mut report = RevertReport::default();
    let numbers = match state.numbers() {
        Ok(numbers) => numbers,
        Err(error) => {
            let by_hand = format!("ls -la {}", state.path().display());
            report.fail("look for journals that were left".into(), &error, by_hand);
            return report;
        }
    };
    for number in numbers {
        match take_over(state, number) {
            Ok(Some(instance)) => report.merge(instance.replay(system)),
            Ok(None) => {}
            Err(error) => report.fail(
                format!("take over instance {number}"),
                &error,
                format!("ls -la {}", state.instance(number).display()),
            ),
        }
    }
    DaemonLock::clear(state);
    // Only when it is empty.
    let _gone = fs::remove_dir(state.instances());
    report
}

/// None: it is alive.
fn take_over(state: &StateDir, number: u32) -> Result<Option<Instance>, InstanceError> {
    let mut since = None;
    let mut killed = false;
    loop {
        // Asking for the lock of a number whose directory has just gone would make it again.
        if !state.instance(number).exists() {
            return Ok(None);
        }
        if let Some(instance) = Instance::take(state, number)? {
            return Ok(Some(instance));
        }
        let live = state.live()?.into_iter().find(|l| l.number == number);
        let Some(live) = live else {
            // Let go of in this instant.
            continue;
        };
        if live.owner.as_ref().is_none_or(super::Owner::is_alive) {
            return Ok(None);
        }
        let waited = since.get_or_insert_with(Instant::now).elapsed();
        if waited > WATCHDOG_TIME && !killed {
            kill_watchdog(&live);
            killed = true;
        } else if waited > 2 * WATCHDOG_TIME {
            let source = std::io::Error::other("its process is dead, and somebody holds its lock");
            let path = state.instance(number).join("lock");
            return Err(super::failed("lock", path)(source));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn kill_watchdog(orphan: &Live) {
    let Some(watchdog) = &orphan.watchdog else {
        return;
    };
    // The pidfd first, then a look at who it is: the number may be another's by now.
    if let Ok(pidfd) = pidfd_open(watchdog.pid)
        && watchdog.is_alive()
    {
        let _gone_by_itself = pidfd_send_signal(pidfd.as_fd(), Signal::SIGKILL);
    }
}
