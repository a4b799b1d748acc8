//! A target whose peer is a name server, and a daemon, for the tests of DNS faults.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use support::dns::{Answer, Dig, Server, zone};
use support::{Daemon, Family, Lab, Node, Options, Run};

/// Skips the calling test, which returns a result, where a part is not installed.
macro_rules! needs_dns {
    () => {
        if let Some(why) = support::dns::lacking() {
            support::skip!(Ok(()), "{why}");
        }
    };
}
pub(crate) use needs_dns;

/// Fields are dropped in order: faults before namespaces.
pub struct Names {
    pub daemon: Daemon,
    pub server: Server,
    pub lab: Lab,
}

impl Names {
    /// The peer's server knows [`zone`].
    pub fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let server = Server::start(lab.peer())?;
        let daemon = Daemon::start(&Options::default())?;
        Ok(Self {
            daemon,
            server,
            lab,
        })
    }

    /// Who suffers.
    pub fn target(&self) -> &Node {
        self.lab.target()
    }

    /// Where the target asks.
    pub fn address(&self, family: Family) -> Result<IpAddr> {
        self.lab.peer().address_facing(self.lab.target(), family)
    }

    /// dig in the target, at its server.
    pub fn dig(&self, family: Family) -> Result<Dig<'_>> {
        Ok(Dig::new(self.target(), self.address(family)?))
    }

    /// A `dns` fault with these fields (`names: [..], answer: nxdomain`) on the target.
    pub fn arm(&self, fields: &str) -> Result<Run<'_>> {
        let faults = format!("  - dns: {{{fields}}}");
        Run::faults(&self.daemon, self.target(), &faults)
    }

    /// The same, with a `match` of these fields.
    pub fn arm_matching(&self, fields: &str, matching: &str) -> Result<Run<'_>> {
        let faults = format!("  - dns: {{{fields}}}\n    match: {{{matching}}}");
        Run::faults(&self.daemon, self.target(), &faults)
    }

    /// Fails unless the target gets the server's own addresses of a listed name.
    pub fn assert_real(&self, name: &str) -> Result<()> {
        for family in Family::BOTH {
            assert_real(&self.dig(family)?, name)?;
        }
        Ok(())
    }
}

/// Fails unless dig sees the server's own addresses of a listed name.
pub fn assert_real(dig: &Dig<'_>, name: &str) -> Result<()> {
    let [v4, v6] = zone::addresses(name);
    for (kind, address) in [("A", v4), ("AAAA", v6)] {
        let answer = dig.ask(&format!("{name} {kind}"))?.answer();
        ensure!(
            answer.status == "NOERROR" && answer.data(kind) == [address.to_string()],
            "{name} {kind}: {answer:?}"
        );
        assert_sound(&answer)?;
    }
    Ok(())
}

/// Fails if dig has found anything wrong.
pub fn assert_sound(answer: &Answer) -> Result<()> {
    ensure!(answer.warnings.is_empty(), "{answer:?}");
    Ok(())
}
