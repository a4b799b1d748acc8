//! Tells that a name may mean somebody else by now: that it was started again, made anew, or is gone.
//!
//! Two sources, of which either suffices: what runtimes say (`listen`), and the tree of cgroups, where each
//! start and end of a container, pod or unit is a directory that comes or goes, or a cgroup that gets or
//! loses its processes. A runtime that is killed takes its own events with it and leaves the tree's.
//!
//! A cgroup is made before its process runs and before its runtime calls it running, and that leaves no
//! trace in the tree. So after each sign the answer is said to have changed a few more times, ever more
//! seldom.

mod listen;
mod tree;

pub(super) use listen::{Bell, Ended, listen};

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::{EfdFlags, EventFd},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};

use super::{Asked, Member, RuntimeError};
use tree::Tree;

/// How long after a sign it is said again that the answer may have changed.
const AFTERWARDS_MS: [u64; 7] = [20, 50, 100, 200, 400, 800, 1600];
/// No two signs are told apart that are closer than this: a runtime makes a dozen in a start.
const APART: Duration = Duration::from_millis(20);
/// How often processes are looked for, of which nothing tells that one started.
const PROCESSES: Duration = Duration::from_millis(250);

/// See the module's page. Dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    /// Readable when anything below is.
    epoll: Epoll,
    /// Absent for processes.
    tree: Option<Tree>,
    timer: TimerFd,
    bell: Arc<EventFd>,
    /// How often it was said again since the last sign.
    said_again: usize,
    last: Option<Instant>,
    /// The listener ends with it.
    _ears: tokio::sync::oneshot::Sender<()>,
}

impl Watch {
    /// Watches for changes of those who answer to `asked`, with a bell for what runtimes say.
    pub(super) fn new(asked: &Asked, members: &[Member]) -> Result<(Self, Bell), RuntimeError> {
        let wrong = |source: io::Error| RuntimeError::Watch {
            what: asked.to_string(),
            source,
        };
        let every = matches!(asked, Asked::Containers { .. } | Asked::Pods { .. });
        let is_process = matches!(asked, Asked::Process { .. });
        let mut tree = None;
        if !is_process {
            let mut new = Tree::new(crate::cgroup::any_tree()?, every).map_err(wrong)?;
            new.follow(members).map_err(wrong)?;
            tree = Some(new);
        }
        let (ears, mouth) = tokio::sync::oneshot::channel();
        let make = || -> Result<Self, Errno> {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let bell = Arc::new(EventFd::from_value_and_flags(0, flags)?);
            for (fd, token) in [
                (Some(timer.as_fd()), 0),
                (Some(bell.as_fd()), 1),
                (tree.as_ref().map(AsFd::as_fd), 2),
            ] {
                if let Some(fd) = fd {
                    epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
                }
            }
            if is_process {
                let every = TimeSpec::from_duration(PROCESSES);
                timer.set(Expiration::Interval(every), TimerSetTimeFlags::empty())?;
            }
            Ok(Self {
                epoll,
                tree,
                timer,
                bell,
                said_again: AFTERWARDS_MS.len(),
                last: None,
                _ears: ears,
            })
        };
        let watch = make().map_err(|errno| wrong(errno.into()))?;
        let bell = Bell::new(&watch.bell, mouth);
        Ok((watch, bell))
    }

    /// Whether asking again may give another answer. Never blocks; the descriptor is readable whenever it
    /// would be `true`.
    pub fn changed(&mut self) -> bool {
        let rang = self.bell.read().is_ok();
        let seen = self.tree.as_mut().is_some_and(Tree::drain);
        let due = self.has_expired();
        if self.tree.is_none() {
            return due;
        }
        if rang || seen {
            self.said_again = 0;
        } else if !due {
            return false;
        }
        let now = Instant::now();
        if let Some(last) = self.last {
            let left = APART.saturating_sub(now - last);
            if !left.is_zero() {
                self.wake_in(left);
                return false;
            }
        }
        self.last = Some(now);
        if let Some(next) = AFTERWARDS_MS.get(self.said_again) {
            self.said_again += 1;
            self.wake_in(Duration::from_millis(*next));
        }
        true
    }

    /// Watches for these from now on; those of before, who are gone, are forgotten.
    ///
    /// # Errors
    /// The kernel has no more watches to give (`/proc/sys/fs/inotify/max_user_watches`).
    pub fn follow(&mut self, members: &[Member]) -> io::Result<()> {
        match &mut self.tree {
            Some(tree) => tree.follow(members),
            None => Ok(()),
        }
    }

    fn has_expired(&self) -> bool {
        // Not `TimerFd::wait`, which tries again for as long as there is nothing to read.
        nix::unistd::read(self.timer.as_fd(), &mut [0; 8]).is_ok()
    }

    fn wake_in(&self, after: Duration) {
        let once = Expiration::OneShot(TimeSpec::from_duration(after));
        // A timer that exists takes every time above 0 (timerfd_settime(2)).
        let _ = self.timer.set(once, TimerSetTimeFlags::empty());
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

#[cfg(test)]
#[path = "../watch_tests.rs"]
mod tests;
