//! The numbers of planes, each of which one chaosd holds in a network namespace.
//!
//! Packets carry the number from program to program, and devices and filters bear it. What claims
//! it is an abstract socket name (unix(7)), which lives in the namespace and goes with its holder,
//! however that dies: who asks what is in use asks for that.

use std::{
    collections::BTreeSet,
    fs, io,
    os::{
        fd::BorrowedFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use super::in_netns;

/// Planes one engine can have: 64 instances share 4096 numbers.
pub const PLANES: u32 = 64;

const NAME: &str = "chaosd-plane-";

/// Claims a plane's number; `AddrInUse` when another has it, another chaosd with another state
/// directory included.
pub fn claim_plane(netns: BorrowedFd<'_>, number: u32) -> io::Result<UnixDatagram> {
    in_netns(netns, || {
        UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!("{NAME}{number}"))?)
    })?
}

/// The numbers that somebody holds.
pub fn claimed_planes(netns: BorrowedFd<'_>) -> io::Result<BTreeSet<u32>> {
    // The last field is the name, with `@` for the leading zero (`net/unix/af_unix.c`).
    let table = in_netns(netns, || fs::read_to_string("/proc/thread-self/net/unix"))??;
    Ok(table
        .lines()
        .filter_map(|line| line.rsplit_once('@')?.1.strip_prefix(NAME)?.parse().ok())
        .collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::netlink::tests::scratch_netns;

    #[test]
    fn a_number_is_held_once_and_seen_until_it_is_let_go() {
        let netns = scratch_netns();
        let claim = claim_plane(netns.as_fd(), 70).unwrap();
        let again = claim_plane(netns.as_fd(), 70).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(claimed_planes(netns.as_fd()).unwrap(), [70].into());
        drop(claim);
        assert_eq!(claimed_planes(netns.as_fd()).unwrap(), [].into());
    }
}
