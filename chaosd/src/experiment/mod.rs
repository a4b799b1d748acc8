//! An experiment: a hypothesis about what stays true, faults in stages, probes that look, conditions
//! that end it early, and a record of all that was seen.
//!
//! Invariant: a record holds facts, with the times at which they were seen; what follows from them
//! is in its `analysis`, which is made of the record alone.

pub mod analysis;
mod condition;
mod grid;
pub mod load;
mod load_command;
mod looked;
mod plain;
mod probe;
mod ready;
pub mod record;
pub mod report;
mod runner;
mod stage;
pub(crate) mod stats;
pub mod store;
mod telling;
pub mod toolkit;
mod twin;
pub mod words;
mod writing;

use std::time::Duration;

/// All is well again when it has been so for this long.
const SETTLED: Duration = Duration::from_secs(1);

pub use load_command::LoadCommand;
pub use plain::Ran;
pub use ready::{Unready, ready};
pub use runner::{Arms, Runner};
pub use telling::{News, Now, ProbeNow, Shows};
pub use twin::hit;
pub use writing::Heading;
