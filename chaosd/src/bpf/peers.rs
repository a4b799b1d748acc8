//! Which faults name which remote address, as entries of a longest-prefix-match trie.
//!
//! A trie returns only the longest prefix that covers an address, so each entry holds the union
//! over all prefixes that cover it, less the exceptions that do. Pure: computes the entries and
//! what changed.

use std::collections::{BTreeMap, HashMap};

use chaosd_ebpf::{Bits, MAX_FAULTS};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::matcher::PeerSet;

/// The peers of every fault of a plane.
#[derive(Debug, Default)]
pub(super) struct Peers {
    sets: BTreeMap<u8, PeerSet>,
    installed: HashMap<IpNet, Bits>,
}

/// What to write into the tries.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub write: Vec<(IpNet, Bits)>,
    pub remove: Vec<IpNet>,
}

impl Peers {
    /// Sets (`Some`) or forgets the peers of fault `n`, and says what to write.
    pub(super) fn change(&mut self, n: u8, set: Option<PeerSet>) -> Changes {
        match set {
            Some(set) => self.sets.insert(n, set),
            None => self.sets.remove(&n),
        };
        let wanted = self.entries();
        let changes = Changes {
            write: wanted
                .iter()
                .filter(|(net, bits)| self.installed.get(net) != Some(bits))
                .map(|(net, bits)| (*net, *bits))
                .collect(),
            remove: self
                .installed
                .keys()
                .filter(|net| !wanted.contains_key(net))
                .copied()
                .collect(),
        };
        self.installed = wanted;
        changes
    }

    /// Entries per family: is the trie worth a look-up?
    pub(super) fn families(&self) -> (bool, bool) {
        let v4 = self.installed.keys().any(|n| matches!(n, IpNet::V4(_)));
        let v6 = self.installed.keys().any(|n| matches!(n, IpNet::V6(_)));
        (v4, v6)
    }

    fn entries(&self) -> HashMap<IpNet, Bits> {
        #[derive(Clone, Copy, Default)]
        struct Own {
            include: Bits,
            except: Bits,
        }
        let mut own: HashMap<IpNet, Own> = HashMap::new();
        let everybody = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        for (&n, set) in &self.sets {
            debug_assert!(usize::from(n) < MAX_FAULTS);
            let all = if set.include.is_empty() {
                &everybody[..]
            } else {
                &[]
            };
            for net in set.include.iter().chain(all) {
                own.entry(net.trunc()).or_default().include.set(n);
            }
            for net in &set.except {
                own.entry(net.trunc()).or_default().except.set(n);
            }
        }
        // Only the prefix lengths in use are asked for: a few look-ups per entry, however many there are.
        let mut lengths: [Vec<u8>; 2] = Default::default();
        for net in own.keys() {
            let l = &mut lengths[usize::from(matches!(net, IpNet::V6(_)))];
            if !l.contains(&net.prefix_len()) {
                l.push(net.prefix_len());
            }
        }
        own.keys()
            .map(|net| {
                let (mut include, mut except) = (Bits::NONE, Bits::NONE);
                for &len in &lengths[usize::from(matches!(net, IpNet::V6(_)))] {
                    if len > net.prefix_len() {
                        continue;
                    }
                    if let Some(o) = supernet(net, len).and_then(|s| own.get(&s)) {
                        include = include.or(&o.include);
                        except = except.or(&o.except);
                    }
                }
                (*net, include.without(&except))
            })
            .collect()
    }
}

fn supernet(net: &IpNet, len: u8) -> Option<IpNet> {
    IpNet::new(net.addr(), len).ok().map(|n| n.trunc())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "literals in tests")]
mod tests {
    use super::*;

    fn set(include: &[&str], except: &[&str]) -> PeerSet {
        let parse = |l: &[&str]| l.iter().map(|s| s.parse().unwrap()).collect();
        PeerSet {
            include: parse(include),
            except: parse(except),
        }
    }

    fn bits(faults: &[u8]) -> Bits {
        let mut b = Bits::NONE;
        for &n in faults {
            b.set(n);
        }
        b
    }

    /// What a trie would answer.
    fn lookup(p: &Peers, address: &str) -> Bits {
        let address: std::net::IpAddr = address.parse().unwrap();
        p.installed
            .iter()
            .filter(|(net, _)| net.contains(&address))
            .max_by_key(|(net, _)| net.prefix_len())
            .map_or(Bits::NONE, |(_, b)| *b)
    }

    #[test]
    fn the_longest_prefix_holds_the_union_of_all_that_cover_it() {
        let mut p = Peers::default();
        p.change(0, Some(set(&["10.0.0.0/8"], &[])));
        p.change(1, Some(set(&["10.2.0.0/16", "fd00::/8"], &[])));
        p.change(200, Some(set(&["10.2.3.4/32"], &[])));
        assert_eq!(lookup(&p, "10.9.9.9"), bits(&[0]));
        assert_eq!(lookup(&p, "10.2.9.9"), bits(&[0, 1]));
        assert_eq!(lookup(&p, "10.2.3.4"), bits(&[0, 1, 200]));
        assert_eq!(lookup(&p, "fd12::1"), bits(&[1]));
        assert_eq!(lookup(&p, "11.0.0.1"), Bits::NONE);
    }

    #[test]
    fn an_exception_wins_over_every_prefix_below_and_above_it() {
        let mut p = Peers::default();
        p.change(
            3,
            Some(set(&["10.0.0.0/8", "10.2.3.0/24"], &["10.2.0.0/16"])),
        );
        assert_eq!(lookup(&p, "10.3.0.1"), bits(&[3]));
        assert_eq!(lookup(&p, "10.2.0.1"), Bits::NONE);
        assert_eq!(lookup(&p, "10.2.3.1"), Bits::NONE);
    }

    #[test]
    fn exceptions_alone_mean_everybody_else() {
        let mut p = Peers::default();
        p.change(0, Some(set(&[], &["192.0.2.0/24"])));
        assert_eq!(lookup(&p, "8.8.8.8"), bits(&[0]));
        assert_eq!(lookup(&p, "2001:db8::1"), bits(&[0]));
        assert_eq!(lookup(&p, "192.0.2.7"), Bits::NONE);
    }

    #[test]
    fn a_fault_that_goes_takes_only_its_own_bits() {
        let mut p = Peers::default();
        p.change(0, Some(set(&["10.0.0.0/8"], &[])));
        p.change(1, Some(set(&["10.2.0.0/16"], &[])));
        let c = p.change(0, None);
        assert_eq!(c.remove, vec!["10.0.0.0/8".parse::<IpNet>().unwrap()]);
        assert_eq!(c.write, vec![("10.2.0.0/16".parse().unwrap(), bits(&[1]))]);
        assert_eq!(p.change(1, None).write, vec![]);
        assert_eq!(p.families(), (false, false));
    }
}
