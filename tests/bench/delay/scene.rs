//! Identical pairs of namespaces, for chaosd, for netem and for neither, and a daemon.
//!
//! The peer of each has a thousand addresses more, behind its one interface.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use support::{Daemon, Family, Lab, Node, Options, Run, Told, run};

/// Room for everything that a row has under way.
pub const NETEM_LIMIT: &str = "limit 1000000";
/// Addresses of a peer beside its own.
pub const PEERS: u16 = 1000;
/// All of them (the upper half of the range for benchmarks, RFC 2544).
pub const ALL_PEERS: &str = "198.19.0.0/16";
/// Largest TCP buffers: more than a gigabit holds in 20 ms, many times over.
const BUFFERS: &str = "4096 1048576 67108864";

/// The contestants. Fields are dropped in order: faults before namespaces.
pub struct Scene {
    pub daemon: Daemon,
    pub chaosd: Pair,
    pub netem: Pair,
    /// Nothing is done to it.
    pub plain: Pair,
}

/// A namespace that suffers and its peer.
pub struct Pair {
    lab: Lab,
}

/// The n-th address of a peer.
pub fn peer(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    // No .0 and no .255.
    Ipv4Addr::new(198, 19, high.wrapping_mul(2) + low / 128, low % 128 + 1)
}

impl Pair {
    pub fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let (target, other) = (lab.target(), lab.peer());
        let mut batch = String::new();
        for n in 0..PEERS {
            writeln!(batch, "addr add {}/32 dev lo", peer(n))?;
        }
        support::run_with_input("ip", &["-n", other.netns(), "-batch", "-"], &batch)?;
        let via = other.address_facing(target, Family::V4)?.to_string();
        let to = ["-n", target.netns(), "route", "add", ALL_PEERS, "via", &via];
        run("ip", &to)?;
        for node in [target, other] {
            for name in ["tcp_rmem", "tcp_wmem"] {
                let path = format!("/proc/sys/net/ipv4/{name}");
                node.enter(|| std::fs::write(&path, BUFFERS))?
                    .with_context(|| format!("failed to write {path}"))?;
            }
        }
        // Everybody may send echo requests (icmp(7)); by default nobody may without a raw socket.
        let path = "/proc/sys/net/ipv4/ping_group_range";
        target
            .enter(|| std::fs::write(path, "0 2147483647"))?
            .with_context(|| format!("failed to write {path}"))?;
        Ok(Self { lab })
    }

    pub fn target(&self) -> &Node {
        self.lab.target()
    }

    pub fn other(&self) -> &Node {
        self.lab.peer()
    }

    /// `tc -batch` in the target's namespace.
    pub fn tc(&self, batch: &str) -> Result<()> {
        let args = ["-n", self.target().netns(), "-batch", "-"];
        support::run_with_input("tc", &args, batch).map(drop)
    }

    /// Root netem with these words on the target's interface, until the guard goes.
    pub fn netem(&self, words: &str) -> Result<Netem<'_>> {
        self.queue(&format!("qdisc replace dev eth0 root netem {words}\n"))
    }

    /// Whatever this batch makes of the root queue, until the guard goes.
    pub fn queue(&self, batch: &str) -> Result<Netem<'_>> {
        let guard = Netem(self);
        self.tc(batch)?;
        Ok(guard)
    }
}

/// A root queue. Dropped, the interface has its own again.
#[must_use = "the queue goes with it"]
pub struct Netem<'a>(&'a Pair);

impl Drop for Netem<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.tc("qdisc del dev eth0 root\n") {
            eprintln!("a root queue is left over: {error:#}");
        }
    }
}

impl Scene {
    pub fn new() -> Result<Self> {
        Ok(Self {
            daemon: Daemon::start(&Options::default())?,
            chaosd: Pair::new("chaosd")?,
            netem: Pair::new("netem")?,
            plain: Pair::new("plain")?,
        })
    }

    /// Arms one fault of leaving packets, as a profile writes it: `delay: 20ms`.
    pub fn arm(&self, fault: &str) -> Result<Run<'_>> {
        let text = format!("  - {fault}\n    match: {{direction: out}}");
        Run::faults(&self.daemon, self.chaosd.target(), &text)
    }
}

/// Whether this kernel has netem: tried in a namespace that goes again.
pub fn netem_works() -> Result<bool> {
    let lab = Lab::new("has-netem")?;
    let words = ["-n", lab.target().netns(), "qdisc", "add", "dev", "eth0"];
    Ok(run("tc", &[&words[..], &["root", "netem"]].concat()).is_ok())
}

/// Packets of the first fault that chaosd's own queue refused; more than there can be when the
/// report does not say.
pub fn overflow(told: &Told) -> u64 {
    let of = |way: &str| told.0["faults"][0][way]["overflow"].as_u64();
    of("in")
        .zip(of("out"))
        .map_or(u64::MAX, |(inward, outward)| inward + outward)
}
