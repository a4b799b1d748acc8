//! TCP sockets that belong to a node.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    Backlog, SockType, SockaddrStorage, connect as connect_socket, listen as listen_on,
};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::node::Node;

/// A listener whose connections advertise about `window` bytes. Its `accept` gives up after
/// `timeout` with `WouldBlock`.
pub fn listen(
    node: &Node,
    address: SocketAddr,
    window: usize,
    timeout: Duration,
) -> Result<TcpListener> {
    let fd = node.bind(SockType::Stream, address)?;
    let timeout = TimeVal::new(
        timeout.as_secs().cast_signed(),
        timeout.subsec_micros().into(),
    );
    // The window scale is fixed by the SYN, so that the buffer is set before anybody connects.
    // Beyond what anybody may have (net.core.rmem_max), too.
    setsockopt(&fd, sockopt::RcvBufForce, &window).context("failed to set the receive buffer")?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &timeout).context("failed to set a timeout")?;
    listen_on(&fd, Backlog::MAXCONN).with_context(|| format!("failed to listen on {address}"))?;
    Ok(fd.into())
}

/// A connection from `local` to `remote` whose every call gives up after `timeout`.
pub fn connect(
    node: &Node,
    local: SocketAddr,
    remote: SocketAddr,
    timeout: Duration,
) -> Result<TcpStream> {
    let stream: TcpStream = node.bind(SockType::Stream, local)?.into();
    stream
        .set_read_timeout(Some(timeout))
        .context("failed to set a timeout")?;
    // Bounds connect(2) too (socket(7), SO_SNDTIMEO).
    stream
        .set_write_timeout(Some(timeout))
        .context("failed to set a timeout")?;
    connect_socket(stream.as_raw_fd(), &SockaddrStorage::from(remote))
        .with_context(|| format!("failed to connect {local} to {remote}"))?;
    Ok(stream)
}
