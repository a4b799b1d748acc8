//! Two identical pairs of namespaces, a client and a server each, and a daemon that knows one.

use std::net::IpAddr;

use anyhow::Result;
use support::dns::{Load, Server};
use support::{Cgroup, Daemon, Family, Lab, Node, Options, Run};

/// The contestants. Fields are dropped in order: faults before namespaces.
pub struct Scene {
    pub daemon: Daemon,
    pub chaosd: Pair,
    /// Nothing is done to it.
    pub plain: Pair,
}

/// A client's namespace and its server's.
pub struct Pair {
    pub lab: Lab,
    _server: Server,
}

impl Pair {
    fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        Ok(Self {
            _server: Server::silent(lab.peer())?,
            lab,
        })
    }

    pub fn client(&self) -> &Node {
        self.lab.target()
    }

    pub fn server(&self) -> Result<IpAddr> {
        self.lab
            .peer()
            .address_facing(self.lab.target(), Family::V4)
    }

    /// Queries of its client's, as a process of this cgroup.
    pub fn load<'a>(
        &'a self,
        cgroup: Option<&'a Cgroup>,
        rate: Option<u32>,
        seconds: u32,
    ) -> Result<Load<'a>> {
        Ok(Load {
            from: self.client(),
            cgroup,
            server: self.server()?,
            rate,
            seconds,
        })
    }
}

impl Scene {
    pub fn new() -> Result<Self> {
        Ok(Self {
            daemon: Daemon::start(&Options::default())?,
            chaosd: Pair::new("dns")?,
            plain: Pair::new("dns-plain")?,
        })
    }

    /// Arms one fault with these fields (`names: [..], answer: nxdomain`).
    pub fn arm(&self, fields: &str) -> Result<Run<'_>> {
        let fault = format!("  - dns: {{{fields}}}");
        Run::faults(&self.daemon, self.chaosd.client(), &fault)
    }
}
