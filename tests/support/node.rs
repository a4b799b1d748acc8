//! One namespace of a laboratory, its addresses, and sockets made inside it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt,
};

use crate::namespace;

/// The two IPs. Effects have to hold for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// For loops over both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// An interface of a node, and the number of the veth pair it is an end of.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub link: u8,
    pub interface: String,
    pub v4: Ipv4Addr,
    pub v6: Ipv6Addr,
}

/// A network namespace.
#[derive(Clone, Debug)]
pub struct Node {
    name: String,
    ports: Vec<Port>,
}

impl Node {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            ports: Vec::new(),
        }
    }

    pub(crate) fn add_port(&mut self, port: Port) {
        self.ports.push(port);
    }

    pub(crate) fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Its name for `ip netns`.
    pub fn netns(&self) -> &str {
        &self.name
    }

    /// The handle of its namespace, to be opened.
    pub fn path(&self) -> String {
        format!("{}/{}", namespace::NETNS_DIR, self.name)
    }

    /// Runs `inside` on a thread in this namespace.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        namespace::enter(&self.name, inside)
    }

    /// The interface through which `other` is reached.
    pub fn interface_facing(&self, other: &Node) -> Result<&str> {
        Ok(&self.port_facing(other)?.interface)
    }

    /// The address of this node that `other` reaches directly.
    pub fn address_facing(&self, other: &Node, family: Family) -> Result<IpAddr> {
        let port = self.port_facing(other)?;
        Ok(match family {
            Family::V4 => port.v4.into(),
            Family::V6 => port.v6.into(),
        })
    }

    fn port_facing(&self, other: &Node) -> Result<&Port> {
        let is_shared = |port: &&Port| other.ports.iter().any(|theirs| theirs.link == port.link);
        match self.ports.iter().find(is_shared) {
            Some(port) if self.name != other.name => Ok(port),
            _ => bail!("{} and {} are not joined", self.name, other.name),
        }
    }

    /// A socket of this namespace, bound to `address` (port 0: the kernel chooses).
    pub(crate) fn bind(&self, kind: SockType, address: SocketAddr) -> Result<OwnedFd> {
        self.enter(|| {
            let family = match address {
                SocketAddr::V4(_) => AddressFamily::Inet,
                SocketAddr::V6(_) => AddressFamily::Inet6,
            };
            let fd = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
            setsockopt(&fd, sockopt::ReuseAddr, &true)?;
            socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
            Ok(fd)
        })?
        .map_err(|errno: nix::Error| errno)
        .with_context(|| format!("failed to bind {address} in {}", self.name))
    }
}
