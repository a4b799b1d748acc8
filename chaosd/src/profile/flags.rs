//! The flags that mirror a profile's keys. They become the same tree as a profile's text, each
//! word placed at its flag, and meet the same checks.

mod dns;
mod hold;
mod netem;
mod resource;
mod target;

use std::time::Duration;

use clap::{Args, Subcommand};

use dns::DnsFlags;
use hold::{BandwidthFlags, DelayFlags, DuplicateFlags, ReorderFlags};
use netem::NetemFlags;
use resource::{PlainFlags, ResourceFlags};

pub use target::TargetFlags;

use super::{
    Overrides, Problems, Profile, check,
    problem::{Found, Place},
    tree::{Key, Node, Value},
};

/// Which packets; all of them when none is given.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Match")]
struct MatchFlags {
    /// Remote address, CIDR or host name (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    peer: Vec<String>,
    /// Exception to --peer (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    not_peer: Vec<String>,
    /// Remote port or range, such as 5432 or 8000-8100 (repeatable)
    #[arg(long, value_name = "PORT")]
    port: Vec<String>,
    /// Exception to --port (repeatable)
    #[arg(long, value_name = "PORT")]
    not_port: Vec<String>,
    /// Local port or range (repeatable)
    #[arg(long, value_name = "PORT")]
    local_port: Vec<String>,
    /// Exception to --local-port (repeatable)
    #[arg(long, value_name = "PORT")]
    not_local_port: Vec<String>,
    /// tcp, udp, icmp or sctp
    #[arg(long)]
    protocol: Option<String>,
    /// in, out or both, seen from the target (default: both; dns: out)
    #[arg(long)]
    direction: Option<String>,
    /// TCP flags that must be set, or not: syn,!ack
    #[arg(long)]
    flags: Vec<String>,
    /// A stable share of flows instead of all of them, such as 20%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    flows: Option<String>,
    /// Interface (repeatable; default: each with an address, but not lo; dns: lo too where the resolver is)
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
}

impl MatchFlags {
    fn node(&self) -> Option<Node> {
        let mut map = Entries::default();
        map.list("peers", "--peer", &self.peer);
        map.list("not-peers", "--not-peer", &self.not_peer);
        map.list("ports", "--port", &self.port);
        map.list("not-ports", "--not-port", &self.not_port);
        map.list("local-ports", "--local-port", &self.local_port);
        map.list("not-local-ports", "--not-local-port", &self.not_local_port);
        map.word("protocol", "--protocol", self.protocol.as_deref());
        map.word("direction", "--direction", self.direction.as_deref());
        map.list("flags", "--flags", &self.flags);
        map.word("flows", "--flows", self.flows.as_deref());
        map.list("interfaces", "--interface", &self.interface);
        map.into_node()
    }
}

/// When.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Timeline")]
struct TimelineFlags {
    /// How long the run lasts, --after included, such as 90s (default: 60s)
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true)]
    run_for: Option<String>,
    /// Wait this long within the run
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    after: Option<String>,
    /// Let the intensity grow linearly over this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    ramp: Option<String>,
    /// Act for this long and rest for --pulse-off, in turn
    #[arg(
        long,
        value_name = "TIME",
        requires = "pulse_off",
        allow_hyphen_values = true
    )]
    pulse_on: Option<String>,
    /// Rest for this long after each --pulse-on
    #[arg(
        long,
        value_name = "TIME",
        requires = "pulse_on",
        allow_hyphen_values = true
    )]
    pulse_off: Option<String>,
    /// Make the same decisions over the same packets again
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// What every kind takes.
#[derive(Args, Clone, Debug, Default)]
struct SharedFlags {
    #[command(flatten)]
    target: TargetFlags,
    #[command(flatten)]
    matching: MatchFlags,
    #[command(flatten)]
    timeline: TimelineFlags,
    /// Hit live SSH sessions, ARP, NDP and DHCP too
    #[arg(long, help_heading = "Safety")]
    unprotected: bool,
}

/// What is asked for beside a kind's own settings.
struct Shared<'a> {
    target: &'a TargetFlags,
    /// Kinds that act on packets have it.
    matching: Option<&'a MatchFlags>,
    timeline: &'a TimelineFlags,
    unprotected: bool,
}

