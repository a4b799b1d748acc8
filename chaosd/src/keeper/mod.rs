//! A process that holds on to a command and to all that the command starts, and ends them when it is told
//! to, or when nobody is there any more to tell it.
//!
//! It is the command's parent, and the *subreaper* (`PR_SET_CHILD_SUBREAPER`, prctl(2)) of all below: who
//! loses its parent there becomes its child, whatever sessions and process groups there are, so that nobody
//! leaves. It stays in the process group of whoever started it, so that the command has the terminal, its
//! job control and its Ctrl-C, and it takes no part in those itself. A socket joins it to its starter: when
//! that closes, whichever way the starter died, it ends them all.
//!
//! Not in its reach: who is started for the command by others (a container of Docker's, a unit of
//! systemd's), and, should both the starter and the keeper be killed at once, all but the command itself.

mod handle;
mod process;
mod tree;
mod words;

pub(crate) use handle::Handle;
pub use process::main;

/// The hidden verb that [`main`] answers to: the binary's first argument.
pub const VERB: &str = "keep";
/// A keeper's name among the processes (`comm`).
const COMM: &str = "chaosd-keeper";
