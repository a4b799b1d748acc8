//! The watchdog's own process.
//!
//! It has one thread, no runtime, and nothing that can be late. All it knows is in the journals.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::setsid,
};

use super::{
    ALIVE, ARMED, FENCE_AFTER, GOODBYE, HEARTBEAT, IDLE, KILL_AFTER, READY, cgroup::Refuge,
};
use crate::{
    instance::{Instance, StateDir},
    sys::process::{close_all_but, ignore_signals, inherited, pidfd_send_signal, wait_readable},
    undo::{RevertReport, System},
};

/// How long a killed parent may take to die, before its journals are replayed all the same.
const DEATH_TIME: Duration = Duration::from_secs(1);
/// From the fence to the kill.
const GRACE: Duration = KILL_AFTER.saturating_sub(FENCE_AFTER);
/// We wake up for a deadline within a few milliseconds, on a machine that runs.
const LATE: Duration = Duration::from_millis(50);

/// The watchdog. `args` is what followed [`super::VERB`].
///
/// To be called before anything else in the process has opened a file.
pub fn main(args: impl IntoIterator<Item = OsString>, system: &dyn System) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut watch = match Watch::new(&args) {
        Ok(watch) => watch,
        Err(error) => {
            say(&format!("chaosd watchdog: failed to start: {error}"));
            return ExitCode::from(2);
        }
    };
    let end = watch.run(system);
    let clean = watch.finish(end, system);
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(6)
    }
}

/// What the watchdog waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// For the parent to arm something, or to die.
    Idle,
    /// For a heartbeat; the last one was then.
    Armed(Instant),
    /// For a heartbeat, having disarmed the planes then.
    Fenced(Instant),
}

impl Mood {
    /// When its patience ends.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Armed(last) => Some(last + FENCE_AFTER),
            // Counted from the fence, not from the last heartbeat: if the whole machine was
            // paused, the parent gets its time too.
            Self::Fenced(at) => Some(at + GRACE),
        }
    }

    /// What it is when we woke up late for its deadline: the machine stood still, or was too busy
    /// for us, and then for the parent too. It gets the time of one heartbeat to speak first. The
    /// lease, which nobody renews meanwhile, ends at its own time all the same.
    fn excuse(self, now: Instant) -> Option<Self> {
        match self {
            Self::Armed(last) if now > last + FENCE_AFTER + LATE => {
                Some(Self::Armed(now.checked_sub(FENCE_AFTER)? + HEARTBEAT))
            }
            _ => None,
        }
    }

    /// What a byte from the parent makes of it. None: the parent has said goodbye.
    fn hear(self, byte: u8, now: Instant) -> Option<Self> {
        match byte {
            GOODBYE => None,
            IDLE => Some(Self::Idle),
            ARMED => Some(Self::Armed(now)),
            ALIVE if self != Self::Idle => Some(Self::Armed(now)),
            _ => Some(self),
        }
    }
}

/// Why the watch is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The parent left in order.
    Goodbye,
    /// The parent died, or was killed.
    ParentDied,
}

struct Watch {
    instance: Instance,
    channel: UnixStream,
    parent: OwnedFd,
    refuge: Option<Refuge>,
    /// Said to the terminal when all is done: it may be a pipe that nobody reads.
    said: Vec<String>,
}

impl Watch {
    fn new(args: &[OsString]) -> io::Result<Self> {
        let [state, numbers @ ..] = args else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let numbers: Option<Vec<i32>> = numbers.iter().map(|n| n.to_str()?.parse().ok()).collect();
        let Some(&[number, channel, lock, parent]) = numbers.as_deref() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let number = u32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
        let channel = inherited(channel)?;
        let lock = inherited(lock)?;
        let parent = inherited(parent)?;
        close_all_but(&[channel.as_fd(), lock.as_fd(), parent.as_fd()])?;
        ignore_signals();
        // Fails for the leader of a process group, who then has left the parent's already.
        let _own_session = setsid();
        // No directory is kept busy by us.
        std::env::set_current_dir("/")?;
        let _named = fs::write("/proc/self/comm", "chaosd-watchdog");
        // Lowering it takes CAP_SYS_RESOURCE; without it we are as likely a victim as others.
        let _spared = fs::write("/proc/self/oom_score_adj", "-900");
        let instance = Instance::adopt(&StateDir::new(state), number, lock);
        let mut watch = Self {
            refuge: None,
            channel: UnixStream::from(channel),
            instance,
            parent,
            said: Vec::new(),
        };
        if let Err(error) = watch.instance.sign_watchdog() {
            watch.log(format!("failed to sign: {error}"));
        }
        watch.take_refuge();
        watch.channel.write_all(&[READY])?;
        Ok(watch)
    }

    /// Leaves a cgroup that a service manager would kill as a whole.
    fn take_refuge(&mut self) {
        match Refuge::take(self.instance.number()) {
            Ok(None) => {}
            Ok(Some(refuge)) => {
                if let Err(error) = self.instance.note_cgroup(refuge.path()) {
                    self.log(format_args!("failed to note our cgroup: {error}"));
                }
                self.refuge = Some(refuge);
            }
            Err(error) => self.log(format_args!(
                "failed to leave the service's cgroup, and may be killed with it: {error}"
            )),
        }
    }

