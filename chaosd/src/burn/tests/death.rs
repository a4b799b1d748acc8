//! What becomes of a burner when its parent dies, stops, or lets go of it.

use std::{
    io::{BufRead, BufReader},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Stdio},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, kill},
};

use super::*;
use crate::sys::process::{pidfd_open, pidfd_send_signal};

/// A parent: burns, and says which process does.
pub(super) fn parent() {
    let burner = start(&cpu(0.3), &[]).unwrap();
    println!("\nburner {}", burner.pid());
    loop {
        burner.vouch(1.0).unwrap();
        sleep(Duration::from_millis(50));
    }
}

/// A parent and its burner, both killed in the end.
struct Family {
    parent: Child,
    burner: u32,
    pidfd: OwnedFd,
}

impl Family {
    fn new() -> Self {
        let mut parent = this_binary("parent")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let burner: u32 = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("burner ")?.parse().ok())
            .unwrap();
        Self {
            parent,
            burner,
            pidfd: pidfd_open(burner).unwrap(),
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.parent.id().try_into().unwrap()), signal).unwrap();
    }

    /// Whether the burner dies within this time.
    fn dies(&self, within: Duration) -> bool {
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::try_from(within).unwrap()) == Ok(1)
    }

    /// Waits until the burner burns, or does not, for some time on end.
    fn wait_until(&self, burns: bool) {
        let begun = Instant::now();
        loop {
            let before = kernel_time(self.burner);
            sleep(Duration::from_millis(500));
            let used = kernel_time(self.burner).checked_sub(before).unwrap();
            // At a load of 30 % it would be 150 ms, on a machine that has them to give.
            if (used > Duration::from_millis(5)) == burns {
                return;
            }
            assert!(begun.elapsed() < LONG, "burns: {}", !burns);
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _dead_already = pidfd_send_signal(self.pidfd.as_fd(), Signal::SIGKILL);
        let _dead_already = self.parent.kill();
        let _reaped = self.parent.wait();
    }
}

#[test]
fn it_dies_with_a_parent_that_is_killed() {
    let mut family = Family::new();
    family.wait_until(true);
    family.parent.kill().unwrap();
    // On an idle machine within a millisecond.
    assert!(family.dies(Duration::from_secs(5)), "it lives on");
}

#[test]
fn it_dies_with_its_parent_while_it_is_stopped() {
    let mut family = Family::new();
    pidfd_send_signal(family.pidfd.as_fd(), Signal::SIGSTOP).unwrap();
    family.parent.kill().unwrap();
    assert!(family.dies(Duration::from_secs(5)), "it lives on");
}

#[test]
fn it_rests_when_its_parent_is_stopped_and_comes_back_with_it() {
    let family = Family::new();
    family.wait_until(true);
    family.signal(Signal::SIGSTOP);
    family.wait_until(false);
    assert!(!family.dies(Duration::ZERO));
    family.signal(Signal::SIGCONT);
    family.wait_until(true);
}

#[test]
fn dropped_it_is_gone_and_reaped() {
    let burner = start(&cpu(0.5), &[]).unwrap();
    burner.vouch(1.0).unwrap();
    let pid = burner.pid();
    let pidfd = pidfd_open(pid).unwrap();
    drop(burner);
    let gone = pidfd_send_signal(pidfd.as_fd(), Signal::SIGCONT);
    assert_eq!(
        gone.unwrap_err().raw_os_error(),
        Some(libc::ESRCH),
        "not even a zombie"
    );
}

#[test]
fn one_that_cannot_listen_takes_vouches_all_the_same() {
    let mut burner = start(&cpu(0.3), &[]).unwrap();
    pidfd_send_signal(burner.pidfd(), Signal::SIGSTOP).unwrap();
    // Far more than the socket holds.
    for _ in 0..20_000 {
        burner.vouch(1.0).unwrap();
    }
    pidfd_send_signal(burner.pidfd(), Signal::SIGCONT).unwrap();
    vouch_until(&mut burner, 1.0, |b| !b.progress().cpu_used.is_zero());
}
