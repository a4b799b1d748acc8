//! A fault hits the packets it names and no others: peers, ports, protocol, flags, flows,
//! interfaces, exceptions; many faults at once, over each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use support::ping::ping;
use support::statistics::assert_rate;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Lab, Node, Options, Run};

/// A child of another test is another program by then.
const LONG: Duration = Duration::from_secs(20);

/// Whether the datagrams of a flow arrive: all of them or none.
#[track_caller]
fn passes(from: &Node, to: &Node, asked: &Flow) -> Result<bool> {
    let asked = Flow {
        datagrams: 4,
        settle: Duration::from_millis(100),
        ..asked.clone()
    };
    let seen = flow(from, to, &asked)?;
    assert!([0, 4].contains(&seen.received), "all or nothing: {seen:?}");
    Ok(seen.received == 4)
}

fn to_port(family: Family, port: u16) -> Flow {
    Flow {
        family,
        port,
        ..Flow::default()
    }
}

/// For each fault, which of the flows (remote port, local port) pass under it.
#[test]
fn ports_ranges_and_exceptions_say_which_flows_are_hit() -> Result<()> {
    let lab = Lab::new("ports")?;
    let daemon = Daemon::start(&Options::default())?;
    let flows = [(5432, 40_000), (8000, 40_001), (8100, 40_002), (8101, 5432)];
    for (flags, expected) in [
        ("--port 5432", [false, true, true, true]),
        ("--port 8000-8100", [true, false, false, true]),
        ("--port 5432 --port 8101", [false, true, true, false]),
        (
            "--port 8000-8101 --not-port 8100",
            [true, false, true, false],
        ),
        ("--not-port 5432", [true, false, false, false]),
        ("--local-port 5432", [true, true, true, false]),
        ("--local-port 40000-40001", [false, false, true, true]),
        ("--not-local-port 40002", [false, false, true, false]),
        (
            "--port 8000-8200 --local-port 40002",
            [true, true, false, true],
        ),
        ("--protocol tcp", [true; 4]),
        ("--protocol udp", [false; 4]),
        ("--protocol icmp", [true; 4]),
    ] {
        let run = Run::inject(&daemon, lab.target(), &format!("drop --rate 100% {flags}"))?;
        for family in Family::BOTH {
            for ((remote, local), expected) in flows.into_iter().zip(expected) {
                let there = Flow {
                    source_port: local,
                    ..to_port(family, remote)
                };
                let back = Flow {
                    source_port: remote,
                    ..to_port(family, local)
                };
                let seen = [
                    passes(lab.target(), lab.peer(), &there)?,
                    passes(lab.peer(), lab.target(), &back)?,
                ];
                assert_eq!(
                    seen, [expected; 2],
                    "{flags}, {family:?}, remote port {remote}, local port {local}"
                );
            }
        }
        drop(run.revert()?);
    }
    Ok(())
}

#[test]
fn peers_are_addresses_networks_and_exceptions() -> Result<()> {
    let lab = Lab::with_bystander("peers")?;
    let daemon = Daemon::start(&Options::default())?;
    // Of the peer and of the bystander.
    let [a, b] = [
        ("198.18.0.2", "fd00:c4a0:0:0::2"),
        ("198.18.1.2", "fd00:c4a0:0:1::2"),
    ];
    for (flags, expected) in [
        (format!("--peer {} --peer {}", a.0, a.1), [false, true]),
        (format!("--peer {} --peer {}", b.0, b.1), [true, false]),
        (
            "--peer 198.18.0.0/24 --peer fd00:c4a0::/64".to_owned(),
            [false, true],
        ),
        (
            "--peer 198.18.0.0/15 --peer fd00::/8".to_owned(),
            [false, false],
        ),
        ("--peer 0.0.0.0/0 --peer ::/0".to_owned(), [false, false]),
        (
            format!(
                "--peer 198.18.0.0/15 --peer fd00::/8 --not-peer {} --not-peer {}",
                b.0, b.1
            ),
            [false, true],
        ),
        (
            "--not-peer 198.18.0.0/24 --not-peer fd00:c4a0::/64".to_owned(),
            [true, false],
        ),
        ("--peer 10.0.0.0/8".to_owned(), [true, true]),
        ("--interface eth0".to_owned(), [false, true]),
        ("--interface eth1".to_owned(), [true, false]),
        (
            "--interface eth0 --interface eth1".to_owned(),
            [false, false],
        ),
    ] {
        let run = Run::inject(&daemon, lab.target(), &format!("drop --rate 100% {flags}"))?;
        for family in Family::BOTH {
            for (other, expected) in lab.peers().iter().zip(expected) {
                let asked = to_port(family, 0);
                let seen = [
                    passes(lab.target(), other, &asked)?,
                    passes(other, lab.target(), &asked)?,
                ];
                assert_eq!(
                    seen,
                    [expected; 2],
                    "{flags}, {family:?}, {}",
                    other.netns()
                );
            }
        }
        drop(run.revert()?);
    }
    Ok(())
}

