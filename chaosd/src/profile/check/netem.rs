//! What `netem` takes: the parameters of tc-netem(8), by its names.

use std::time::Duration;

use crate::profile::{
    Correlated, Distribution, FourStates, Gemodel, Interval, Netem, NetemDelay, NetemLoss,
    NetemRate, NetemReorder, Slot,
    problem::{Found, Mistake},
    tree::{Key, Node, Value},
    units::{Percent, Size},
};

use super::{NETEM_KEYS, read::Fields};

/// The keys of which one at least is there: each does something by itself.
const PARTS: &[&str] = &[
    "delay",
    "loss",
    "duplicate",
    "corrupt",
    "reorder",
    "rate",
    "slot",
];
const SLOT_KEYS: &[&str] = &[
    "min-delay",
    "max-delay",
    "distribution",
    "delay",
    "jitter",
    "packets",
    "bytes",
];

impl Found {
    pub(super) fn netem(&mut self, key: &Key, node: &Node) -> Option<Netem> {
        if let Value::Empty = node.value {
            let mistake = Mistake::new("netem without settings");
            self.add(&key.at, mistake.instead("netem: {loss: 1%}"));
            return None;
        }
        let fields = self.fields(node, "netem", NETEM_KEYS)?;
        if PARTS.iter().all(|part| fields.lacks(part)) {
            let what = format!("netem needs at least one of {}", PARTS.join(", "));
            self.say(&key.at, what);
        }
        for (names, what) in [
            (&["jitter", "reorder"][..], "delay"),
            (&["delay-correlation", "distribution"][..], "jitter"),
            (&["gap"][..], "reorder"),
            (
                &["packet-overhead", "cell-size", "cell-overhead"][..],
                "rate",
            ),
            (&["ecn"][..], "loss"),
        ] {
            self.needs(&fields, names, what);
        }
        let delay = self.part(&fields, "delay", |found, node| {
            found.netem_delay(node, &fields)
        });
        let loss = self.part(&fields, "loss", Self::netem_loss);
        let [duplicate, corrupt, reorder] = ["duplicate", "corrupt", "reorder"]
            .map(|name| self.part(&fields, name, |found, node| found.correlated(node, name)));
        let gap = self.number(&fields, "gap", "a number of packets from 1", 1, 1);
        let rate = self.part(&fields, "rate", |found, node| {
            found.netem_rate(node, &fields)
        });
        let slot = self.part(&fields, "slot", Self::slot);
        let ecn = fields
            .get("ecn")
            .map_or(Some(false), |node| self.boolean(node));
        let limit = self.part(&fields, "limit", |found, node| {
            found.integer(node, "a number of packets from 1", 1)
        });
        let gap = gap?;
        let mut netem = Netem {
            delay: delay?,
            loss: loss?,
            ecn: ecn?,
            duplicate: duplicate?,
            corrupt: corrupt?,
            reorder: reorder?.map(|reorder| NetemReorder { reorder, gap }),
            rate: rate?,
            slot: slot?,
            limit: 0,
        };
        netem.limit = limit?.unwrap_or_else(|| netem.default_limit());
        Some(netem)
    }

