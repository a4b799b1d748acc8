//! Real sockets ask a server that is not there, and are answered.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use chaosd_ebpf::{
    HOLDS, Hold,
    dns::{ANSWER_ADDRESSES, HAS_A, HAS_AAAA},
};

use super::*;
use crate::{bpf::Mechanism, netlink::tests::skipped};

/// Configures the namespace of this thread.
#[track_caller]
fn ip(arguments: &str) {
    let done = Command::new("ip")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments}: {said}");
}

/// A plane on a device with addresses and a neighbour that never says a word.
fn in_a_silent_net(test: impl FnOnce(&mut Wire<'_>) + Send) {
    if Mechanism::of_this_kernel() != Mechanism::Tcx {
        return skipped("a plane by itself puts its programs onto interfaces by tcx alone");
    }
    on_a_plane(|bench| {
        ip("link set lo up");
        ip("link add eth0 type veth peer name silent");
        ip("link set silent up");
        ip("link set eth0 address 02:00:00:00:00:01 up");
        ip("addr add 198.18.0.1/24 dev eth0");
        ip("addr add fd00::1/64 dev eth0 nodad");
        for address in ["198.18.0.53", "fd00::53"] {
            ip(&format!(
                "neigh add {address} lladdr 02:00:00:00:00:53 dev eth0"
            ));
        }
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        test(&mut Wire::at(bench, index, "eth0"));
    });
}

/// The answer to a query, and how long it took; `None`: there was none for a while.
#[track_caller]
fn ask(server: &str, message: &[u8]) -> Option<(Vec<u8>, Duration)> {
    let server: IpAddr = server.parse().unwrap();
    let own: IpAddr = match server {
        IpAddr::V4(_) => "0.0.0.0".parse().unwrap(),
        IpAddr::V6(_) => "::".parse().unwrap(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(own, 0)).unwrap();
    // From a connected socket: what another address or port says is not for it.
    socket.connect(SocketAddr::new(server, 53)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let start = Instant::now();
    socket.send(message).unwrap();
    let mut answer = [0; 1024];
    let len = socket.recv(&mut answer).ok()?;
    Some((answer[..len].to_vec(), start.elapsed()))
}

fn addresses() -> DnsRule {
    let mut rule = rule(ANSWER_ADDRESSES, &["db.internal"], &[]);
    rule.program.has = HAS_A | HAS_AAAA;
    rule.program.ttl = 5;
    rule.program.a = [192, 0, 2, 1];
    rule.program.aaaa = [0xfd; 16];
    rule
}

/// Asks for what the fault answers, and for what it does not.
#[track_caller]
fn check(wire: &Wire<'_>, n: u8, servers: &[&str]) {
    let before = wire.affected(n).1;
    for server in servers {
        for edns in [false, true] {
            for (qtype, data) in [(A, &[192, 0, 2, 1][..]), (AAAA, &[0xfd; 16])] {
                let mut message = query("Db.Internal", qtype);
                let question = message.len();
                if edns {
                    message = with_edns(message);
                }
                let (answer, took) =
                    ask(server, &message).unwrap_or_else(|| panic!("no answer from {server}"));
                println!("{server} answered {} octets after {took:?}", answer.len());
                assert_eq!(answer[2..8], [0x81, 0x80, 0, 1, 0, 1]);
                assert_eq!(answer[12..question], message[12..question]);
                let found = &answer[question + 12..][..data.len()];
                assert_eq!(found, data, "{server} {qtype}");
            }
        }
    }
    let asked = u64::try_from(servers.len() * 4).unwrap();
    assert_eq!(wire.affected(n).1 - before, asked);
}

const SILENT: [&str; 2] = ["198.18.0.53", "fd00::53"];

#[test]
fn a_server_that_is_not_there_answers() {
    in_a_silent_net(|wire| {
        let n = wire.install(&addresses());
        check(wire, n, &SILENT);
        for server in SILENT {
            let other = ask(server, &query("elsewhere.example", A));
            assert!(other.is_none(), "nobody answers that");
        }
        // Checksums are added up by the sockets now, and no more by the device.
        let done = Command::new("ethtool")
            .args(["-K", "eth0", "tx", "off"])
            .output()
            .unwrap();
        assert!(done.status.success());
        check(wire, n, &SILENT);
    });
}

#[test]
fn on_loopback_a_server_that_is_not_there_answers() {
    in_a_silent_net(|wire| {
        let n = wire.install(&addresses());
        check(wire, n, &["127.0.0.53", "::1"]);
    });
}

#[test]
fn what_a_queue_held_is_answered_too() {
    in_a_silent_net(|wire| {
        wire.bench.use_a_pair();
        let late = Fault {
            flags: HOLDS,
            hold: Hold {
                time_ns: 50_000_000,
                ..Hold::default()
            },
            ..fault()
        };
        let holds = Matcher {
            holds: true,
            ..matching()
        };
        let n = wire.install_as(holds, late, &addresses());
        check(wire, n, &SILENT);
        assert_eq!(wire.bench.held(), 8);
    });
}

#[test]
fn on_a_device_without_an_ethernet_header_a_server_that_is_not_there_answers() {
    if std::fs::File::open("/dev/net/tun").is_err() {
        return skipped("this kernel has no tun");
    }
    in_a_silent_net(|wire| {
        // Nobody is at the other end of it.
        ip("tuntap add mode tun dev tunnel");
        ip("link set tunnel up");
        ip("addr add 198.19.0.1/24 dev tunnel");
        let tunnel = Interface {
            index: nix::net::if_::if_nametoindex("tunnel").unwrap(),
            name: "tunnel".into(),
            mtu: 1500,
            ethernet: false,
            loopback: false,
            default: true,
        };
        wire.bench.plane.attach(&tunnel).unwrap();
        let n = wire.install(&addresses());
        check(wire, n, &["198.19.0.53"]);
    });
}
