//! An experiment: a hypothesis about what stays true, faults in stages, probes that look, conditions
//! that end it early, and a record of all that was seen.
//!
//! Invariant: a record holds facts, with the times at which they were seen; what follows from them
//! is in its `analysis`, which is made of the record alone.

mod condition;
mod figures;
mod grid;
mod load_command;
mod looked;
mod probe;
mod ready;
pub mod record;
mod runner;
mod stage;
mod telling;
mod twin;
mod writing;

pub use load_command::LoadCommand;
pub use ready::{Unready, ready};
pub use runner::{Arms, Runner};
pub use telling::{News, Now, ProbeNow, Shows};
pub use twin::hit;
pub use writing::{Heading, plain};
