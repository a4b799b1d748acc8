//! One chaosd at a time changes what hangs at an interface.
//!
//! Whether clsact is still needed is seen by looking, and another chaosd may be about to hang its
//! filters there. An abstract socket name (unix(7)) lives in the network namespace and goes with
//! its holder, however that dies.

use std::{
    io,
    os::{
        fd::BorrowedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    thread,
    time::{Duration, Instant},
};

use crate::netlink::{NetlinkError, in_netns};

/// A change takes milliseconds; a holder that is stopped must not stop a revert.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Held while an interface's filters are changed.
#[derive(Debug)]
pub(super) struct Turn {
    /// None: somebody held it for too long, and we went on without.
    _name: Option<UnixDatagram>,
}

impl Turn {
    pub(super) fn take(netns: BorrowedFd<'_>, index: u32) -> Result<Self, NetlinkError> {
        let since = Instant::now();
        loop {
            let bound = in_netns(netns, || {
                let name = format!("chaosd-clsact-{index}");
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
            })
            .map_err(NetlinkError::Enter)?;
            match bound {
                Ok(name) => return Ok(Self { _name: Some(name) }),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    return Err(NetlinkError::Open(error));
                }
                Err(_) if since.elapsed() > PATIENCE => return Ok(Self { _name: None }),
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }
}
