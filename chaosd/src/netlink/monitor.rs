//! Watches a network namespace for interfaces and addresses that come and go.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use rtnetlink::{
    constants::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK},
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

use super::{NetlinkError, in_netns};

/// A thread that sleeps until the interfaces of a network namespace change. It ends when this is
/// dropped.
#[derive(Debug)]
pub struct Monitor {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// Calls `on_change` with `Ok` whenever a link or an address of `netns` changed; changes which
/// arrive together are one call. Called once with `Err`, and never again, when the socket fails:
/// from then on changes go unnoticed.
pub fn monitor(
    netns: BorrowedFd<'_>,
    on_change: impl FnMut(io::Result<()>) + Send + 'static,
) -> Result<Monitor, NetlinkError> {
    let socket = in_netns(netns, subscribe)
        .map_err(NetlinkError::Enter)?
        .map_err(NetlinkError::Open)?;
    let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        .map_err(|errno| NetlinkError::Open(errno.into()))?;
    let stop = Arc::new(stop);
    let thread = Builder::new()
        .name("link-monitor".into())
        .spawn({
            let stop = Arc::clone(&stop);
            move || watch(&socket, &stop, on_change)
        })
        .map_err(NetlinkError::Open)?;
    Ok(Monitor {
        stop,
        thread: Some(thread),
    })
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Writing to an eventfd fails only when its counter is full, and then it is readable.
        if let Err(error) = self.stop.write(1) {
            tracing::debug!(%error, "the link monitor was told to stop before");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the link monitor had panicked");
        }
    }
}

fn subscribe() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind(&SocketAddr::new(
        0,
        RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
    ))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

fn watch(socket: &Socket, stop: &EventFd, mut on_change: impl FnMut(io::Result<()>)) {
    loop {
        match wait(socket, stop) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return on_change(Err(error)),
        }
        match drain(socket) {
            Ok(()) => on_change(Ok(())),
            Err(error) => return on_change(Err(error)),
        }
    }
}

/// Sleeps until there is something to read; false: told to stop.
fn wait(socket: &Socket, stop: &EventFd) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(!fds[0].any().unwrap_or(true))
}

/// Reads all that waits. What it says does not matter, for the caller lists everything anew.
fn drain(socket: &Socket) -> io::Result<()> {
    loop {
        match socket.recv_from_full() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Messages were lost for want of room (netlink(7)): still a change.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::netlink::{detour, tests::scratch_netns};

    #[test]
    fn a_new_device_is_noticed_and_a_dropped_monitor_is_silent() {
        let netns = scratch_netns();
        let (sender, changes) = mpsc::channel();
        let monitor = monitor(netns.as_fd(), move |change| {
            sender.send(change.is_ok()).unwrap();
        })
        .unwrap();
        assert!(changes.try_recv().is_err());
        detour::create(netns.as_fd(), 1, 1, &detour::Spec::segment(1500)).unwrap();
        assert!(changes.recv_timeout(Duration::from_secs(5)).unwrap());
        drop(monitor);
        // The thread is joined, so the sender is gone: what follows the queue is the end of it.
        assert!(changes.iter().all(|ok| ok));
    }
}
