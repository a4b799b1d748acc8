//! Entering a network namespace, on a thread of its own.
//!
//! A socket belongs for good to the namespace of the thread that made it, and a child process to
//! that of the thread that started it: only these two need to happen inside.

use std::fs::File;
use std::panic::resume_unwind;

use anyhow::{Context as _, Result};
use nix::sched::{CloneFlags, setns};

/// Where `ip netns` keeps its handles.
pub const NETNS_DIR: &str = "/run/netns";

/// Runs `inside` on a thread in the namespace that `ip netns` calls `name`. A panic of `inside`
/// goes on in the caller.
pub fn enter<T: Send>(name: &str, inside: impl FnOnce() -> T + Send) -> Result<T> {
    let path = format!("{NETNS_DIR}/{name}");
    let handle = File::open(&path).with_context(|| format!("failed to open {path}"))?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(handle, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("failed to enter {path}"))?;
            Ok(inside())
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
