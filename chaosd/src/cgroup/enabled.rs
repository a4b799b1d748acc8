//! Controllers that this process has enabled. Whoever needs one of them too undoes that as well: the first
//! to end finds it in use and leaves it, the last disables it.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Of which cgroup (its id), and which controller.
static OURS: Mutex<BTreeSet<(u64, String)>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<(u64, String)>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `+cpu` or `-cpu` has been written to the `cgroup.subtree_control` of a cgroup.
pub(super) fn wrote(id: u64, text: &str) {
    if let Some(controller) = text.strip_prefix('+') {
        ours().insert((id, controller.to_owned()));
    } else if let Some(controller) = text.strip_prefix('-') {
        ours().remove(&(id, controller.to_owned()));
    }
}

/// True when it was this process that enabled it there.
pub(super) fn by_us(id: u64, controller: &str) -> bool {
    ours().contains(&(id, controller.to_owned()))
}