    /// `Some(None)`: it is not given.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether all was well, as everywhere here"
    )]
    fn part<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        read: impl FnOnce(&mut Self, &Node) -> Option<T>,
    ) -> Option<Option<T>> {
        fields
            .get(name)
            .map_or(Some(None), |node| read(self, node).map(Some))
    }

    fn number<T: TryFrom<u64>>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        what: &str,
        least: u64,
        default: T,
    ) -> Option<T> {
        fields
            .get(name)
            .map_or(Some(default), |node| self.integer(node, what, least))
    }

    fn share_or(&mut self, fields: &Fields<'_>, name: &str, default: Percent) -> Option<Percent> {
        fields
            .get(name)
            .map_or(Some(default), |node| self.percent(node))
    }

    fn netem_delay(&mut self, node: &Node, fields: &Fields<'_>) -> Option<NetemDelay> {
        let time = self.hold_time(node);
        let jitter = fields
            .get("jitter")
            .map_or(Some(Duration::ZERO), |node| self.hold_time(node));
        let correlation = self.share_or(fields, "delay-correlation", Percent::NONE);
        let distribution = self.part(fields, "distribution", Self::distribution);
        let (time, jitter) = (time?, jitter?);
        if time.is_zero() && jitter.is_zero() {
            self.say(
                &node.at,
                "a delay of 0 without jitter does nothing: give more, or leave it out",
            );
            return None;
        }
        Some(NetemDelay {
            time,
            jitter,
            correlation: correlation?,
            distribution: distribution?.filter(|law| *law != Distribution::Uniform),
        })
    }

    /// A share, or `{rate, correlation}`.
    fn correlated(&mut self, node: &Node, name: &str) -> Option<Correlated> {
        if let Value::Text(_) = node.value {
            return Some(Correlated {
                rate: self.percent(node)?,
                correlation: Percent::NONE,
            });
        }
        let fields = self.fields(node, name, &["rate", "correlation"])?;
        if fields.lacks("rate") {
            let what = format!("{name} needs a rate, such as rate: 1%");
            self.say(&node.at, what);
        }
        let rate = fields.get("rate").and_then(|node| self.percent(node));
        let correlation = self.share_or(&fields, "correlation", Percent::NONE);
        Some(Correlated {
            rate: rate?,
            correlation: correlation?,
        })
    }

    fn netem_loss(&mut self, node: &Node) -> Option<NetemLoss> {
        let Value::Map(entries) = &node.value else {
            return self.correlated(node, "loss").map(NetemLoss::Random);
        };
        let model = entries
            .iter()
            .find(|(key, _)| key.name == "state" || key.name == "gemodel");
        let Some((key, settings)) = model else {
            let fields = self.fields(node, "loss", &["rate", "correlation", "state", "gemodel"])?;
            if fields.lacks("rate") && fields.lacks("state") && fields.lacks("gemodel") {
                self.say(&node.at, "loss needs one of rate, state, gemodel");
            }
            let rate = fields.get("rate").and_then(|node| self.percent(node));
            let correlation = self.share_or(&fields, "correlation", Percent::NONE);
            return Some(NetemLoss::Random(Correlated {
                rate: rate?,
                correlation: correlation?,
            }));
        };
        for (other, _) in entries.iter().filter(|(other, _)| other.name != key.name) {
            let what = format!("{} beside {}: one of them decides", other.name, key.name);
            self.say(&other.at, what);
        }
        if key.name == "state" {
            self.four_states(settings).map(NetemLoss::State)
        } else {
            self.gemodel(settings).map(NetemLoss::Gemodel)
        }
    }

    fn four_states(&mut self, node: &Node) -> Option<FourStates> {
        let node = &*self.map_or_pairs(node, "p13=1%,p31=10%")?;
        let fields = self.fields(node, "state", &["p13", "p31", "p32", "p23", "p14"])?;
        if fields.lacks("p13") {
            self.say(&node.at, "state needs p13, such as p13: 1%");
        }
        let p13 = fields.get("p13").and_then(|node| self.percent(node));
        let p31 = self.share_or(&fields, "p31", rest(p13));
        let p32 = self.share_or(&fields, "p32", Percent::NONE);
        let p23 = self.share_or(&fields, "p23", Percent::ALL);
        let p14 = self.share_or(&fields, "p14", Percent::NONE);
        Some(FourStates {
            p13: p13?,
            p31: p31?,
            p32: p32?,
            p23: p23?,
            p14: p14?,
        })
    }

    fn gemodel(&mut self, node: &Node) -> Option<Gemodel> {
        let node = &*self.map_or_pairs(node, "p=1%,r=10%")?;
        let fields = self.fields(node, "gemodel", &["p", "r", "1-h", "1-k"])?;
        if fields.lacks("p") {
            self.say(&node.at, "gemodel needs p, such as p: 1%");
        }
        let p = fields.get("p").and_then(|node| self.percent(node));
        let r = self.share_or(&fields, "r", rest(p));
        let lost_in_bad = self.share_or(&fields, "1-h", Percent::ALL);
        let lost_in_good = self.share_or(&fields, "1-k", Percent::NONE);
        Some(Gemodel {
            p: p?,
            r: r?,
            lost_in_bad: lost_in_bad?,
            lost_in_good: lost_in_good?,
        })
    }

    fn netem_rate(&mut self, node: &Node, fields: &Fields<'_>) -> Option<NetemRate> {
        let rate = self.parse(node);
        let [packet_overhead, cell_overhead] = ["packet-overhead", "cell-overhead"]
            .map(|name| fields.get(name).map_or(Some(0), |node| self.bytes(node)));
        let what = "a number of bytes";
        let cell_size = self.number(fields, "cell-size", what, 0, 0);
        Some(NetemRate {
            rate: rate?,
            packet_overhead: packet_overhead?,
            cell_size: cell_size?,
            cell_overhead: cell_overhead?,
        })
    }

    /// A whole number that may be negative.
    fn bytes(&mut self, node: &Node) -> Option<i32> {
        let text = self.text(node)?.trim();
        let bytes = text.parse().ok();
        if bytes.is_none() {
            let what = format!(
                "{} is not a number of bytes, such as 24 or -14",
                crate::profile::problem::quote(text)
            );
            self.say(&node.at, what);
        }
        bytes
    }

    fn slot(&mut self, node: &Node) -> Option<Slot> {
        let node = &*self.map_or_pairs(node, "min-delay=5ms,max-delay=10ms")?;
        let fields = self.fields(node, "slot", SLOT_KEYS)?;
        let every = self.interval(node, &fields);
        let packets = self.number(&fields, "packets", "a number of packets", 0, 0);
        let bytes = fields
            .get("bytes")
            .map_or(Some(Size::NONE), |node| self.slot_bytes(node));
        Some(Slot {
            every: every?,
            packets: packets?,
            bytes: bytes?,
        })
    }

    fn slot_bytes(&mut self, node: &Node) -> Option<Size> {
        let size: Size = self.parse(node)?;
        // struct tc_netem_slot of <linux/pkt_sched.h> has 31 bits for it.
        if i32::try_from(size.bytes()).is_err() {
            self.say(
                &node.at,
                format!("{size}: a slot lets through less than 2 GiB"),
            );
            return None;
        }
        Some(size)
    }

    fn interval(&mut self, node: &Node, fields: &Fields<'_>) -> Option<Interval> {
        let by_law = fields.get("distribution").is_some();
        let others: &[&str] = if by_law {
            &["min-delay", "max-delay"]
        } else {
            &["delay", "jitter"]
        };
        for (key, _) in others.iter().filter_map(|name| fields.entry(name)) {
            let what = if by_law {
                format!("{} beside distribution: delay and jitter say it", key.name)
            } else {
                format!(
                    "{} without distribution: min-delay and max-delay say it",
                    key.name
                )
            };
            self.say(&key.at, what);
        }
        if !by_law {
            if fields.lacks("min-delay") && others.iter().all(|name| fields.lacks(name)) {
                self.say(&node.at, "slot needs a min-delay, such as min-delay: 10ms");
            }
            let min = fields
                .get("min-delay")
                .and_then(|node| self.hold_time(node));
            let max = self.part(fields, "max-delay", Self::hold_time);
            let (min_delay, max_delay) = (min?, max?.or(min)?);
            if max_delay < min_delay {
                let at = fields.get("max-delay").unwrap_or(node);
                self.say(&at.at, "max-delay is shorter than min-delay");
                return None;
            }
            return Some(Interval::Range {
                min_delay,
                max_delay,
            });
        }
        let [delay, jitter] = ["delay", "jitter"].map(|name| {
            if fields.lacks(name) {
                let what = format!("slot needs {name} beside distribution, such as {name}: 10ms");
                self.say(&node.at, what);
            }
            self.hold_time(fields.get(name)?)
        });
        let law = fields.get("distribution").and_then(|node| {
            let law = self.distribution(node)?;
            if law == Distribution::Uniform {
                let what = "a uniform slot: min-delay and max-delay say it";
                self.say(&node.at, what);
                return None;
            }
            Some(law)
        });
        Some(Interval::Law {
            distribution: law?,
            delay: delay?,
            jitter: jitter?,
        })
    }
}

/// What is left of 100 %.
fn rest(share: Option<Percent>) -> Percent {
    share
        .and_then(|share| Percent::new(100.0 - share.get()))
        .unwrap_or(Percent::ALL)
}
