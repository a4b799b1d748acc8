//! The listener's own process: one thread, no runtime, nothing of the parent's but a socket and a page.

use std::{
    ffi::OsString,
    fs, io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    process::ExitCode,
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        fanotify::{Fanotify, FanotifyEvent, FanotifyResponse, MaskFlags, Response},
        prctl::{set_pdeathsig, set_timerslack},
        resource::{Resource, getrlimit, setrlimit},
        signal::Signal,
        socket::{MsgFlags, recv, send},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
    unistd::{getppid, setsid},
};

use super::{
    COMM, LEASE, Work,
    below::Below,
    deadman::{BEAT, Deadman},
    listener::{READY, UNABLE},
    marks,
    members::REMEMBERED,
    page::Page,
    queue::{Queue, Waiter},
    whom::Judge,
};
use crate::sys::process::{close_all_but, ignore_signals, inherited, renice, share_time};

/// Before everybody else: they wait for us.
const NICE: i8 = -20;
/// Descriptors for all but those who wait: a read of the queue brings up to 170 at once (nix,
/// `read_events`), and the kernel *denies* what finds no descriptor (`copy_event_to_user`,
/// fs/notify/fanotify/fanotify_user.c).
const KEPT_FREE: u64 = 512 + 2 * REMEMBERED as u64;

/// The listener. `args` is what followed [`super::VERB`].
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    // Nobody reads what it says: its standard error is none.
    let Some((line, work)) = begin(&args) else {
        return ExitCode::from(2);
    };
    match Listening::begin(&line, work) {
        Ok(mut listening) => {
            line.say(READY, "");
            // Whoever waits goes on when our descriptors close.
            listening.run();
            ExitCode::SUCCESS
        }
        Err(what) => {
            line.say(UNABLE, &what);
            ExitCode::from(2)
        }
    }
}

fn begin(args: &[OsString]) -> Option<(Line, Work)> {
    let [work, socket, page, parent] = args else {
        return None;
    };
    let number = |word: &OsString| word.to_str()?.parse::<i32>().ok();
    let socket = inherited(number(socket)?).ok()?;
    let page = inherited(number(page)?).ok()?;
    close_all_but(&[socket.as_fd(), page.as_fd()]).ok()?;
    let line = Line {
        page: Page::adopt(&page).ok()?,
        socket,
    };
    let work = serde_json::from_str::<Work>(work.to_str()?).ok()?;
    if let Err(error) = settle_in(number(parent)?) {
        line.say(UNABLE, &format!("settle in: {error}"));
        return None;
    }
    Some((line, work))
}

/// Becomes what outlives no parent and keeps nobody waiting for its turn.
fn settle_in(parent: i32) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // It died before we asked to be told.
    if getppid().as_raw() != parent {
        return Err(Errno::ESRCH.into());
    }
    ignore_signals();
    // Ctrl-C is for the parent. It fails for the leader of a process group, who then has left the
    // parent's already.
    let _own_session = setsid();
    std::env::set_current_dir("/")?;
    let _named = fs::write("/proc/self/comm", COMM);
    share_time()?;
    // Both take rights that whoever may listen usually has.
    let _before_others = renice(std::process::id(), NICE);
    let _session_too = fs::write("/proc/self/autogroup", NICE.to_string());
    // 0 would be the default of 50 us.
    set_timerslack(1)?;
    Ok(())
}

/// The listener's end of what joins it to its parent.
struct Line {
    page: Page,
    socket: OwnedFd,
}

impl Line {
    /// One message: a byte that says what it is, and words.
    fn say(&self, what: u8, words: &str) {
        let message = [&[what], words.as_bytes()].concat();
        // If nobody reads it, the next look at the socket shows why.
        let _heard = send(self.socket.as_raw_fd(), &message, MsgFlags::MSG_NOSIGNAL);
    }

    /// Takes what the parent sent, which is only to wake us. False: the parent is gone.
    fn hear(&self) -> bool {
        let mut bytes = [0; 8];
        loop {
            match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return false,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return true,
                Err(_) => return false,
            }
        }
    }
}

struct Listening<'a> {
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
    fn begin(line: &'a Line, work: Work) -> Result<Self, String> {
        let chain = |error: super::LatencyError| crate::undo::chain(&error);
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

    fn run(&mut self) {
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
                self.let_go(waiter);
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
            PollFd::new(self.line.socket.as_fd(), PollFlags::POLLIN),
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

    fn let_go(&self, waiter: Waiter<FanotifyEvent>) {
        allow(&self.group, &waiter.what);
        let open = waiter.what.mask().contains(MaskFlags::FAN_OPEN_PERM);
        let asked = waiter.due_ns.saturating_sub(waiter.since_ns);
        let waited = now_ns().saturating_sub(waiter.since_ns);
        self.line.page.waited(open, asked, waited);
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
