//! What each kind of fault takes.

use std::{borrow::Cow, num::NonZeroU32};

use crate::profile::{
    Corrupt, CorruptMode, Drop, GilbertElliott, Kind, Loss, Reset, ResetEnd, Resource,
    problem::{Found, Mistake, quote},
    tree::{Key, Node, Value},
    units::Percent,
};

use super::{CORRUPT_KEYS, DROP_KEYS, RESET_KEYS, read::Fields};

/// Most bits that are flipped in one packet.
const MOST_BITS: u32 = 32;

impl Kind {
    /// The word that asks for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drop(_) => "drop",
            Self::Corrupt(_) => "corrupt",
            Self::Partition => "partition",
            Self::Reset(_) => "reset",
            Self::Delay(_) => "delay",
            Self::Reorder(_) => "reorder",
            Self::Duplicate(_) => "duplicate",
            Self::Bandwidth(_) => "bandwidth",
            Self::Netem(_) => "netem",
            Self::Dns(_) => "dns",
            Self::Resource(resource) => resource.name(),
        }
    }
}

impl Kind {
    /// False: it acts on something else of the machine.
    pub fn is_on_packets(&self) -> bool {
        !matches!(self, Self::Resource(_))
    }
}

impl Found {
    pub(super) fn kind(&mut self, key: &Key, node: &Node) -> Option<Kind> {
        match key.name.as_str() {
            "drop" => self.drop(key, node).map(Kind::Drop),
            "corrupt" => self.corrupt(key, node).map(Kind::Corrupt),
            "partition" => self.partition(node),
            "reset" => self.reset(node).map(Kind::Reset),
            "delay" => self.delay(key, node).map(Kind::Delay),
            "reorder" => self.reorder(key, node).map(Kind::Reorder),
            "duplicate" => self.duplicate(key, node).map(Kind::Duplicate),
            "bandwidth" => self.bandwidth(key, node).map(Kind::Bandwidth),
            "netem" => self
                .netem(key, node)
                .map(|netem| Kind::Netem(Box::new(netem))),
            "dns" => self.dns(key, node).map(|dns| Kind::Dns(Box::new(dns))),
            _ => self.resource(key, node).map(Kind::Resource),
        }
    }

    fn resource(&mut self, key: &Key, node: &Node) -> Option<Resource> {
        match key.name.as_str() {
            "process" => self.process(key, node).map(Resource::Process),
            "freeze" => self.freeze(node).map(Resource::Freeze),
            "cpu-quota" => self.cpu_quota(key, node).map(Resource::CpuQuota),
            "disk" => self.disk(key, node).map(Resource::Disk),
            "disk-fill" => self.disk_fill(key, node).map(Resource::DiskFill),
            "cpu" => self.cpu(key, node).map(Resource::Cpu),
            "memory" => self.memory(key, node).map(Resource::Memory),
            "disk-error" => self.disk_error(key, node).map(Resource::DiskError),
            "pids" => self.pids(node).map(Resource::Pids),
            "clock" => self.clock(key, node).map(Resource::Clock),
            "shutdown" => self.shutdown(key, node).map(Resource::Shutdown),
            "disk-latency" => self.disk_latency(key, node).map(Resource::DiskLatency),
            "disk-burn" => self.disk_burn(key, node).map(Resource::DiskBurn),
            _ => None,
        }
    }

    fn drop(&mut self, key: &Key, node: &Node) -> Option<Drop> {
        if let Value::Text(_) = node.value {
            let rate = self.percent(node)?;
            return Some(Drop {
                model: Loss::Rate(rate),
                whole_skb: false,
            });
        }
        let fields = self.settings(key, node, DROP_KEYS, "10%")?;
        let models = ["rate", "every", "gilbert-elliott"];
        let given: Vec<_> = models
            .iter()
            .filter_map(|name| fields.entry(name))
            .collect();
        for (key, _) in given.iter().skip(1) {
            let what = format!(
                "{} beside {}: one of them decides",
                key.name, given[0].0.name
            );
            self.say(&key.at, what);
        }
        if given.is_empty() && models.iter().all(|name| fields.lacks(name)) {
            self.say(&key.at, format!("drop needs one of {}", models.join(", ")));
        }
        let mut read: Vec<_> = given
            .iter()
            .map(|(key, node)| match key.name.as_str() {
                "rate" => self.percent(node).map(Loss::Rate),
                "every" => self
                    .integer(node, "a whole number from 1: every nth packet is lost", 1)
                    .and_then(NonZeroU32::new)
                    .map(Loss::Every),
                _ => self.gilbert_elliott(node).map(Loss::GilbertElliott),
            })
            .collect();
        let whole_skb = match fields.get("whole-skb") {
            Some(node) => self.boolean(node),
            None => Some(false),
        };
        Some(Drop {
            model: read.pop()??,
            whole_skb: whole_skb?,
        })
    }

