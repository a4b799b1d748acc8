//! Devices that chaosd made: found by their alias, deleted by name and alias.

use std::os::fd::BorrowedFd;

use futures_util::TryStreamExt;
use rtnetlink::{
    LinkUnspec,
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkFlags, LinkMessage},
    },
};

use super::{
    ALIAS, NetlinkError, block_on_in,
    interfaces::name,
    socket::{Request, RouteSocket, alias},
};

/// The devices of `netns` that bear chaosd's alias, as (name, alias).
pub fn leftovers(netns: BorrowedFd<'_>) -> Result<Vec<(String, String)>, NetlinkError> {
    let named = |link: &LinkMessage| (name(link).to_owned(), alias(link).to_owned());
    Ok(ours(netns)?.iter().map(named).collect())
}

/// The names of those that are up.
pub fn ours_up(netns: BorrowedFd<'_>) -> Result<Vec<String>, NetlinkError> {
    let ours = ours(netns)?;
    let up = ours
        .iter()
        .filter(|link| link.header.flags.contains(LinkFlags::Up));
    Ok(up.map(|link| name(link).to_owned()).collect())
}

fn ours(netns: BorrowedFd<'_>) -> Result<Vec<LinkMessage>, NetlinkError> {
    let mut links = block_on_in(netns, async |handle| {
        handle.link().get().execute().try_collect::<Vec<_>>().await
    })
    .map_err(NetlinkError::Enter)?
    .map_err(|source| NetlinkError::List {
        what: "the network interfaces",
        source,
    })?;
    links.retain(|link| alias(link).starts_with(ALIAS));
    Ok(links)
}

/// Deletes the device `name` of `netns` if its alias is `alias`, and its peer with it.
///
/// Returns false, and changes nothing, when there is no such device or it is somebody else's.
/// Needs no runtime: this is what a revert calls.
pub fn delete_link(netns: BorrowedFd<'_>, name: &str, alias: &str) -> Result<bool, NetlinkError> {
    let mut socket = RouteSocket::open(netns)?;
    let Some(link) = socket.link(name)? else {
        return Ok(false);
    };
    if super::socket::alias(&link) != alias {
        return Ok(false);
    }
    // By index: the name may be given to another device meanwhile, an index is not reused soon.
    let deletion = Request {
        verb: "delete the device",
        device: name.to_owned(),
        message: RouteNetlinkMessage::DelLink(
            LinkUnspec::new_with_index(link.header.index).build(),
        ),
    };
    match socket.send_all(&[deletion]) {
        Ok(_) => Ok(true),
        Err(NetlinkError::Change { source, .. }) if source.raw_os_error() == Some(libc::ENODEV) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
