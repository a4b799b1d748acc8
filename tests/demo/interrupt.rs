//! Ctrl-C ends the table after the row under way, so that everything is taken down again.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a shell calls a process that SIGINT ended: 128 and the number of the signal.
pub const EXIT: u8 = 130;

static CAME: AtomicBool = AtomicBool::new(false);

/// Waits for SIGINT and SIGTERM on a thread of its own.
pub fn catch() {
    std::thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut int), Ok(mut term)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) else {
                return;
            };
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            CAME.store(true, Ordering::Release);
            // A second one ends the process: the row under way may hang.
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
            std::process::abort();
        });
    });
}

/// Whether one came.
pub fn came() -> bool {
    CAME.load(Ordering::Acquire)
}
