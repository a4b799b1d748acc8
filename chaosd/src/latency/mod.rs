//! A process that lets others wait for files: when they open them, and when they read.
//!
//! The kernel asks it for permission (`fanotify(7)`), and it says yes, to some of them late. It says
//! nothing but yes. Everybody who opens a file where it listens waits for its answer, so nothing may
//! ever hold it up for long, and whatever becomes of it, the kernel lets all go on the moment its
//! last descriptor closes:
//!
//! - It is the same binary in a process of its own, with one thread, which opens no file where it
//!   listens (`process`, `answers`).
//! - It dies with chaosd, whatever chaosd dies of, and leaves by itself when chaosd is late
//!   (`LEASE`).
//! - A timer of the kernel's kills it when it does not wind it up in time (`Deadman`): also when it is
//!   stopped, and whoever else is stopped with it.

mod answers;
mod below;
mod deadman;
mod error;
mod listener;
mod marks;
mod members;
mod overlays;
mod page;
mod process;
mod queue;
mod whom;
mod work;

use std::time::Duration;

pub use self::{
    deadman::PATIENCE,
    error::LatencyError,
    listener::Listener,
    marks::probe,
    overlays::notes as overlays,
    page::Counts,
    process::main,
    work::{Whom, Work},
};

/// The hidden verb that [`main`] answers to: the binary's first argument.
pub const VERB: &str = "let-wait";
/// A listener of which nobody has vouched for so long lets all go, and leaves.
pub const LEASE: Duration = Duration::from_secs(2);
/// The longest that anybody waits, if it is asked for.
pub const LONGEST: Duration = Duration::from_mins(1);
/// A listener's name among the processes (`comm`).
pub const COMM: &str = "chaosd-let-wait";