#[test]
fn a_host_name_stands_for_all_its_addresses() -> Result<()> {
    let lab = Lab::new("names")?;
    let daemon = Daemon::start(&Options::default())?;
    let flags = "drop --rate 100% --protocol udp --peer localhost --interface lo";
    let run = Run::inject(&daemon, lab.target(), flags)?;
    let here = lab.target().enter(|| -> std::io::Result<bool> {
        let receiver = UdpSocket::bind("127.0.0.1:0")?;
        receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
        UdpSocket::bind("127.0.0.1:0")?.send_to(b"hello", receiver.local_addr()?)?;
        Ok(receiver.recv(&mut [0; 8]).is_ok())
    })??;
    let told = run.revert()?;
    assert!(!here, "{told:?}");
    assert!(told.total(0).affected > 0, "{told:?}");
    Ok(())
}

#[test]
fn protocols_and_flags_tell_packets_apart() -> Result<()> {
    let lab = Lab::new("flags")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let address = SocketAddr::new(lab.peer().address_facing(lab.target(), family)?, 0);
        let listener = lab.peer().enter(|| TcpListener::bind(address))??;
        let address = listener.local_addr()?;
        // Whether ICMP, UDP and a TCP connection get through.
        let seen = || -> Result<[bool; 3]> {
            let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(600));
            Ok([
                ping(lab.target(), lab.peer(), family, 1)? == 1,
                passes(lab.target(), lab.peer(), &to_port(family, 0))?,
                lab.target().enter(connect)?.is_ok(),
            ])
        };
        for (flags, expected) in [
            ("--protocol icmp", [false, true, true]),
            ("--protocol udp", [true, false, true]),
            ("--protocol tcp", [true, true, false]),
            ("--protocol sctp", [true, true, true]),
            ("--flags syn,!ack", [true, true, false]),
            ("--flags syn,ack", [true, true, false]),
            ("--flags rst", [true, true, true]),
            ("--flags fin,rst", [true, true, true]),
        ] {
            let flags = format!("drop --rate 100% {flags}");
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            assert_eq!(seen()?, expected, "{family:?} {flags}");
            drop(run.revert()?);
        }
    }
    Ok(())
}

/// A port that we have just had: a child that another test starts has it too until it is another program.
fn bind(at: SocketAddr) -> std::io::Result<UdpSocket> {
    let in_use = |bound: &std::io::Result<UdpSocket>| matches!(bound, Err(error) if error.kind() == std::io::ErrorKind::AddrInUse);
    let mut bound = UdpSocket::bind(at);
    let since = Instant::now();
    while in_use(&bound) && since.elapsed() < LONG {
        std::thread::sleep(Duration::from_millis(10));
        bound = UdpSocket::bind(at);
    }
    bound
}

/// Of `count` flows, each of three datagrams from a port of its own, how many of each arrived.
fn per_flow(from: &Node, to: &Node, family: Family, count: u16) -> Result<BTreeMap<u16, u32>> {
    const FIRST: u16 = 20_000;
    let there = SocketAddr::new(to.address_facing(from, family)?, 7000);
    let here = from.address_facing(to, family)?;
    let receiver = to.enter(|| bind(there))??;
    receiver.set_read_timeout(Some(Duration::from_millis(300)))?;
    let mut arrived: BTreeMap<u16, u32> = (FIRST..FIRST + count).map(|port| (port, 0)).collect();
    from.enter(|| -> Result<()> {
        for port in FIRST..FIRST + count {
            let sender = bind(SocketAddr::new(here, port))?;
            for _ in 0..3 {
                sender.send_to(b"hello", there).context("refused")?;
            }
        }
        Ok(())
    })??;
    while let Ok((_, source)) = receiver.recv_from(&mut [0; 8]) {
        *arrived.entry(source.port()).or_default() += 1;
    }
    Ok(arrived)
}

