//! The addresses of a network namespace itself.

use std::{net::IpAddr, os::fd::BorrowedFd};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

use super::{NetlinkError, block_on_in};

/// Every address that `netns` has on an interface: packets that it sends to one go over `lo`.
pub fn addresses(netns: BorrowedFd<'_>) -> Result<Vec<IpAddr>, NetlinkError> {
    let addresses = block_on_in(netns, async |handle| {
        let addresses = handle.address().get().execute();
        addresses.try_collect::<Vec<_>>().await
    })
    .map_err(NetlinkError::Enter)?;
    let addresses = addresses.map_err(|source| NetlinkError::List {
        what: "the addresses of the network interfaces",
        source,
    })?;
    Ok(addresses.iter().filter_map(own).collect())
}

/// `IFA_LOCAL` is the interface's own address; `IFA_ADDRESS` is the peer's on a point-to-point link,
/// and IPv6 sends it alone (rtnetlink(7)).
pub(super) fn own(message: &AddressMessage) -> Option<IpAddr> {
    let attributes = || message.attributes.iter();
    let local = attributes().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        attributes().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::netlink::tests::scratch_netns;

    #[test]
    fn a_namespace_without_addresses_has_none() {
        // Its lo is down, and so without its address.
        assert!(addresses(scratch_netns().as_fd()).unwrap().is_empty());
    }
}
