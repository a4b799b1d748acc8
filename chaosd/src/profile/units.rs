//! Units as people write them, in types that cannot hold a bad value. Each parses from one word,
//! and says what to type instead of a bad one.

mod clock;
mod cores;
mod domain;
mod duration;
mod errno;
mod peer;
mod percent;
mod ports;
mod quantity;
mod query_type;
mod rate;
mod size;
mod tcp_flags;

pub use clock::{Drift, Offset};
pub use cores::Cores;
pub use domain::{DomainName, DomainSet};
pub use duration::parse_duration;
pub(crate) use duration::{serialize_duration, serialize_optional_duration};
pub use errno::ErrorName;
pub use percent::Percent;
pub use ports::PortSet;
pub(super) use ports::parse_range;
pub use query_type::QueryType;
pub use rate::Rate;
pub use size::Size;
pub use tcp_flags::TcpFlags;
pub(super) use tcp_flags::parse_flag;
