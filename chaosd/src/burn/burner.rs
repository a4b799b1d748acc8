//! The parent's handle of one burner.

use std::{
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_setaffinity},
    sys::{
        signal::Signal,
        socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair},
    },
    unistd::Pid,
};

use super::{BurnError, Progress, VERB, Work, clock::now_ns, demand::Order, page::Page};
use crate::sys::process::{inherit, pidfd_open, pidfd_send_signal, renice, wait_readable};

/// How long it may take to start, on a machine that is busy.
pub(super) const READY_TIME: Duration = Duration::from_secs(10);
/// How long we wait for its death: giving back memory takes the kernel a second for some 20 GiB.
const DEATH_TIME: Duration = Duration::from_secs(1);

/// From the burner: it waits for orders.
pub(super) const READY: u8 = b'R';
/// From the burner: it failed to do what the words say, and ends.
pub(super) const UNABLE: u8 = b'E';
/// From the parent: there is another order.
const WAKE: u8 = b'W';

/// A burner. Dropped, it is killed.
///
/// It dies with the *thread* that started it (`PR_SET_PDEATHSIG`, prctl(2)), so that should be one
/// which lives as long as what the burner is for.
#[derive(Debug)]
#[must_use = "a burner that is dropped is killed"]
pub struct Burner {
    /// None once it is reaped.
    child: Option<Child>,
    pid: u32,
    pidfd: OwnedFd,
    socket: OwnedFd,
    page: Page,
    last: Progress,
}

impl Burner {
    /// Starts a burner, and moves it into cgroups: `into` are their `cgroup.procs` files, of either
    /// version. It burns nothing until [`Burner::vouch`] says that something is wanted.
    pub fn start(work: &Work, into: &[PathBuf]) -> Result<Self, BurnError> {
        // The very binary that runs, even if its file has been replaced.
        Self::start_by(Path::new("/proc/self/exe"), work, into)
    }

    /// As [`Burner::start`], by another binary, of which the first argument [`VERB`] leads to
    /// [`super::main`].
    pub fn start_by(program: &Path, work: &Work, into: &[PathBuf]) -> Result<Self, BurnError> {
        let mut command = Command::new(program);
        command.arg0("chaosd");
        Self::start_as(command, work, into)
    }

    pub(super) fn start_as(
        mut command: Command,
        work: &Work,
        into: &[PathBuf],
    ) -> Result<Self, BurnError> {
        work.check()?;
        let start = BurnError::Start;
        // Packets, of which the end is heard (unix(7)).
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .map_err(|errno| start(errno.into()))?;
        let (page, page_fd) = Page::create().map_err(start)?;
        let words = serde_json::to_string(work).map_err(|error| start(error.into()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .arg(VERB)
            .arg(words);
        for fd in inherit(&mut command, vec![theirs, page_fd]) {
            command.arg(fd.to_string());
        }
        let mut child = command
            .arg(std::process::id().to_string())
            .spawn()
            .map_err(start)?;
        // Its end of the socket: while we have it too, we cannot see it close.
        drop(command);
        let pid = child.id();
        let pidfd = match pidfd_open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(start(error));
            }
        };
        let burner = Self {
            child: Some(child),
            pid,
            pidfd,
            socket: ours,
            page,
            last: Progress::default(),
        };
        burner.await_ready()?;
        burner.place(work, into)?;
        Ok(burner)
    }

    fn await_ready(&self) -> Result<(), BurnError> {
        if !wait_readable(self.socket.as_fd(), READY_TIME) {
            return Err(BurnError::NotReady);
        }
        let mut message = [0; 512];
        let length = recv(
            self.socket.as_raw_fd(),
            &mut message,
            MsgFlags::MSG_DONTWAIT,
        );
        match message.get(..length.unwrap_or(0)) {
            Some([READY, ..]) => Ok(()),
            Some([UNABLE, words @ ..]) => Err(BurnError::Unable(
                String::from_utf8_lossy(words).into_owned(),
            )),
            _ => Err(BurnError::Gone),
        }
    }

    /// All of this is done from here: a burner in a cgroup that is frozen or out of its quota could
    /// not, and we would wait for it.
    fn place(&self, work: &Work, into: &[PathBuf]) -> Result<(), BurnError> {
        let pid = self.pid.to_string();
        for path in into {
            fs::write(path, &pid).map_err(|source| BurnError::Enter {
                path: path.clone(),
                source,
            })?;
        }
        match work {
            // After the cgroups: one with a cpuset sets the affinity of those that enter
            // (kernel/cgroup/cpuset.c, `cpuset_attach_task`).
            Work::Cpu { cpu, nice, .. } => {
                self.pin(*cpu)?;
                self.renice(*nice)?;
            }
            Work::Memory { .. } | Work::Io { .. } => {}
        }
        Ok(())
    }

    fn pin(&self, cpu: u32) -> Result<(), BurnError> {
        let mut set = CpuSet::new();
        usize::try_from(cpu)
            .map_err(|_| Errno::EINVAL)
            .and_then(|n| set.set(n))
            .and_then(|()| {
                sched_setaffinity(Pid::from_raw(self.pid.try_into().unwrap_or(-1)), &set)
            })
            .map_err(|errno| BurnError::Pin {
                cpu,
                source: errno.into(),
            })
    }

    fn renice(&self, nice: i8) -> Result<(), BurnError> {
        let error = |source| BurnError::Nice { nice, source };
        // Also when it is 0: ours, which it was born with, may be another.
        renice(self.pid, nice).map_err(error)?;
        if nice == 0 {
            // A session begins with it.
            return Ok(());
        }
        // In the root cgroup, and where CONFIG_SCHED_AUTOGROUP is on, time is shared between
        // sessions first, and this is what counts for its own (sched(7)).
        match fs::write(format!("/proc/{}/autogroup", self.pid), nice.to_string()) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(error(source)),
            _ => Ok(()),
        }
    }

    /// Says that we live, and how much is wanted from now on: 0 rests, 1 is all of the work. Never
    /// blocks. To be called well within every [`super::LEASE`], or the burner rests.
    pub fn vouch(&self, intensity: f64) -> Result<(), BurnError> {
        self.page.order(Order::new(now_ns(), intensity));
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        loop {
            return match send(self.socket.as_raw_fd(), &[WAKE], flags) {
                Err(Errno::EINTR) => continue,
                // Enough wait in there to wake it: it is stopped or frozen, and will look at the
                // page, where the last order stands.
                Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => Ok(()),
                Err(_) => Err(BurnError::Gone),
            };
        }
    }

    /// What it has done so far, also when it is dead.
    pub fn progress(&mut self) -> Progress {
        if let Some(progress) = self.page.progress() {
            self.last = progress;
        }
        self.last
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Readable when it has died.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        let _gone_by_itself = pidfd_send_signal(self.pidfd.as_fd(), Signal::SIGKILL);
        let dead = wait_readable(self.pidfd.as_fd(), DEATH_TIME);
        let Some(mut child) = self.child.take() else {
            return;
        };
        if dead {
            let _reaped = child.wait();
            return;
        }
        // In a cgroup that v1's freezer holds it dies when that lets go. Nobody is to wait for it.
        let reaper = thread::Builder::new().name("chaosd-reaper".into());
        let _unreaped_if_there_is_no_thread = reaper.spawn(move || child.wait());
    }
}
