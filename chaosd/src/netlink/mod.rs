//! The only code that speaks netlink: interfaces, the detour device, device features,
//! sysctls, connections.
//!
//! Every function takes the network namespace it works in and may be called from any thread: the
//! work is done on a thread of its own that enters the namespace, or through a socket opened
//! there. Changes and their undoing use a plain blocking socket, so that a revert needs no
//! asynchronous runtime; only the dumps use one.

mod addresses;
mod claim;
mod connections;
pub mod detour;
pub mod filters;
mod interfaces;
mod leftovers;
mod monitor;
mod netns;
mod offloads;
pub mod qdisc;
mod socket;
mod sysctl;
pub mod trial;

pub use addresses::addresses;
pub use claim::{PLANES, claim_plane, claimed_planes};
pub use connections::{Connection, established};
pub use interfaces::interfaces;
pub use leftovers::{delete_link, leftovers, ours_up};
pub use monitor::{Monitor, monitor};
#[cfg(test)]
pub(crate) use netns::tests;
pub use netns::{block_on_in, in_netns};
pub use sysctl::{read_sysctl, write_sysctl};

use std::io;

/// Begins the alias of every device that chaosd makes.
pub const ALIAS: &str = "chaosd detour";

/// Why the network could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The thread that should work there could not enter.
    #[error("failed to enter the network namespace")]
    Enter(#[source] io::Error),
    /// No netlink socket.
    #[error("failed to open a netlink socket")]
    Open(#[source] io::Error),
    /// A dump broke off.
    #[error("failed to list {what}")]
    List {
        /// What was listed.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// A request was refused.
    #[error("failed to {verb} {device}")]
    Change {
        /// What was to be done.
        verb: &'static str,
        /// To which device.
        device: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The device is not as it was asked to be.
    #[error("{device} still has {wrong} after it was set up")]
    Unverified {
        /// Which device.
        device: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// Somebody else holds the place of our filters.
    #[error("no program can be hung at {device}: {what}")]
    Taken {
        /// Which interface.
        device: String,
        /// By what it is taken.
        what: String,
    },
    /// The kernel lacks a queueing discipline.
    #[error("the kernel has no {kind}: it needs {option}")]
    NoQueue {
        /// Which one.
        kind: &'static str,
        /// What brings it.
        option: &'static str,
    },
    /// `chaosd{instance}-{plane}a` is longer than an interface name may be.
    #[error("the device name {0} is longer than the 15 characters the kernel allows")]
    NameTooLong(String),
}
