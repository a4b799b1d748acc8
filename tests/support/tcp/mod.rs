//! TCP traffic: [`bulk()`] for what a fault does to a stream, [`Echo`] for a connection that has to
//! live through everything.

mod bulk;
mod echo;
mod socket;

pub use bulk::{Bulk, Transferred, bulk};
pub use echo::{Echo, EchoReport};
pub use socket::{connect, listen};
