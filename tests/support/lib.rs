//! Guards and traffic for the integration tests.
//!
//! Every guard undoes what it made when it is dropped, on a panic too, and what a killed test
//! left is swept by the next. Traffic runs in this process over real sockets, so that each side
//! counts what it really saw.
//!
//! In reading order: [`Lab`] (namespaces joined by veth), [`udp`], [`tcp`], [`ping`], [`Probe`],
//! [`Stream`] and [`Timed`] (traffic through it), [`dns`] (a server and its clients), [`queue`] (what the kernel has), [`counters`] and [`statistics`] (what it came to),
//! [`Instance`], [`Daemon`] and [`Run`] (chaosd itself), [`Mount`] and [`Opener`] (files, and who waits for them), [`Snapshot`] (the machine before and after), [`Prometheus`] (who reads the metrics), [`runtime`] (containers and pods).

mod lab;
mod namespace;
mod node;
pub use lab::Lab;
pub use namespace::enter;
pub use node::{Family, Node};

pub mod ping;
mod probe;
pub mod shop;
mod stream;
pub mod tcp;
mod timed;
pub mod udp;
pub use probe::{Probe, Sample};
pub use stream::Stream;
pub use timed::{Arrival, Timed};

pub mod counters;
pub mod dns;
pub mod queue;
pub mod statistics;

mod armed;
mod instance;
mod serve;
pub use armed::{Count, Run, SEED, Told};
pub use instance::{Instance, Output};
pub use serve::{Daemon, Options};

mod cgroup;
mod mount;
mod opener;
mod snapshot;
pub use cgroup::{Cgroup, Member};
pub use mount::Mount;
pub use opener::Opener;
pub use snapshot::Snapshot;

mod pin;
mod prometheus;
mod run;
pub mod runtime;
mod skip;
mod sweep;
mod sys;
mod wait;
pub use prometheus::Prometheus;
pub use run::{run, run_with_input};
pub use skip::{is_emulated, is_laboratory, record as record_skip, sample};
pub use sweep::Kept;
pub use sys::hangs_filters;
pub use sys::last_arrival;
pub use wait::wait_until;

/// Ends a test that this kernel cannot run, saying why: `cargo xtask test` counts and lists it.
///
/// For tests that return nothing; one that returns a result says `skip!(Ok(()), "why")`.
#[macro_export]
macro_rules! skip {
    (Ok(()), $($reason:tt)+) => {{
        $crate::record_skip(&format!($($reason)+));
        return Ok(());
    }};
    ($($reason:tt)+) => {{
        $crate::record_skip(&format!($($reason)+));
        return;
    }};
}
