//! A child process of the same binary that does one piece of work for us, and outlives nobody: what
//! burners (`burn`) and the listener (`latency`) have in common.
//!
//! Parent and child share a page of memory, of which each kind makes what it needs, and a socket. The
//! socket says only that there is something to read in the page, or that the other end has died, so that
//! neither ever waits for the other.

mod handle;
mod line;
mod starter;

pub use handle::{Handle, Heard};
pub use line::Line;
pub use starter::on_a_thread_that_lasts;

/// From the child: it waits for orders.
const READY: u8 = b'R';
/// From the child: it failed to do what the words say, and ends.
const UNABLE: u8 = b'E';
/// From the parent: there is another order.
const WAKE: u8 = b'W';
