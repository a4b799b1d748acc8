//! The laboratory: a target and its peers, each in a network namespace, joined by veth pairs.
//!
//! GSO and GRO stay on, so that packets of many segments reach the programs as they do on real
//! hosts. Link n joins the target's `ethN` with peer n's `eth0`, with addresses from the range for
//! benchmarks (RFC 2544: 198.18.0.0/15) and from `fd00::/8` (RFC 4193). Nothing of it is visible
//! outside the namespaces.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::namespace::NETNS_DIR;
use crate::node::{Family, Node, Port};
use crate::run::{run, run_with_input};
use crate::udp::{self, Flow};
use crate::wait_until;

/// Carrier, addresses and the first neighbour entries settle in a few milliseconds; a busy
/// machine takes longer.
const COMES_UP: Duration = Duration::from_secs(10);
const PREFIX: &str = "chaosd-test-";

static LABS: AtomicU32 = AtomicU32::new(0);

/// Namespaces that vanish with this value.
#[derive(Debug)]
pub struct Lab {
    target: Node,
    peers: Vec<Node>,
}

impl Lab {
    /// A target and one peer, already able to talk. `name` shows up in the namespaces' names.
    pub fn new(name: &str) -> Result<Self> {
        Self::star(name, 1)
    }

    /// The same, and a second peer which no fault names.
    pub fn with_bystander(name: &str) -> Result<Self> {
        Self::star(name, 2)
    }

    /// A target and `peers` peers, each on an interface of its own.
    pub fn star(name: &str, peers: u8) -> Result<Self> {
        sweep();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{number}-{name}", std::process::id());
        // From the first namespace on, dropping the guard removes what there is.
        let mut lab = Self {
            target: Node::new(format!("{prefix}-target")),
            peers: Vec::new(),
        };
        add(&lab.target)?;
        for link in 0..peers {
            lab.join(&prefix, link)?;
        }
        lab.wait_for_traffic()?;
        Ok(lab)
    }

    /// The namespace that suffers.
    pub fn target(&self) -> &Node {
        &self.target
    }

    /// The one it talks to.
    pub fn peer(&self) -> &Node {
        &self.peers[0]
    }

    /// The one beside it, of [`Lab::with_bystander`].
    ///
    /// # Panics
    /// When the laboratory was made with one peer.
    pub fn bystander(&self) -> &Node {
        &self.peers[1]
    }

    /// All of them, by link.
    pub fn peers(&self) -> &[Node] {
        &self.peers
    }

    /// Adds the peer of this link.
    fn join(&mut self, prefix: &str, link: u8) -> Result<()> {
        let mut peer = Node::new(format!("{prefix}-peer{link}"));
        add(&peer)?;
        peer.add_port(port(link, "eth0".to_owned(), 2));
        self.target.add_port(port(link, format!("eth{link}"), 1));
        self.peers.push(peer);

        let peer = &self.peers[usize::from(link)];
        let ends = [
            (&self.target, &self.target.ports()[usize::from(link)]),
            (peer, &peer.ports()[0]),
        ];
        let [ours, theirs] = ends.map(|(node, port): (&Node, &Port)| {
            format!("name {} netns {}", port.interface, node.netns())
        });
        let pair = format!("link add {ours} type veth peer {theirs}\n");
        run_with_input("ip", &["-batch", "-"], &pair)?;
        for (node, port) in ends {
            // Off by default on veth; on, lone segments are merged too before the programs see
            // them, as on real hosts. TSO super-packets pass a veth pair as they are.
            node.enter(|| run("ethtool", &["-K", &port.interface, "gro", "on"]))??;
            // The link's own address is there from the start too, instead of a second later.
            let sysctl = format!("/proc/sys/net/ipv6/conf/{}/accept_dad", port.interface);
            node.enter(|| std::fs::write(&sysctl, "0"))?
                .with_context(|| format!("failed to write {sysctl}"))?;
            let mut batch = String::new();
            writeln!(batch, "link set lo up")?;
            writeln!(batch, "addr add {}/24 dev {}", port.v4, port.interface)?;
            // Nobody else can have the address: no time is lost on detecting a duplicate.
            writeln!(
                batch,
                "addr add {}/64 dev {} nodad",
                port.v6, port.interface
            )?;
            writeln!(batch, "link set {} up", port.interface)?;
            run_with_input("ip", &["-n", node.netns(), "-batch", "-"], &batch)?;
        }
        Ok(())
    }

    fn wait_for_traffic(&self) -> Result<()> {
        for peer in &self.peers {
            for (from, to) in [(&self.target, peer), (peer, &self.target)] {
                for family in Family::BOTH {
                    let probe = Flow {
                        family,
                        datagrams: 1,
                        settle: Duration::from_millis(50),
                        ..Flow::default()
                    };
                    let answers =
                        || udp::flow(from, to, &probe).is_ok_and(|seen| seen.received == 1);
                    if !wait_until(COMES_UP, answers) {
                        bail!(
                            "{} does not reach {} over {family:?}",
                            from.netns(),
                            to.netns()
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for node in self.peers.iter().chain([&self.target]) {
            remove(node.netns());
        }
    }
}

fn port(link: u8, interface: String, host: u8) -> Port {
    Port {
        link,
        interface,
        v4: Ipv4Addr::new(198, 18, link, host),
        v6: Ipv6Addr::new(0xfd00, 0xc4a0, 0, link.into(), 0, 0, 0, host.into()),
    }
}

fn add(node: &Node) -> Result<()> {
    run("ip", &["netns", "add", node.netns()]).map(drop)
}

/// Removes a namespace if it is there. Links that others still hold open go with the pair's end.
fn remove(name: &str) {
    if !std::path::Path::new(NETNS_DIR).join(name).exists() {
        return;
    }
    if let Err(error) = run("ip", &["netns", "del", name]) {
        eprintln!("a namespace is left over: {error:#}");
    }
}

/// Removes the namespaces of test processes that were killed before they could.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(NETNS_DIR) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            remove(&name);
        }
    }
}
