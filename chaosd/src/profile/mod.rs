//! What the user asked for: the schema, the units, and validation that reports every problem at
//! once. Pure, but for `find`, which reads the one file that it is asked for.
//!
//! A text or a set of flags becomes a tree in which each word knows its place (`tree`); parameters
//! are filled in (`parameters`); the tree is checked into the types of `model` (`check`).

mod check;
mod disk_error;
mod dns;
mod document;
mod experiment;
mod find;
pub mod flags;
mod holding;
mod model;
mod named;
mod netem;
mod parameters;
mod probe;
mod problem;
mod resource;
mod shipped;
mod summary;
#[cfg(test)]
mod tests;
mod tree;
pub mod units;
mod words;

pub use check::{Overrides, load};
pub use disk_error::{DiskError, Operation};
pub use dns::{Addresses, Answer, Dns, Encrypted, MOST_NAMES, MOST_TYPES};
pub(crate) use experiment::fill_in;
pub use experiment::{AbortOn, AbortSpec, Control, DEFAULT_RECOVERY, Experiment, StageSpec};
pub use find::{FindError, find};
pub use holding::{
    Bandwidth, Delay, Distribution, Duplicate, Jitter, LONGEST_HOLD, MOST_BY_PEER, MOST_COPIES,
    Mean, Queue, Reorder, Share,
};
pub use model::{
    Corrupt, CorruptMode, Direction, Drop, FaultSpec, GilbertElliott, Kind, Loss, Match, Peer,
    Profile, Protocol, Pulse, Reset, ResetEnd, Target, Timeline, Whom,
};
pub use named::{Asked, Choice, Labels, Named, Part, full_name};
pub use netem::{
    Correlated, FourStates, Gemodel, Interval, Netem, NetemDelay, NetemLoss, NetemRate,
    NetemReorder, Slot,
};
pub use parameters::Parameter;
pub use probe::{Address, Bound, OFTENEST, PressureOf, ProbeKind, ProbeSpec, SHELL, Url};
pub use problem::{Mistake, Problem, Problems};
pub use resource::{
    Clock, Cpu, CpuQuota, Disk, DiskBurn, DiskFill, DiskLatency, Fill, Freeze, LoadOf, Memory,
    MemoryOf, Much, Pattern, Pids, PowerAction, Process, Resource, Shutdown, TimeService, Which,
    signal_name,
};
pub use shipped::{Shipped, shipped};
pub use summary::{about, parameters};