impl<'a> Shared<'a> {
    fn of(flags: &'a SharedFlags) -> Self {
        Self {
            target: &flags.target,
            matching: Some(&flags.matching),
            timeline: &flags.timeline,
            unprotected: flags.unprotected,
        }
    }

    fn plain(flags: &'a PlainFlags) -> Self {
        Self {
            target: &flags.target,
            matching: None,
            timeline: &flags.timeline,
            unprotected: false,
        }
    }
}

/// Make a target suffer one fault: a profile by flags.
#[derive(Args, Clone, Debug)]
pub struct InjectFlags {
    #[command(subcommand)]
    kind: KindFlags,
}

#[derive(Subcommand, Clone, Debug)]
enum KindFlags {
    /// Lose packets
    Drop(Box<DropFlags>),
    /// Flip bits of payloads
    Corrupt(Box<CorruptFlags>),
    /// Let nothing through
    Partition(Box<PartitionFlags>),
    /// Reset TCP connections
    Reset(Box<ResetFlags>),
    /// Let packets arrive later
    Delay(Box<DelayFlags>),
    /// Let some packets arrive after those that followed them
    Reorder(Box<ReorderFlags>),
    /// Let packets arrive more than once
    Duplicate(Box<DuplicateFlags>),
    /// Let packets through a slow link
    Bandwidth(Box<BandwidthFlags>),
    /// Put packets through the kernel's own emulator
    Netem(Box<NetemFlags>),
    /// Answer DNS queries wrongly, late or not at all
    Dns(Box<DnsFlags>),
    #[command(flatten)]
    Resource(ResourceFlags),
}

#[derive(Args, Clone, Debug)]
struct DropFlags {
    /// Share of packets, such as 30%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Lose every nth packet
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    every: Option<String>,
    /// Lose in bursts: p=1%,r=10% and, if wanted, good=0%,bad=100%
    #[arg(long, value_name = "MODEL")]
    gilbert_elliott: Option<String>,
    /// Decide once per super-packet: faster, and losses come in bursts
    #[arg(long)]
    whole_skb: bool,
    #[command(flatten)]
    shared: SharedFlags,
}

#[derive(Args, Clone, Debug)]
struct CorruptFlags {
    /// Share of packets, such as 1%
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Bits flipped in each packet, 1 to 32 (default: 1)
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    bits: Option<String>,
    /// detected: the checksum fails; undetected: the application reads flipped bits (default: detected)
    #[arg(long)]
    mode: Option<String>,
    #[command(flatten)]
    shared: SharedFlags,
}

#[derive(Args, Clone, Debug)]
struct PartitionFlags {
    #[command(flatten)]
    shared: SharedFlags,
}

#[derive(Args, Clone, Debug)]
struct ResetFlags {
    /// Share of matched packets that reset their connection (default: 100%)
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// The end that gets the RST: both, local or remote (default: both)
    #[arg(long, value_name = "END")]
    to: Option<String>,
    #[command(flatten)]
    shared: SharedFlags,
}

impl InjectFlags {
    /// The checked profile; `max_for` caps its time.
    pub fn profile(&self, max_for: Duration) -> Result<Profile, Problems> {
        let over = Overrides {
            max_for,
            ..Overrides::default()
        };
        check::check(&self.tree(), &over, Found::default())
    }

    /// The same as a profile's document, unchecked: what is sent to the daemon, whose caps decide.
    pub fn document(&self) -> serde_json::Value {
        self.tree().to_json()
    }

