//! The only code that knows aya.
//!
//! A `Plane` is one network namespace: the programs, their maps, their links. It is opened when a
//! fault first needs the namespace, kept for a while after the last one, and arms and disarms by
//! writing memory. Links are never pinned: they die with the process. On a kernel without tcx the
//! engine hangs filters in their place (`Mechanism`), and filters hang at devices of our own.

mod descriptors;
mod fence;
pub mod files;
mod matcher;
mod mechanism;
mod object;
mod peers;
mod plane;
pub mod probe;
mod tables;
#[cfg(test)]
mod tests;

pub use descriptors::allow_many;
pub use fence::fence;
pub use matcher::{Matcher, PeerSet, Steering};
pub use mechanism::Mechanism;
pub use plane::{DnsRule, Hit, Name, NameSet, Plane, PlaneError, Spare};

/// The lease: how long programs go on without hearing from the daemon.
pub const LEASE_NS: u64 = 2_000_000_000;