/// Which flows are chosen follows from the seed and the flow alone, and these are always the same.
#[test]
fn a_share_of_flows_is_hit_always_and_the_others_never() -> Result<()> {
    const FLOWS: u16 = 100;
    let lab = Lab::new("flows")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let flags = "drop --rate 100% --protocol udp --flows 20%";
        let run = Run::inject(&daemon, lab.target(), flags)?;
        let first = per_flow(lab.target(), lab.peer(), family, FLOWS)?;
        let again = per_flow(lab.target(), lab.peer(), family, FLOWS)?;
        drop(run.revert()?);
        assert_eq!(first, again, "the same flows are hit the second time");
        assert!(
            first.values().all(|arrived| [0, 3].contains(arrived)),
            "a flow is hit whole or not at all: {first:?}"
        );
        let hit = first.values().filter(|arrived| **arrived == 0).count() as u64;
        assert_rate(&format!("{family:?}"), FLOWS.into(), 0.2, hit);
    }
    Ok(())
}

#[test]
fn faults_that_overlap_add_up_and_come_and_go_alone() -> Result<()> {
    let lab = Lab::new("overlap")?;
    let daemon = Daemon::start(&Options::default())?;
    let asked = Flow {
        datagrams: 20_000,
        port: 7000,
        ..Flow::default()
    };
    let one = Run::inject(
        &daemon,
        lab.target(),
        "drop --rate 50% --protocol udp --direction out",
    )?;
    // The second of its profile, so that its dice are not the first one's for the same seed.
    let other = Run::faults(
        &daemon,
        lab.target(),
        "  - {name: spare, drop: {rate: 100%}, match: {ports: [7001]}}\n  \
         - {name: half, drop: {rate: 50%}, match: {ports: [7000]}}",
    )?;
    let seen = flow(lab.target(), lab.peer(), &asked)?;
    assert_rate("both", seen.sent, 0.75, seen.lost());
    drop(one.revert()?);
    let seen = flow(lab.target(), lab.peer(), &asked)?;
    assert_rate("the second alone", seen.sent, 0.5, seen.lost());
    let told = other.revert()?;
    assert_eq!(told.word("/faults/0/verdict"), "ineffective", "{told:?}");
    assert_eq!(told.word("/faults/1/verdict"), "effective", "{told:?}");
    let seen = flow(lab.target(), lab.peer(), &asked)?;
    assert_eq!(seen.lost(), 0, "{seen:?}");
    Ok(())
}

#[test]
fn two_hundred_and_fifty_six_faults_each_hit_their_own_port() -> Result<()> {
    let lab = Lab::new("many")?;
    let daemon = Daemon::start(&Options::default())?;
    let mut faults = String::new();
    for n in 0..256 {
        writeln!(
            faults,
            "  - {{name: f{n}, drop: {{rate: 100%}}, match: {{ports: [{}]}}}}",
            20_000 + n
        )?;
    }
    let run = Run::faults(&daemon, lab.target(), &faults)?;
    let one_more = Run::inject(&daemon, lab.target(), "drop --rate 100% --port 1");
    assert!(one_more.is_err(), "a plane holds 256 faults");
    for family in Family::BOTH {
        for (port, expected) in [
            (19_999, true),
            (20_000, false),
            (20_063, false),
            (20_064, false),
            (20_255, false),
            (20_256, true),
        ] {
            let asked = to_port(family, port);
            assert_eq!(
                passes(lab.target(), lab.peer(), &asked)?,
                expected,
                "{port}"
            );
        }
    }
    let told = run.revert()?;
    for (n, affected) in [(0, 8), (1, 0), (63, 8), (64, 8), (254, 0), (255, 8)] {
        assert_eq!(told.total(n).affected, affected, "fault {n}");
    }
    assert!(passes(
        lab.target(),
        lab.peer(),
        &to_port(Family::V4, 20_000)
    )?);
    Ok(())
}

#[test]
fn ten_thousand_peers_in_one_fault_are_all_found() -> Result<()> {
    let lab = Lab::with_bystander("crowd")?;
    let daemon = Daemon::start(&Options::default())?;
    let mut peers: Vec<IpAddr> = (0..5_000_u32)
        .map(|n| IpAddr::from((0x0a00_0000 + n * 7).to_be_bytes()))
        .collect();
    for n in 0..4_998_u16 {
        peers.push(format!("fd77::{n:x}:1").parse()?);
    }
    for family in Family::BOTH {
        peers.push(lab.peer().address_facing(lab.target(), family)?);
    }
    let list: Vec<_> = peers.iter().map(|peer| format!("\"{peer}\"")).collect();
    let faults = format!(
        "  - {{partition: {{}}, match: {{peers: [{}]}}}}",
        list.join(", ")
    );
    let run = Run::faults(&daemon, lab.target(), &faults)?;
    for family in Family::BOTH {
        let asked = to_port(family, 0);
        assert!(!passes(lab.target(), lab.peer(), &asked)?);
        assert!(!passes(lab.peer(), lab.target(), &asked)?);
        assert!(passes(lab.target(), lab.bystander(), &asked)?);
    }
    drop(run.revert()?);
    Ok(())
}