    fn gilbert_elliott(&mut self, node: &Node) -> Option<GilbertElliott> {
        let node = &*self.map_or_pairs(node, "p=1%,r=10%")?;
        let fields = self.fields(node, "gilbert-elliott", &["p", "r", "good", "bad"])?;
        let [p, r] = ["p", "r"].map(|name| {
            if fields.lacks(name) {
                let what = format!("gilbert-elliott needs {name}, such as {name}: 10%");
                self.say(&node.at, what);
            }
            self.percent(fields.get(name)?)
        });
        let [good, bad] =
            [("good", Percent::NONE), ("bad", Percent::ALL)].map(|(name, default)| {
                fields
                    .get(name)
                    .map_or(Some(default), |node| self.percent(node))
            });
        let model = GilbertElliott {
            p: p?,
            r: r?,
            good: good?,
            bad: bad?,
        };
        if model.good.is_none() && (model.bad.is_none() || model.p.is_none()) {
            self.say(
                &node.at,
                "this gilbert-elliott loses nothing: give p and bad more than 0%",
            );
        }
        Some(model)
    }

    /// A map as it is, or as a flag writes it: `NAME=VALUE,NAME=VALUE`.
    pub(super) fn map_or_pairs<'t>(
        &mut self,
        node: &'t Node,
        such_as: &str,
    ) -> Option<Cow<'t, Node>> {
        match &node.value {
            Value::Text(text) => self.pairs(node, text, such_as).map(Cow::Owned),
            _ => Some(Cow::Borrowed(node)),
        }
    }

    fn pairs(&mut self, node: &Node, text: &str, such_as: &str) -> Option<Node> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        for pair in text.split(',') {
            let Some((name, value)) = pair.split_once('=') else {
                let what = format!("{} is not NAME=VALUE, as in {such_as}", quote(pair));
                self.say(&node.at, what);
                return None;
            };
            let key = Key {
                at: node.at.clone(),
                name: name.trim().to_owned(),
            };
            if entries.iter().any(|(k, _)| k.name == key.name) {
                self.say(&node.at, format!("{} is given twice", quote(name)));
            }
            entries.push((key, Node::text(node.at.clone(), value)));
        }
        Some(Node {
            at: node.at.clone(),
            value: Value::Map(entries),
        })
    }

    fn corrupt(&mut self, key: &Key, node: &Node) -> Option<Corrupt> {
        let default = |rate| Corrupt {
            rate,
            bits: 1,
            mode: CorruptMode::Detected,
        };
        if let Value::Text(_) = node.value {
            return self.percent(node).map(default);
        }
        let fields = self.settings(key, node, CORRUPT_KEYS, "1%")?;
        if fields.lacks("rate") {
            self.say(&key.at, "corrupt needs a rate, such as 1%");
        }
        let rate = fields.get("rate").and_then(|node| self.percent(node));
        let bits = match fields.get("bits") {
            Some(node) => self
                .integer::<u32>(node, "a number of bits", 0)
                .and_then(|bits| self.bits(node, bits)),
            None => Some(1),
        };
        let mode = match fields.get("mode") {
            Some(node) => self.word(
                node,
                "detected (the checksum fails) or undetected",
                &[
                    ("detected", CorruptMode::Detected),
                    ("undetected", CorruptMode::Undetected),
                ],
            ),
            None => Some(CorruptMode::Detected),
        };
        Some(Corrupt {
            bits: bits?,
            mode: mode?,
            ..default(rate?)
        })
    }

    fn bits(&mut self, node: &Node, bits: u32) -> Option<u32> {
        if (1..=MOST_BITS).contains(&bits) {
            return Some(bits);
        }
        let nearest = bits.clamp(1, MOST_BITS).to_string();
        let what = format!("{bits} bits: 1 to {MOST_BITS} can be flipped in a packet");
        self.add(&node.at, Mistake::new(what).instead(nearest));
        None
    }

    fn partition(&mut self, node: &Node) -> Option<Kind> {
        match &node.value {
            Value::Empty => Some(Kind::Partition),
            Value::Text(text) if text == "true" => Some(Kind::Partition),
            Value::Text(text) => {
                let what = format!(
                    "partition takes no settings, found {}: use drop for a share",
                    quote(text)
                );
                self.say(&node.at, what);
                None
            }
            _ => self.fields(node, "partition", &[]).map(|_| Kind::Partition),
        }
    }

    fn reset(&mut self, node: &Node) -> Option<Reset> {
        let mut reset = Reset {
            rate: Percent::ALL,
            to: ResetEnd::Both,
        };
        match &node.value {
            Value::Empty => return Some(reset),
            Value::Text(_) => {
                reset.rate = self.percent(node)?;
                return Some(reset);
            }
            _ => {}
        }
        let fields = self.fields(node, "reset", RESET_KEYS)?;
        let rate = fields
            .get("rate")
            .map_or(Some(Percent::ALL), |node| self.percent(node));
        let to = match fields.get("to") {
            Some(node) => self.word(
                node,
                "an end that gets the RST: both, local or remote",
                &[
                    ("both", ResetEnd::Both),
                    ("local", ResetEnd::Local),
                    ("remote", ResetEnd::Remote),
                ],
            ),
            None => Some(ResetEnd::Both),
        };
        Some(Reset {
            rate: rate?,
            to: to?,
        })
    }

    /// The settings of a kind that cannot do without.
    pub(super) fn settings<'t>(
        &mut self,
        key: &Key,
        node: &'t Node,
        known: &[&str],
        rate: &str,
    ) -> Option<Fields<'t>> {
        if let Value::Empty = node.value {
            let what = format!("{} without settings", key.name);
            self.add(
                &key.at,
                Mistake::new(what).instead(format!("{}: {rate}", key.name)),
            );
            return None;
        }
        self.fields(node, &key.name, known)
    }
}
