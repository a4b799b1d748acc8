//! The delays of a fault that has one for each peer.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;

use crate::profile::{
    MOST_BY_PEER, Match, Mean, Peer,
    problem::{Found, Mistake, Place, quote},
    tree::{Key, Node, Value},
};

use super::{matching::nothing_left, read::Fields};

impl Found {
    /// `time`, or `by-peer` in its place. `jitter`: whether there is one; `None`: nobody can tell.
    pub(super) fn mean(
        &mut self,
        key: &Key,
        fields: &Fields<'_>,
        jitter: Option<bool>,
    ) -> Option<Mean> {
        if fields.lacks("time") && fields.lacks("by-peer") {
            self.say(&key.at, "delay needs a time, such as time: 100ms");
        }
        // Only a jitter can make something of a mean of 0.
        let time = fields.get("time").map(|node| match jitter {
            Some(false) => self.delay_without_jitter(node),
            _ => self.hold_time(node),
        });
        let Some((key, node)) = fields.entry("by-peer") else {
            return time?.map(Mean::Time);
        };
        let times = self.by_peer(node)?;
        if time.is_some() {
            self.say(&key.at, "by-peer beside time: one of them decides");
        }
        if jitter == Some(false) && times.values().all(Duration::is_zero) {
            self.say(
                &key.at,
                "delays of 0 for all peers without jitter do nothing: give more, or a jitter",
            );
            return None;
        }
        Some(Mean::ByPeer(times))
    }

    /// A map of peers and times; or a list of `PEERS=TIME`, as flags write it, where parameters fit.
    fn by_peer(&mut self, node: &Node) -> Option<BTreeMap<IpNet, Duration>> {
        let mut times = Times::default();
        match &node.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if key.name.is_empty() {
                        times.broken = true;
                        continue;
                    }
                    self.times(&key.at, &key.name, node, &mut times);
                }
            }
            Value::List(items) => {
                for item in items {
                    self.pair(item, &mut times);
                }
            }
            Value::Text(_) => self.pair(node, &mut times),
            Value::Empty => {}
            Value::Broken => return None,
        }
        if times.broken {
            return None;
        }
        if times.count == 0 {
            self.say(
                &node.at,
                "by-peer without a peer: give each its time, as in {10.1.0.0/16: 2ms}",
            );
            return None;
        }
        if times.count > MOST_BY_PEER {
            let what = format!("{} peers: by-peer takes {MOST_BY_PEER}", times.count);
            self.say(&node.at, what);
            return None;
        }
        Some(times.read)
    }

    /// `PEERS=TIME`
    fn pair(&mut self, item: &Node, times: &mut Times) {
        let Some(text) = self.text(item) else {
            times.broken = true;
            return;
        };
        let Some((peers, time)) = text.rsplit_once('=') else {
            let what = format!("{} is not PEER=TIME, as in 10.1.0.0/16=2ms", quote(text));
            self.say(&item.at, what);
            times.broken = true;
            return;
        };
        let time = Node::text(item.at.clone(), time.trim());
        self.times(&item.at, peers, &time, times);
    }

    /// The time of one peer, or of several divided by commas.
    fn times(&mut self, at: &Place, peers: &str, time: &Node, times: &mut Times) {
        let time = self.hold_time(time);
        for word in peers.split(',') {
            times.count += 1;
            match (self.keep(at, network(word)), time) {
                (Some(net), Some(time)) => {
                    if times.read.insert(net, time).is_some() {
                        let net = Peer::Net(net).to_string();
                        self.say(at, format!("the peer {} is given twice", quote(&net)));
                        times.broken = true;
                    }
                }
                _ => times.broken = true,
            }
        }
    }

    /// What `match` may say beside `by-peer`.
    pub(super) fn beside_by_peer(
        &mut self,
        times: &BTreeMap<IpNet, Duration>,
        matching: &Match,
        node: Option<&Node>,
    ) {
        let Some(node) = node else { return };
        if let Some(peers) = node.get("peers") {
            self.say(
                &peers.at,
                "peers beside by-peer: the peers are those of by-peer",
            );
        }
        let peers: Vec<Peer> = times.keys().copied().map(Peer::Net).collect();
        if let Some(not_peers) = node.get("not-peers")
            && nothing_left(&peers, &matching.not_peers)
        {
            self.say(
                &not_peers.at,
                "not-peers takes out all of by-peer: nothing is left to match",
            );
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Times {
    read: BTreeMap<IpNet, Duration>,
    /// Peers, good or bad.
    count: usize,
    /// A problem was reported.
    broken: bool,
}

fn network(word: &str) -> Result<IpNet, Mistake> {
    match word.parse()? {
        Peer::Net(net) => Ok(net),
        Peer::Name(name) => Err(Mistake::new(format!(
            "{} is a host name: by-peer takes addresses and CIDRs",
            quote(&name)
        ))),
    }
}
