//! The classifier: no fault, no match, many faults, peers, ports and cgroups.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use chaosd::{
    bpf::{Matcher, PeerSet, Plane},
    profile::units::PortSet,
};
use ipnet::IpNet;

use crate::{
    meter::{Cost, Meter},
    packet, plane,
    table::Table,
};

const FAULTS: u16 = 256;
const PEERS_EACH: u16 = 40;

/// The packet of a family, leaving or arriving.
type Segment = fn(bool) -> Vec<u8>;
const FAMILIES: [(&str, Segment); 2] = [("IPv4", packet::tcp4), ("IPv6", packet::tcp6)];

pub fn run() -> Result<bool> {
    plane::leave_the_network()?;
    let meter = Meter::new()?;
    let mut table = Table::default();
    for (family, segment) in FAMILIES {
        for (hook, inbound) in [("egress", false), ("ingress", true)] {
            let bytes = segment(inbound);
            let cost = |plane: &Plane| {
                let program = plane
                    .program(hook)
                    .context("the plane has no such program")?;
                meter.cost(program, &bytes)
            };
            let say = |what: &str| format!("{family} {hook}: {what}");
            rows(&mut table, say, cost)?;
        }
    }
    print!("{table}");
    println!(
        "\nThe buffer of a test run has a socket, in the cgroup of this process. One namespace holds \
         {FAULTS} faults,\nand so at most {FAULTS} cgroups."
    );
    Ok(table.holds())
}

fn rows(
    table: &mut Table,
    say: impl Fn(&str) -> String,
    cost: impl Fn(&Plane) -> Result<Cost>,
) -> Result<()> {
    table.cost(say("no fault armed"), cost(&plane::unarmed()?)?, Some(1.7));

    let other_port = Matcher {
        ports: ports(1, 1),
        ..matcher()
    };
    table.cost(
        say("armed, no match by port"),
        cost(&plane::armed([other_port])?)?,
        Some(3.0),
    );
    let other_peer = Matcher {
        peers: Some(peers(0, 1)),
        ..matcher()
    };
    table.cost(
        say("armed, no match by peer"),
        cost(&plane::armed([other_peer])?)?,
        None,
    );
    table.cost(
        say("armed, 1 fault matches"),
        cost(&plane::armed([matcher()])?)?,
        None,
    );

    let many = (0..FAULTS).map(|n| Matcher {
        peers: Some(peers(n, PEERS_EACH)),
        ..matcher()
    });
    table.cost(
        say("256 faults, 10,240 peers, 1 match"),
        cost(&plane::armed(many)?)?,
        Some(15.0),
    );
    let all = (0..FAULTS).map(|_| matcher());
    table.cost(
        say("256 faults, all match"),
        cost(&plane::armed(all)?)?,
        None,
    );

    let one = Matcher {
        ports: ports(packet::PORT, packet::PORT),
        ..matcher()
    };
    let all = Matcher {
        ports: ports(1, u16::MAX),
        ..matcher()
    };
    let one = cost(&plane::armed([one])?)?;
    table.cost(say("1 port"), one, None);
    table.against(
        say("65,535 ports against 1"),
        cost(&plane::armed([all])?)?,
        one,
        1.3,
    );

    let cgroup = |n: u16| Matcher {
        cgroup: Some((1 << 40 | u64::from(n), 2)),
        ..matcher()
    };
    let one = cost(&plane::armed([cgroup(0)])?)?;
    table.cost(say("1 cgroup"), one, None);
    let many = cost(&plane::armed((0..FAULTS).map(cgroup))?)?;
    table.against(say("256 cgroups against 1"), many, one, 1.3);
    Ok(())
}

fn matcher() -> Matcher {
    Matcher {
        directions: [true; 2],
        ..Matcher::default()
    }
}

fn ports(first: u16, last: u16) -> Option<PortSet> {
    PortSet::new([(first, last)])
}

/// `count` addresses of each family for fault `n`; the packet's is one of fault 200's.
fn peers(n: u16, count: u16) -> PeerSet {
    let mut set = PeerSet::default();
    for i in 0..count {
        let [high, low] = n.to_be_bytes();
        let [_, host] = i.to_be_bytes();
        set.include
            .insert(IpNet::from(std::net::IpAddr::from(Ipv4Addr::new(
                10, high, low, host,
            ))));
        let v6 = Ipv6Addr::new(0xfd00, 10, high.into(), low.into(), 0, 0, 0, host.into());
        set.include.insert(IpNet::from(std::net::IpAddr::from(v6)));
    }
    set
}
