//! What a device without an Ethernet header can carry.

use super::*;
use crate::profile::{self, Overrides};

/// What is said of a fault on a tunnel, which has no Ethernet header.
fn on_a_tunnel(fault: &str) -> Result<Vec<String>, PlanError> {
    let text = format!("version: 1\nfaults:\n  - {fault}\n");
    let profile = profile::load("test", &text, &Overrides::default()).unwrap();
    let scope = Scope {
        interfaces: vec![Interface {
            index: 7,
            name: "tun0".into(),
            mtu: 1500,
            ethernet: false,
            loopback: false,
            default: true,
        }],
        ..Scope::of_a_test()
    };
    let spec = &profile.faults[0];
    let rule = fault::rule(spec, &scope, 1, false, 0).unwrap().unwrap();
    let mut notes = Vec::new();
    check_interfaces(spec, &rule, &scope, &mut notes).map(|()| notes)
}

#[test]
fn what_takes_a_device_of_ours_needs_an_ethernet_header() {
    for fault in [
        "delay: 5ms",
        "reorder: 5%",
        "bandwidth: 5mbit",
        "netem: {loss: 5%}",
        "corrupt: 5%",
    ] {
        let refused = on_a_tunnel(fault);
        assert!(
            matches!(&refused, Err(PlanError::NoEthernet { interface, .. }) if interface == "tun0"),
            "{fault}: {refused:?}"
        );
    }
    assert!(on_a_tunnel("partition: {}").unwrap().is_empty());
    assert!(on_a_tunnel("dns: drop").unwrap().is_empty());
    assert!(on_a_tunnel("dns: nxdomain").unwrap()[0].contains("queries over TCP pass on tun0"));
    for fault in ["drop: 5%", "duplicate: 5%"] {
        assert!(on_a_tunnel(fault).unwrap()[0].contains("per whole buffer"));
    }
}
