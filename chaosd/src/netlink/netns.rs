//! Runs code inside a network namespace, on a thread of its own.
//!
//! A thread that has entered a namespace never serves anything else: it ends with the call, so no
//! other code can find itself in the wrong namespace.

use std::{
    io,
    os::fd::BorrowedFd,
    panic::resume_unwind,
    thread::{Builder, scope},
};

use nix::sched::{CloneFlags, setns};

/// Runs `work` on a fresh thread inside the network namespace `netns` and returns its result.
///
/// # Errors
/// No thread, or the namespace cannot be entered (needs `CAP_SYS_ADMIN`).
pub fn in_netns<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    scope(|threads| {
        Builder::new()
            .name("netns".into())
            .spawn_scoped(threads, || {
                setns(netns, CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })?
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Runs `work` with an rtnetlink connection to the network namespace `netns`, on a fresh thread
/// with a runtime of its own. Must not be used by code that reverts.
///
/// # Errors
/// As [`in_netns`], and when the runtime or the socket cannot be made.
pub fn block_on_in<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl AsyncFnOnce(rtnetlink::Handle) -> T + Send,
) -> io::Result<T> {
    in_netns(netns, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        runtime.block_on(async {
            let (connection, handle, _unsolicited) = rtnetlink::new_connection()?;
            let connection = tokio::spawn(connection);
            let result = work(handle).await;
            connection.abort();
            Ok(result)
        })
    })?
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests {
    use std::{
        fs::File,
        io::Write as _,
        os::{
            fd::{AsFd, OwnedFd},
            unix::fs::MetadataExt,
        },
    };

    use nix::sched::unshare;

    use super::*;

    /// A network namespace that lives as long as its descriptor.
    pub(crate) fn scratch_netns() -> OwnedFd {
        std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap().into()
        })
        .join()
        .unwrap()
    }

    /// Says that the current test cannot run on this kernel, in the same words and into the same
    /// file (`CHAOSD_SKIPS`) as the tests outside the crate do.
    pub(crate) fn skipped(reason: &str) {
        let thread = std::thread::current();
        let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
        print!("SKIPPED: {line}");
        if let Some(path) = std::env::var_os("CHAOSD_SKIPS") {
            let mut file = File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap();
            // One short append is atomic.
            file.write_all(line.as_bytes()).unwrap();
        }
    }

    fn inode_here() -> u64 {
        File::open("/proc/thread-self/ns/net")
            .unwrap()
            .metadata()
            .unwrap()
            .ino()
    }

    #[test]
    fn work_runs_inside_the_namespace_and_the_caller_stays_outside() {
        let netns = scratch_netns();
        let before = inode_here();
        let inside = in_netns(netns.as_fd(), inode_here).unwrap();
        assert_ne!(inside, before);
        assert_eq!(inode_here(), before);
    }

    #[test]
    fn a_descriptor_that_is_no_namespace_is_refused() {
        let file = File::open("/proc/self/status").unwrap();
        let error = in_netns(file.as_fd(), || ()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_panic_inside_reaches_the_caller() {
        let netns = scratch_netns();
        let panic = std::panic::catch_unwind(|| in_netns(netns.as_fd(), || panic!("as planned")));
        assert!(panic.is_err());
    }
}
