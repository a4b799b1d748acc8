//! What a listener does, as it is told at its birth.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::process::Identity;

/// What a listener does; at least one of `open` and `read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// A file, or a directory with all below it; without symbolic links.
    pub path: PathBuf,
    /// How long an open waits, up to [`super::LONGEST`].
    pub open: Option<Duration>,
    /// How long each read waits, up to [`super::LONGEST`].
    pub read: Option<Duration>,
    /// Who waits.
    pub whom: Whom,
}

/// Who waits. Whom no fault may hit never does ([`crate::process::Spared`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// The processes of a cgroup of the unified hierarchy and of those below it, by its path from
    /// the root: `/system.slice`.
    Cgroup(String),
    /// One process, with all its threads.
    Process(Identity),
    /// All.
    Everybody,
}