    fn tree(&self) -> Node {
        let (shared, kind, settings) = match &self.kind {
            KindFlags::Drop(flags) => {
                let mut map = Entries::default();
                map.word("rate", "--rate", flags.rate.as_deref());
                map.word("every", "--every", flags.every.as_deref());
                map.word(
                    "gilbert-elliott",
                    "--gilbert-elliott",
                    flags.gilbert_elliott.as_deref(),
                );
                map.switch("whole-skb", "--whole-skb", flags.whole_skb);
                (Shared::of(&flags.shared), "drop", map)
            }
            KindFlags::Corrupt(flags) => {
                let mut map = Entries::default();
                map.word("rate", "--rate", flags.rate.as_deref());
                map.word("bits", "--bits", flags.bits.as_deref());
                map.word("mode", "--mode", flags.mode.as_deref());
                (Shared::of(&flags.shared), "corrupt", map)
            }
            KindFlags::Partition(flags) => {
                (Shared::of(&flags.shared), "partition", Entries::default())
            }
            KindFlags::Reset(flags) => {
                let mut map = Entries::default();
                map.word("rate", "--rate", flags.rate.as_deref());
                map.word("to", "--to", flags.to.as_deref());
                (Shared::of(&flags.shared), "reset", map)
            }
            KindFlags::Delay(flags) => (Shared::of(&flags.shared), "delay", flags.settings()),
            KindFlags::Reorder(flags) => (Shared::of(&flags.shared), "reorder", flags.settings()),
            KindFlags::Duplicate(flags) => {
                (Shared::of(&flags.shared), "duplicate", flags.settings())
            }
            KindFlags::Bandwidth(flags) => {
                (Shared::of(&flags.shared), "bandwidth", flags.settings())
            }
            KindFlags::Netem(flags) => (Shared::of(&flags.shared), "netem", flags.settings()),
            KindFlags::Dns(flags) => (Shared::of(&flags.shared), "dns", flags.settings()),
            KindFlags::Resource(flags) => flags.asked(),
        };
        let at = Place::flag(&format!("inject {kind}"));
        let time = shared.timeline;
        let mut fault = Entries::default();
        fault.node(
            kind,
            Some(Node {
                at: at.clone(),
                value: Value::Map(settings.0),
            }),
        );
        fault.node("match", shared.matching.and_then(MatchFlags::node));
        fault.word("after", "--after", time.after.as_deref());
        fault.word("ramp", "--ramp", time.ramp.as_deref());
        let mut pulse = Entries::default();
        pulse.word("on", "--pulse-on", time.pulse_on.as_deref());
        pulse.word("off", "--pulse-off", time.pulse_off.as_deref());
        fault.node("pulse", pulse.into_node());
        fault.switch("unprotected", "--unprotected", shared.unprotected);

        let mut top = Entries::default();
        top.node("version", Some(Node::text(at.clone(), "1")));
        top.word("for", "--for", time.run_for.as_deref());
        top.word(
            "seed",
            "--seed",
            time.seed.map(|seed| seed.to_string()).as_deref(),
        );
        top.node("target", shared.target.node());
        let fault = Node {
            at: at.clone(),
            value: Value::Map(fault.0),
        };
        top.node(
            "faults",
            Some(Node {
                at: at.clone(),
                value: Value::List(vec![fault]),
            }),
        );
        Node {
            at,
            value: Value::Map(top.0),
        }
    }
}

/// A map in the making: flags that are not given leave no entry.
#[derive(Default)]
struct Entries(Vec<(Key, Node)>);

impl Entries {
    /// Of words, each with its key, its flag and its text.
    fn words<const N: usize>(words: [(&str, &str, &Option<String>); N]) -> Self {
        let mut map = Self::default();
        for (name, flag, text) in words {
            map.word(name, flag, text.as_deref());
        }
        map
    }

    fn node(&mut self, name: &str, node: Option<Node>) {
        if let Some(node) = node {
            let key = Key {
                at: node.at.clone(),
                name: name.to_owned(),
            };
            self.0.push((key, node));
        }
    }

    fn word(&mut self, name: &str, flag: &str, text: Option<&str>) {
        self.node(name, text.map(|text| Node::text(Place::flag(flag), text)));
    }

    fn switch(&mut self, name: &str, flag: &str, on: bool) {
        self.word(name, flag, on.then_some("true"));
    }

    fn list(&mut self, name: &str, flag: &str, words: &[String]) {
        let at = Place::flag(flag);
        let items: Vec<Node> = words
            .iter()
            .map(|word| Node::text(at.clone(), word))
            .collect();
        if !items.is_empty() {
            self.node(
                name,
                Some(Node {
                    at,
                    value: Value::List(items),
                }),
            );
        }
    }

    /// `None` when it is empty; it stands where its first entry does.
    fn into_node(self) -> Option<Node> {
        let at = self.0.first()?.1.at.clone();
        Some(Node {
            at,
            value: Value::Map(self.0),
        })
    }
}
