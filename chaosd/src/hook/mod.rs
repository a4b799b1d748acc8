//! What a container runtime's hook is told, and what a container's annotations ask for.
//!
//! A runtime starts `chaosd hook` when it has made a container whose first process does not run yet, and
//! once more when the container is gone (OCI runtime specification, "POSIX-platform Hooks"). What is read
//! here comes from whoever made the container: it is checked, all mistakes are told at once, and nothing is
//! asked of the runtime, which waits for us.
//!
//! In reading order: `state` (what the runtime says), `annotations` (what the container asks for),
//! `request` (what the daemon is asked then), `registration` (the file by which runtimes find the hook), `root`
//! (in whose root directory that is).

mod annotations;
mod registration;
mod request;
pub mod root;
mod state;

pub use annotations::{Mistake, PROFILE, Part, REQUIRED, Wish, Wishes, wishes};
pub use registration::{Registration, RegistrationError, Settled};
pub use request::{RequestError, request};
pub use state::{Moment, State, StateError};
