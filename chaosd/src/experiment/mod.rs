//! An experiment: a hypothesis about what stays true, faults in stages, probes that look, conditions
//! that end it early, and a record of all that was seen.
//!
//! Invariant: a record holds facts, with the times at which they were seen; what follows from them
//! is in its `analysis`, which is made of the record alone.

pub mod analysis;
pub mod load;
mod plain;
pub mod record;
pub mod report;
pub(crate) mod stats;
pub mod store;
pub mod toolkit;
pub mod words;

pub use plain::Ran;
