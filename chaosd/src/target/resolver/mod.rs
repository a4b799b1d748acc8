//! How the processes of a target have names resolved: whom they ask, and who may answer before a
//! query is sent.
//!
//! All of it is read as the target sees it, below its root directory and never beyond, however its
//! links point. What cannot be read counts as not there: a plan is made without it.

mod files;
mod view;

use std::{
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    path::PathBuf,
};

use serde::Serialize;

use crate::{netlink, plan::Scope, profile::Target};

use files::{Hosts, Switch};
use view::View;

/// See the module's page.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Resolver {
    /// The resolv.conf that says it.
    pub file: PathBuf,
    /// Whom queries go to, in their order; the machine itself when the file names nobody
    /// (resolv.conf(5)).
    pub servers: Vec<Server>,
    /// What is put after names that have few dots.
    pub search: Vec<String>,
    /// Names with fewer dots are asked for with those after them first (default 1).
    pub ndots: usize,
    /// Queries go by TCP (`options use-vc`).
    pub tcp: bool,
    /// Services that glibc asks over a socket of theirs, so that the process sends no query.
    pub caches: Vec<Cache>,
    /// Names of /etc/hosts, which nobody asks for; in lower case.
    #[serde(skip)]
    pub hosts: Hosts,
}

/// A name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    /// Where it is asked.
    pub address: IpAddr,
    /// Queries to it go over `lo`: it is a loopback address, or one of the namespace's own.
    pub over_lo: bool,
}

/// A service that answers names over a socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cache {
    /// systemd-resolved, by `resolve` in nsswitch.conf (nss-resolve(8)).
    NssResolve,
    /// nscd(8), or what stands in for it.
    Nscd,
}

/// What systemd-resolved listens on (systemd-resolved.service(8)).
const RESOLVED: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)];
/// What Docker gives the containers of a network that was made by hand.
const DOCKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

impl Server {
    /// Docker's own resolver.
    pub fn is_docker(self) -> bool {
        self.address == DOCKER
    }

    /// systemd-resolved's stub.
    pub fn is_resolved(self) -> bool {
        RESOLVED.iter().any(|stub| self.address == *stub)
    }
}

impl Cache {
    /// Whose service it is.
    pub fn name(self) -> &'static str {
        match self {
            Self::NssResolve => "systemd-resolved",
            Self::Nscd => "nscd",
        }
    }

    /// The cgroup that asks the name servers in the place of everybody, as a systemd host names it.
    pub fn cgroup(self) -> &'static str {
        match self {
            Self::NssResolve => "/system.slice/systemd-resolved.service",
            Self::Nscd => "/system.slice/nscd.service",
        }
    }
}

/// How a target resolves. Reads files of the target and asks netlink; changes nothing.
pub fn of(target: &Target, scope: &Scope) -> Resolver {
    let view = View::of(target, scope);
    let local = netlink::addresses(scope.netns.fd.as_fd()).unwrap_or_default();
    read(&view, &local)
}

fn read(view: &View, local: &[IpAddr]) -> Resolver {
    let (file, text) = view.etc("resolv.conf");
    let conf = files::resolv_conf(&text);
    let switch: Switch = files::nsswitch(&view.etc("nsswitch.conf").1);
    let server = |address: IpAddr| Server {
        address,
        over_lo: address.is_loopback() || local.contains(&address),
    };
    let mut caches = Vec::new();
    if view.has_socket("/run/nscd/socket") {
        caches.push(Cache::Nscd);
    }
    if switch.resolve && view.has_socket("/run/systemd/resolve/io.systemd.Resolve") {
        caches.push(Cache::NssResolve);
    }
    Resolver {
        file,
        servers: conf.servers.into_iter().map(server).collect(),
        search: conf.search,
        ndots: conf.ndots,
        tcp: conf.tcp,
        caches,
        hosts: if switch.files {
            files::hosts(&view.etc("hosts").1)
        } else {
            Hosts::default()
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
