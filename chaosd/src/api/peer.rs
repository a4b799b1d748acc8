//! Who is at the other end of a connection: the kernel says (`SO_PEERCRED`, unix(7)).

use std::{fmt, io};

use tokio::net::UnixStream;

/// The credentials a peer had when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    uid: u32,
    gid: u32,
    pid: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
        })
    }

    /// Root, or whoever runs chaosd. Others come in through the socket's group, which the kernel
    /// checks when they connect; `by_group` says that the socket has one.
    pub(super) fn may_command(self, by_group: bool) -> bool {
        by_group || self.uid == 0 || self.uid == nix::unistd::geteuid().as_raw()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid {} gid {}", self.uid, self.gid)?;
        match self.pid {
            Some(pid) => write!(f, " pid {pid}"),
            None => Ok(()),
        }
    }
}
