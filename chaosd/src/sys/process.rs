//! Processes and descriptors: pidfds, inheritance over exec, and what a watchdog sheds at birth.

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    request_code_readwrite,
    sys::{
        prctl::set_pdeathsig,
        signal::{SigHandler, SigSet, Signal, signal},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::getppid,
};

/// A pidfd of process `pid` (`pidfd_open(2)`, Linux 5.3). It is close-on-exec.
///
/// It names that very process for ever, unlike the number, which the kernel hands out again.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_ulong::from(pid), 0) };
    let fd = RawFd::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends `signal` to the process behind a pidfd (`pidfd_send_signal(2)`, Linux 5.1).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed, so it is open; a null siginfo is allowed and means "as
    // kill(2) would".
    let answer = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct pidfd_info` in its first form (include/uapi/linux/pidfd.h, Linux 6.13).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    rest: [u32; 12],
}

/// `PIDFD_INFO_CGROUPID`
const CGROUP_ID: u64 = 1 << 2;
/// `PIDFD_GET_INFO`
const PIDFD_GET_INFO: libc::Ioctl = request_code_readwrite!(0xff, 11, size_of::<PidfdInfo>());

/// The id of the unified hierarchy's cgroup that a pidfd's process is in: the inode of its directory.
///
/// # Errors
/// `Unsupported` before Linux 6.13; `ESRCH` when the process is dead.
pub fn cgroup_id(pidfd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = PidfdInfo {
        mask: CGROUP_ID,
        ..PidfdInfo::default()
    };
    // SAFETY: the pointer is to a local as long as the request says, which outlives the call; the
    // kernel writes no more than that.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    if answer < 0 {
        return Err(match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => error,
            error => io::Error::new(io::ErrorKind::Unsupported, error),
        });
    }
    if info.mask & CGROUP_ID == 0 {
        // It is on its way out of this world.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(info.cgroup_id)
}

/// Waits until there is something to read, or the other end is gone; of a pidfd, until its process
/// has died. False: the time passed first.
pub fn wait_readable(fd: BorrowedFd<'_>, time: Duration) -> bool {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) => return false,
            answer => return answer.is_ok(),
        }
    }
}

/// Lets `command`'s process inherit `fds`, under the numbers returned, and no other process.
///
/// The descriptors stay close-on-exec in this process; the flag goes in the child, between fork
/// and exec, so that a fork in another thread cannot leak them.
pub fn inherit(command: &mut Command, fds: Vec<OwnedFd>) -> Vec<RawFd> {
    let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let clear = move || {
        for fd in &fds {
            // SAFETY: fcntl on an open descriptor with an integer argument touches no memory.
            if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs in the forked child and calls fcntl(2) alone, which is
    // async-signal-safe; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(clear) };
    numbers
}

/// Takes ownership of a descriptor this process was started with (see [`inherit`]), and makes it
/// close-on-exec again. Each number can be taken once; 0 to 2 never.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    let mut taken = TAKEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if fd <= 2 || taken.contains(&fd) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: fcntl with an integer argument touches no memory, and fails on a closed descriptor.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    taken.push(fd);
    // SAFETY: it is open, as fcntl has just shown, and is handed out once. The caller is a process
    // that was told this number on its command line, by the parent which opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor above 2 but those of `keep`, of which we know nothing: what a shell or
/// a service manager left open must not live as long as the watchdog does.
///
/// For the first lines of a process only, before anything else in it has opened a file.
pub fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut numbers: Vec<libc::c_uint> = keep
        .iter()
        .filter_map(|fd| libc::c_uint::try_from(fd.as_raw_fd()).ok())
        .collect();
    numbers.sort_unstable();
    let mut first = 3;
    for last in numbers
        .into_iter()
        .map(|n| n - 1)
        .chain([libc::c_uint::MAX])
    {
        if last >= first {
            // SAFETY: close_range touches no memory. No owner in this process loses a descriptor:
            // by the contract above, the only ones that are owned are in `keep`.
            let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if answer < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = last.saturating_add(2);
    }
    Ok(())
}

/// Ignores every signal that asks a process to end or stop and that can be ignored.
///
/// Those which report a fault of our own (SIGSEGV, SIGABRT ...) keep their meaning, and SIGCHLD
/// its default.
pub fn ignore_signals() {
    use Signal::{
        SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP,
    };
    let kept = [
        SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP,
    ];
    for s in Signal::iterator().filter(|s| !kept.contains(s)) {
        // SAFETY: SIG_IGN installs no handler of ours, so no code runs in signal context. It
        // cannot fail for a valid signal that can be caught.
        let _ignored = unsafe { signal(s, SigHandler::SigIgn) };
    }
}

/// Lets `command`'s process die with the thread that starts it (`PR_SET_PDEATHSIG`, prctl(2)), and be sent
/// every signal, whatever that thread blocks.
pub fn dies_with_its_starter(command: &mut Command) {
    let starter = std::process::id();
    let settle = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // It died before we asked to be told.
        if getppid().as_raw().cast_unsigned() != starter {
            return Err(Errno::ESRCH.into());
        }
        SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: the closure runs in the forked child and makes three system calls, which are
    // async-signal-safe; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(settle) };
}

/// Blocks every signal in this thread, and tells of children that have ended (`signalfd(2)`).
pub fn children() -> io::Result<SignalFd> {
    // SAFETY: no handler of ours is installed. Whoever started us may ignore it: our children would be
    // reaped by the kernel then, and nobody would learn how they ended.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    SigSet::all().thread_block()?;
    let ended = SigSet::from(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&ended, flags)?)
}

/// Sets the nice value of process `pid`, -20 to 19 (`setpriority(2)`).
pub fn renice(pid: u32, nice: i8) -> io::Result<()> {
    // SAFETY: setpriority takes three integers and touches no memory.
    let answer = unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, nice.into()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes this thread one of those that share time (`SCHED_OTHER`, `sched_setscheduler(2)`): a
/// real-time policy of whoever started us would be ours too.
pub fn share_time() -> io::Result<()> {
    // The kernel's `sched_param` is this one number (include/uapi/linux/sched/types.h). musl's has more, and
    // its function of this name does nothing.
    let priority: libc::c_int = 0;
    let (call, policy) = (libc::SYS_sched_setscheduler, libc::SCHED_OTHER);
    // SAFETY: the pointer is to a local of the type that the call reads, which outlives it.
    let answer = unsafe { libc::syscall(call, 0, policy, &raw const priority) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives memory that was freed back to the kernel: glibc keeps it for the next allocation
/// (`malloc_trim(3)`), and an idle daemon has none to make.
pub fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: walks the allocator's own arenas under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::{
        io::Read,
        os::fd::{AsFd, AsRawFd},
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_pidfd_kills_the_process_it_was_opened_for() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = pidfd_open(child.id()).unwrap();
        pidfd_send_signal(pidfd.as_fd(), Signal::SIGKILL).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
        assert!(
            pidfd_send_signal(pidfd.as_fd(), Signal::SIGKILL).is_err(),
            "the process is gone"
        );
    }

    #[test]
    fn only_the_command_it_was_given_to_inherits_a_descriptor() {
        let (mut ours, theirs) = std::io::pipe().unwrap();
        // dash knows descriptors of one digit only.
        let mut command = Command::new("bash");
        let numbers = inherit(&mut command, vec![theirs.into()]);
        let status = command
            .arg("-c")
            .arg(format!("echo heard >&{}", numbers[0]))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let other = Command::new("bash")
            .arg("-c")
            .arg(format!("echo leaked >&{}", numbers[0]))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!other.success(), "the other command had it too");
        drop(command);
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        assert_eq!(said, "heard\n");
    }

    #[test]
    fn a_descriptor_is_taken_over_once_and_never_a_standard_one() {
        let (r, _w) = std::io::pipe().unwrap();
        let number = OwnedFd::from(r.try_clone().unwrap());
        let raw = number.as_raw_fd();
        assert!(inherited(1).is_err());
        assert!(inherited(1 << 20).is_err(), "not open");
        let taken = inherited(raw).unwrap();
        assert!(inherited(raw).is_err(), "taken already");
        // One of the two owners must not close it: hand the number back to the kernel once.
        let _same = std::os::fd::IntoRawFd::into_raw_fd(number);
        drop(taken);
    }
}
