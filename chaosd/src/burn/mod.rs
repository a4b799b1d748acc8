//! Child processes that burn: CPU time, memory or a disk's time, as much of it as is asked, and nothing else.
//!
//! A burner is the same binary, started once for each piece of `Work`, and moved into the cgroup
//! whose share it is to take. It does nothing until its parent says how much is wanted, and rests
//! when the parent has not said so for `LEASE`. It dies with its parent, whatever the parent
//! dies of, and is the first that the OOM killer takes.
//!
//! Parent and burner share one page (`page`): the order in it is one word, and what the burner
//! did stands beside it, so that neither ever waits for the other, be it stopped, frozen or out of
//! its quota. A socket between them says only that there is something to read, or that the other
//! end has died.

mod burner;
mod clock;
mod cpu;
mod demand;
mod error;
mod guard;
mod io;
mod memory;
mod page;
mod process;
mod progress;
mod spread;
mod weight;
mod work;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{
    burner::Burner,
    error::BurnError,
    guard::Guard,
    process::main,
    progress::Progress,
    spread::Spread,
    work::{SPAN, Work},
};

/// The hidden verb that [`main`] answers to: the binary's first argument.
pub const VERB: &str = "burn";
/// A burner of which nobody has vouched for so long rests, and has given back what it held.
pub const LEASE: Duration = Duration::from_secs(2);
/// A burner's name among the processes (`comm`).
pub const COMM: &str = "chaosd-burn";