    fn run(&mut self, system: &dyn System) -> End {
        let mut mood = Mood::Idle;
        loop {
            let (speaks, dead) = self.wait(mood.deadline());
            // What it said comes first: a parent that said goodbye may be dead by now.
            if speaks {
                let mut bytes = [0; 256];
                match self.channel.read(&mut bytes) {
                    Ok(0) => return End::ParentDied,
                    Ok(n) => {
                        let fenced = matches!(mood, Mood::Fenced(_));
                        for byte in &bytes[..n] {
                            match mood.hear(*byte, Instant::now()) {
                                Some(next) => mood = next,
                                None => return End::Goodbye,
                            }
                        }
                        if fenced && !matches!(mood, Mood::Fenced(_)) {
                            self.log("the parent is back");
                        }
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        self.log(format_args!("failed to listen to the parent: {error}"));
                        return End::ParentDied;
                    }
                }
            }
            if dead {
                return End::ParentDied;
            }
            if mood.deadline().is_none_or(|d| Instant::now() < d) {
                continue;
            }
            if let Some(excused) = mood.excuse(Instant::now()) {
                mood = excused;
                continue;
            }
            if let Mood::Fenced(_) = mood {
                self.log(format_args!(
                    "no heartbeat for {KILL_AFTER:?}: killing the parent"
                ));
                self.kill_parent();
                return End::ParentDied;
            }
            let report = self.instance.fence(system);
            mood = Mood::Fenced(Instant::now());
            self.log(format_args!(
                "no heartbeat for {FENCE_AFTER:?}: disarmed the planes: {report}"
            ));
        }
    }

    /// Waits for the parent to speak or die, or for the deadline.
    fn wait(&self, deadline: Option<Instant>) -> (bool, bool) {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // poll(2) counts whole milliseconds: one more, so as not to wake too early.
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [
            PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.parent.as_fd(), PollFlags::POLLIN),
        ];
        // An error is an interruption: the caller looks at the clock and comes back.
        let _count = poll(&mut fds, timeout);
        let [channel, parent] = fds.map(|fd| fd.any().unwrap_or(false));
        (channel, parent)
    }

    fn kill_parent(&mut self) {
        if let Err(error) = pidfd_send_signal(self.parent.as_fd(), Signal::SIGKILL) {
            self.log(format_args!("failed to kill the parent: {error}"));
        }
        if !wait_readable(self.parent.as_fd(), DEATH_TIME) {
            self.log("the parent does not die: undoing its changes under it");
        }
    }

    /// True when nothing is left.
    fn finish(mut self, end: End, system: &dyn System) -> bool {
        let report = match end {
            End::Goodbye => RevertReport::default(),
            End::ParentDied => self.instance.replay(system),
        };
        let lines = report.left_alone.iter().map(|l| format!("left alone: {l}"));
        let lines = lines.chain(report.failed.iter().map(ToString::to_string));
        for line in lines.collect::<Vec<_>>() {
            self.log(line);
        }
        if let Some(refuge) = self.refuge.take() {
            refuge.leave();
        }
        // The directory goes, unless something is left to undo; the lock goes in any case.
        match end {
            End::Goodbye => self.instance.let_go(),
            End::ParentDied => drop(self.instance),
        }
        for line in &self.said {
            say(line);
        }
        report.is_clean()
    }

    fn log(&mut self, line: impl std::fmt::Display) {
        let line = format!("{} chaosd watchdog: {line}", jiff::Timestamp::now());
        // Not into the directory of another instance, should ours be gone.
        if self.instance.is_ours() {
            let path = self.instance.dir().join("watchdog.log");
            let file = OpenOptions::new().append(true).create(true).open(path);
            let _on_a_full_disk = file.and_then(|mut f: File| writeln!(f, "{line}"));
        }
        self.said.push(line);
    }
}

/// A line on the terminal, if it takes one without making us wait.
fn say(line: &str) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::ZERO) == Ok(1) {
        let _nobody_listens = writeln!(io::stderr(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_armed_parent_has_a_second_and_then_four_more() {
        let now = Instant::now();
        let mood = Mood::Idle.hear(ARMED, now);
        assert_eq!(mood, Some(Mood::Armed(now)));
        assert_eq!(Mood::Armed(now).deadline(), Some(now + FENCE_AFTER));
        assert_eq!(Mood::Fenced(now).deadline(), Some(now + GRACE));
        assert_eq!(FENCE_AFTER + GRACE, KILL_AFTER);
        assert_eq!(Mood::Idle.deadline(), None);
    }

    #[test]
    fn a_parent_is_not_late_when_the_whole_machine_was() {
        let now = Instant::now();
        let since = |age: Duration| Mood::Armed(now.checked_sub(age).expect("booted long ago"));
        assert_eq!(since(FENCE_AFTER).excuse(now), None);
        let excused = since(FENCE_AFTER * 2).excuse(now).expect("we are late too");
        assert_eq!(excused.deadline(), Some(now + HEARTBEAT));
        assert_eq!(excused.excuse(now + HEARTBEAT), None, "once");
        assert_eq!(Mood::Fenced(now).excuse(now + KILL_AFTER), None);
    }

    #[test]
    fn a_late_heartbeat_gives_the_parent_its_time_again() {
        let now = Instant::now();
        assert_eq!(Mood::Fenced(now).hear(ALIVE, now), Some(Mood::Armed(now)));
        assert_eq!(Mood::Idle.hear(ALIVE, now), Some(Mood::Idle));
        assert_eq!(Mood::Armed(now).hear(IDLE, now), Some(Mood::Idle));
        assert_eq!(Mood::Armed(now).hear(b'?', now), Some(Mood::Armed(now)));
        assert_eq!(Mood::Armed(now).hear(GOODBYE, now), None);
    }
}
