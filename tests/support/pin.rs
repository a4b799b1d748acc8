//! Keeping a flow on one processor, so that the kernel keeps its packets in order.
//!
//! veth hands a packet to the backlog of the processor that sends it (`netif_rx`,
//! `drivers/net/veth.c`). A sender that moves, or whose acknowledgements arrive elsewhere, feeds
//! two backlogs at once, and packets overtake each other with no fault about.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Runs `work` on a thread that stays on one processor, as do the threads that it starts. The
/// flows of parallel tests are spread over the processors that this process may use.
pub fn on_one_cpu<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let cpu = next()?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            sched_setaffinity(Pid::from_raw(0), &cpu).context("failed to set the affinity")?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn next() -> Result<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("failed to read the affinity")?;
    let cpus: Vec<_> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
        .collect();
    let turn = NEXT.fetch_add(1, Ordering::Relaxed);
    let cpu = cpus
        .get(turn % cpus.len().max(1))
        .context("no processor is allowed")?;
    let mut one = CpuSet::new();
    one.set(*cpu).context("failed to name a processor")?;
    Ok(one)
}
