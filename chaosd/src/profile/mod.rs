//! What the user asked for: the schema, the units, and validation that reports every problem at
//! once. Pure: nothing here touches the system.

mod model;
pub mod units;

pub use model::{
    Corrupt, CorruptMode, Direction, Drop, FaultSpec, GilbertElliott, Kind, Loss, Match, Peer,
    Profile, Protocol, Pulse, Reset, ResetEnd, Target, Timeline,
};
