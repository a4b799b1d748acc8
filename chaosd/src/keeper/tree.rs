//! Everybody below this process.

use std::{collections::HashSet, os::fd::AsFd};

use nix::sys::signal::Signal;

use crate::{
    process::{Stat, all},
    sys::process::{pidfd_open, pidfd_send_signal},
};

/// Sends all of them a signal. Those that are born meanwhile have to be sent another.
pub(super) fn signal(signal: Signal) {
    // /proc is not there: nothing could be found out.
    let all = all().unwrap_or_default();
    for stat in below(std::process::id(), &all) {
        // The pidfd first, then a look at who it is: the number may be another's by now.
        if let Ok(pidfd) = pidfd_open(stat.who.pid)
            && stat.who.stat().is_some()
        {
            let _gone_by_itself = pidfd_send_signal(pidfd.as_fd(), signal);
        }
    }
}

/// The descendants of a process.
fn below(top: u32, all: &[Stat]) -> Vec<&Stat> {
    let mut above: HashSet<u32> = HashSet::from([top]);
    let mut found: Vec<&Stat> = Vec::new();
    // A parent may have a higher number than its child: again, until nobody is added.
    loop {
        let before = found.len();
        for stat in all {
            if above.contains(&stat.parent) && above.insert(stat.who.pid) {
                found.push(stat);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Identity;

    #[test]
    fn all_descendants_are_found_whatever_their_numbers() {
        let stat = |pid, parent| Stat {
            who: Identity {
                pid,
                started: 1,
                name: "a".into(),
            },
            state: 'S',
            parent,
            session: pid,
            terminal: false,
            kernel: false,
        };
        let all = [
            stat(1, 0),
            stat(5, 40),
            stat(6, 1),
            stat(20, 1),
            stat(30, 20),
            stat(40, 30),
            stat(41, 6),
        ];
        let found: Vec<u32> = below(20, &all).iter().map(|stat| stat.who.pid).collect();
        assert_eq!(found, [30, 40, 5]);
        assert!(below(41, &all).is_empty());
    }
}
