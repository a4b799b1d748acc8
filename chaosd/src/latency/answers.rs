//! The listener's loop: the kernel asks, and is told yes, now or later.

use std::{os::fd::AsFd, time::Duration};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        fanotify::{Fanotify, FanotifyEvent, FanotifyResponse, MaskFlags, Response},
        resource::{Resource, getrlimit, setrlimit},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};

use super::{
    LEASE, LatencyError, Work,
    below::Below,
    deadman::{BEAT, Deadman},
    marks,
    members::REMEMBERED,
    process::Line,
    queue::{Queue, Waiter},
    whom::Judge,
};

/// Descriptors for all but those who wait: a read of the queue brings up to 170 at once (nix,
/// `read_events`), and the kernel *denies* what finds no descriptor (`copy_event_to_user` in
/// `fs/notify/fanotify/fanotify_user.c`).
const KEPT_FREE: u64 = 512 + 2 * REMEMBERED as u64;

/// A listener at work.
pub(super) struct Listening<'a> {
    line: &'a Line,
    work: Work,
    group: Fanotify,
    below: Below,
    judge: Judge,
    deadman: Deadman,
    queue: Queue<FanotifyEvent>,
    /// How many may wait.
    room: usize,
    born_ns: u64,
}

impl<'a> Listening<'a> {
    /// Everything that takes opening a file is done here, and the marks come last.
    pub(super) fn begin(line: &'a Line, work: Work) -> Result<Self, String> {
        let chain = |error: LatencyError| crate::undo::chain(&error);
        let group = marks::group().map_err(chain)?;
        let below = Below::open(&work.path).map_err(chain)?;
        let judge = Judge::new(work.whom.clone());
        let born_ns = now_ns();
        let listening = Self {
            room: room().map_err(|errno| format!("raise the limit of open files: {errno}"))?,
            deadman: Deadman::start(born_ns).map_err(|e| format!("start a timer: {e}"))?,
            queue: Queue::new(),
            line,
            work,
            group,
            below,
            judge,
            born_ns,
        };
        marks::set(&listening.group, &listening.work, &listening.below.place).map_err(chain)?;
        Ok(listening)
    }

    /// Until nobody vouches for it, or the parent is gone.
    pub(super) fn run(&mut self) {
        loop {
            let now = now_ns();
            let vouched = self.line.page.vouched_ns().max(self.born_ns);
            let lease = vouched.saturating_add(nanos(LEASE));
            if now >= lease || self.deadman.beat(now).is_err() {
                break;
            }
            if self.line.page.intensity() <= 0.0 {
                self.let_all_go();
            }
            while let Some(waiter) = self.queue.take_due(now) {
                self.let_go(&waiter);
            }
            let next = self.queue.next_ns().unwrap_or(u64::MAX).min(lease);
            let (asked, spoken_to) = self.wait(next.saturating_sub(now_ns()).min(nanos(BEAT)));
            if spoken_to && !self.line.hear() {
                break;
            }
            if asked {
                self.answer();
            }
        }
        self.let_all_go();
    }

    /// Until the kernel asks, the parent speaks or the time has passed.
    fn wait(&self, ns: u64) -> (bool, bool) {
        let mut fds = [
            PollFd::new(self.group.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.line.socket(), PollFlags::POLLIN),
        ];
        // An error is an interruption: the caller looks at the clock and comes back.
        let _count = ppoll(
            &mut fds,
            Some(TimeSpec::from_duration(Duration::from_nanos(ns))),
            None,
        );
        let [asked, spoken_to] = fds.map(|fd| fd.any().unwrap_or(false));
        (asked, spoken_to)
    }

    fn answer(&mut self) {
        // An error is that somebody stopped asking: he was killed.
        let events = self.group.read_events().unwrap_or_default();
        let now = now_ns();
        // Whoever asks after an order has that one.
        let intensity = self.line.page.intensity();
        for event in events {
            let Some(file) = event.fd() else {
                // The queue was full, and the kernel has let them go.
                self.line.page.hurried();
                continue;
            };
            let delay = if event.mask().contains(MaskFlags::FAN_OPEN_PERM) {
                self.work.open
            } else {
                self.work.read
            };
            let delay = delay.unwrap_or_default().mul_f64(intensity);
            if delay.is_zero() || !self.judge.meant(event.pid()) || !self.below.holds(file) {
                allow(&self.group, &event);
                self.line.page.passed();
            } else if self.queue.len() >= self.room {
                allow(&self.group, &event);
                self.line.page.hurried();
            } else {
                self.queue
                    .push(now, now.saturating_add(nanos(delay)), event);
            }
        }
    }

    fn let_go(&self, waiter: &Waiter<FanotifyEvent>) {
        allow(&self.group, &waiter.what);
        let open = waiter.what.mask().contains(MaskFlags::FAN_OPEN_PERM);
        let asked = waiter.due_ns.saturating_sub(waiter.since_ns);
        let late = now_ns().saturating_sub(waiter.since_ns);
        self.line.page.waited(open, asked, late);
    }

    fn let_all_go(&mut self) {
        while let Some(waiter) = self.queue.take_due(u64::MAX) {
            allow(&self.group, &waiter.what);
            self.line.page.hurried();
        }
    }
}

fn allow(group: &Fanotify, event: &FanotifyEvent) {
    let Some(fd) = event.fd() else { return };
    // It fails when who asked was killed meanwhile.
    let _still_there = group.write_response(FanotifyResponse::new(fd, Response::FAN_ALLOW));
}

/// Raises the limit of open files as far as it goes, and says how many may wait.
fn room() -> nix::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    let room = hard.saturating_sub(KEPT_FREE);
    if room == 0 {
        return Err(Errno::EMFILE);
    }
    Ok(usize::try_from(room).unwrap_or(usize::MAX))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `CLOCK_MONOTONIC`, the same for parent and listener (`clock_gettime(2)` cannot fail for it).
pub(super) fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| nanos(Duration::from(time)))
}
