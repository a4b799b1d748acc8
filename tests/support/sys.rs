//! The unsafe corner of the tests: the system calls that no crate here wraps.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use nix::unistd::Pid;

/// `struct tcp_info` of a socket (linux/tcp.h): what the kernel knows of a connection.
pub fn tcp_info(socket: BorrowedFd<'_>) -> std::io::Result<libc::tcp_info> {
    // SAFETY: the struct holds integers only, for which zero is a value. A kernel that knows
    // fewer fields leaves the rest at zero.
    let mut info: libc::tcp_info = unsafe { zeroed() };
    let mut length =
        libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(std::io::Error::other)?;
    // SAFETY: both pointers are to locals that outlive the call, and `length` is the size of
    // what the first points to; the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(info)
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// From `asm-generic/sockios.h`, on 64-bit machines.
const SIOCGSTAMPNS: libc::c_ulong = 0x8907;

/// When the kernel took in what was last read from a socket, by `CLOCK_REALTIME` (socket(7)):
/// no thread has to be awake for it. The first call switches the time stamps on, and fails.
pub fn last_arrival(socket: BorrowedFd<'_>) -> std::io::Result<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local of the type that the call writes, which outlives it.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSTAMPNS, &raw mut time) };
    if result != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).map_err(std::io::Error::other)?;
    let nanoseconds = u32::try_from(time.tv_nsec).map_err(std::io::Error::other)?;
    Ok(Duration::new(seconds, nanoseconds))
}

/// Where a program can hang on an interface (`enum bpf_attach_type`, linux/bpf.h).
#[derive(Clone, Copy, Debug)]
pub enum Tcx {
    Ingress = 46,
    Egress = 47,
}

/// The part of `union bpf_attr` that `BPF_PROG_QUERY` uses (linux/bpf.h, 6.6).
#[repr(C)]
struct Query {
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    count: u32,
    padding: u32,
    prog_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

const BPF_PROG_QUERY: libc::c_long = 16;
const PROGRAMS_MAX: usize = 64;

/// The ids of the programs on an interface of the calling thread's namespace, in their order.
/// A kernel without tcx (before 6.6) answers `EINVAL`.
pub fn tcx_programs(ifindex: u32, place: Tcx) -> std::io::Result<Vec<u32>> {
    let mut ids = [0_u32; PROGRAMS_MAX];
    let mut query = Query {
        ifindex,
        attach_type: place as u32,
        flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        count: 64,
        padding: 0,
        prog_attach_flags: 0,
        link_ids: 0,
        link_attach_flags: 0,
        revision: 0,
    };
    // SAFETY: `query` is a whole attribute of the size given, and `prog_ids` points to room for
    // `count` numbers; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_QUERY,
            &raw mut query,
            size_of::<Query>(),
        )
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(ids.into_iter().take(query.count as usize).collect())
}

const _: () = assert!(size_of::<Query>() == 64);

/// True when chaosd hangs filters at clsact here: this kernel has no tcx, or the tests ask for it by
/// `CHAOSD_ATTACH`.
pub fn hangs_filters() -> bool {
    match std::env::var("CHAOSD_ATTACH").as_deref() {
        Ok("clsact") => true,
        Ok("tcx") => false,
        _ => tcx_programs(1, Tcx::Ingress).is_err_and(|e| e.raw_os_error() == Some(libc::EINVAL)),
    }
}

/// A duplicate of another process's descriptor (`pidfd_getfd(2)`, 5.6).
pub fn take_descriptor(pid: Pid, number: i32) -> std::io::Result<OwnedFd> {
    let owned = |result: libc::c_long| -> std::io::Result<OwnedFd> {
        if result < 0 {
            return Err(std::io::Error::last_os_error());
        }
        let number = RawFd::try_from(result).map_err(std::io::Error::other)?;
        // SAFETY: the call has just made this descriptor, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    // SAFETY: two calls whose arguments are numbers.
    let process = owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: as above; the first descriptor outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

/// Takes `SIGQUIT` by default again, as do the children from now on. A shell starts what it puts into the
/// background with it ignored, and chaosd would not die by it either.
pub fn take_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: no handler is set, and nothing relies on the one before.
        let _before = unsafe { signal(Signal::SIGQUIT, SigHandler::SigDfl) };
    });
}
