//! Who may clear up the whole machine, and when.
//!
//! `chaosd revert --all` takes away what any dead chaosd has left, in every named namespace: so one
//! test's command takes away what another has just left on purpose. A test that is about such
//! leftovers keeps the others' commands waiting while it looks.

use std::cell::Cell;
use std::ffi::OsStr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static SWEEPS: RwLock<()> = RwLock::new(());

thread_local! {
    static KEPT_BY_US: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, only the thread that made it clears up.
#[derive(Debug)]
pub struct Kept {
    _guard: RwLockWriteGuard<'static, ()>,
}

impl Kept {
    /// Waits until nobody clears up, and keeps it so. Once a thread: a second one would wait for
    /// the first.
    pub fn leftovers() -> Self {
        let kept = Self {
            _guard: SWEEPS.write().unwrap_or_else(PoisonError::into_inner),
        };
        KEPT_BY_US.set(true);
        kept
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT_BY_US.set(false);
    }
}

/// Waits until a command with these arguments takes nothing that another test is looking at.
pub(crate) fn turn<S: AsRef<OsStr>>(args: &[S]) -> Option<RwLockReadGuard<'static, ()>> {
    let sweeps = args.iter().any(|arg| arg.as_ref() == "revert")
        && args.iter().any(|arg| arg.as_ref() == "--all");
    (sweeps && !KEPT_BY_US.get()).then(|| SWEEPS.read().unwrap_or_else(PoisonError::into_inner))
}
