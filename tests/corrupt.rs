//! Bits flip: so that the receiver's checksum fails, or so that it does not and the application
//! reads them, on veth and on lo, with checksum offload and without.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{setsockopt, sockopt};
use support::counters::Counters;
use support::statistics::assert_rate;
use support::tcp::{Bulk, bulk};
use support::{Daemon, Family, Lab, Node, Options, Run};

const SIZE: usize = 200;

/// What became of datagrams full of zeroes.
#[derive(Debug, Default)]
struct Read {
    sent: u64,
    arrived: u64,
    /// Bits set in each of those that arrived with any.
    flipped: Vec<u32>,
}

/// Numbers would be hit like the rest, so that these carry none: every bit that arrives set was
/// flipped on the way.
fn zeroes(from: &Node, to: &Node, addresses: [SocketAddr; 2], count: u64) -> Result<Read> {
    let sender = from.enter(|| UdpSocket::bind(addresses[0]))??;
    let receiver = to.enter(|| UdpSocket::bind(addresses[1]))??;
    setsockopt(&receiver, sockopt::RcvBufForce, &(32 << 20))?;
    // What a busy machine delivers later is read with the next burst, or at the end.
    receiver.set_read_timeout(Some(Duration::from_millis(2)))?;
    let destination = receiver.local_addr()?;
    let mut read = Read::default();
    let mut buffer = [0; SIZE + 1];
    while read.sent < count {
        for _ in 0..50 {
            sender
                .send_to(&[0; SIZE], destination)
                .context("a datagram was refused")?;
            read.sent += 1;
        }
        for _ in 0..50 {
            match receiver.recv(&mut buffer) {
                Ok(length) => read.take(&buffer[..length])?,
                Err(_) => break,
            }
            if read.arrived == read.sent {
                break;
            }
        }
    }
    receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
    while let Ok(length) = receiver.recv(&mut buffer) {
        read.take(&buffer[..length])?;
    }
    Ok(read)
}

impl Read {
    fn take(&mut self, payload: &[u8]) -> Result<()> {
        if payload.len() != SIZE {
            bail!("a datagram of {SIZE} bytes arrived with {}", payload.len());
        }
        self.arrived += 1;
        let bits: u32 = payload.iter().map(|byte| byte.count_ones()).sum();
        if bits > 0 {
            self.flipped.push(bits);
        }
        Ok(())
    }
}

/// Checksums that UDP found wrong, over both IPs.
fn wrong_sums(node: &Node) -> Result<u64> {
    let counters = Counters::read(node)?;
    Ok(counters.get("UdpInCsumErrors") + counters.get("Udp6InCsumErrors"))
}

fn offloads(nodes: [&Node; 2], on: bool) -> Result<()> {
    let word = if on { "on" } else { "off" };
    for node in nodes {
        let output = node.enter(|| {
            let args = ["-K", "eth0", "tx", word, "rx", word];
            std::process::Command::new("ethtool").args(args).output()
        })??;
        if !output.status.success() {
            bail!("ethtool: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

/// Runs the flow under both modes and judges what arrives.
fn both_modes_hold(
    daemon: &Daemon,
    lab: &Lab,
    (from, to): (&Node, &Node),
    addresses: [SocketAddr; 2],
    matching: &str,
) -> Result<()> {
    const SENT: u64 = 4_000;
    const BITS: u32 = 3;
    let flags = format!("corrupt --rate 10% --bits {BITS} --mode undetected {matching}");
    let before = wrong_sums(to)?;
    let run = Run::inject(daemon, lab.target(), &flags)?;
    let read = zeroes(from, to, addresses, SENT)?;
    let told = run.revert()?.total(0);
    let hit = read.flipped.len() as u64;
    assert_eq!(
        read.arrived, read.sent,
        "undetected, nothing is lost: {matching}"
    );
    assert_eq!(wrong_sums(to)?, before, "the checksum is right: {matching}");
    assert_eq!(
        (told.matched, told.affected),
        (read.sent, hit),
        "{matching}"
    );
    assert_rate(matching, read.sent, 0.1, hit);
    // Two of the flips may meet in one bit and undo each other: one in 1,600 pairs.
    let exact = read.flipped.iter().filter(|bits| **bits == BITS).count() as u64;
    assert!(
        read.flipped.iter().all(|bits| *bits <= BITS),
        "{matching}: {read:?}"
    );
    assert!(exact * 100 >= hit * 98, "{matching}: {exact} of {hit}");

    let flags = format!("corrupt --rate 10% --bits {BITS} --mode detected {matching}");
    let run = Run::inject(daemon, lab.target(), &flags)?;
    let read = zeroes(from, to, addresses, SENT)?;
    let told = run.revert()?.total(0);
    let lost = read.sent - read.arrived;
    assert!(
        read.flipped.is_empty(),
        "the application reads no flipped bit: {matching}"
    );
    assert_eq!(
        wrong_sums(to)? - before,
        lost,
        "each loss is a wrong checksum: {matching}"
    );
    assert_eq!(
        (told.matched, told.affected),
        (read.sent, lost),
        "{matching}"
    );
    assert_rate(matching, read.sent, 0.1, lost);
    Ok(())
}

fn over_veth(name: &str, offload: bool) -> Result<()> {
    let lab = Lab::new(name)?;
    offloads([lab.target(), lab.peer()], offload)?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction) in [
        (lab.target(), lab.peer(), "out"),
        (lab.peer(), lab.target(), "in"),
    ] {
        for family in Family::BOTH {
            let addresses = [
                SocketAddr::new(from.address_facing(to, family)?, 0),
                SocketAddr::new(to.address_facing(from, family)?, 0),
            ];
            let matching = format!("--protocol udp --direction {direction}");
            both_modes_hold(&daemon, &lab, (from, to), addresses, &matching)
                .with_context(|| format!("{family:?} {direction}"))?;
        }
    }
    Ok(())
}

#[test]
fn both_modes_do_what_they_say_with_checksum_offload() -> Result<()> {
    over_veth("corrupt-offload", true)
}

#[test]
fn both_modes_do_what_they_say_without_checksum_offload() -> Result<()> {
    over_veth("corrupt-software", false)
}

#[test]
fn both_modes_do_what_they_say_on_lo() -> Result<()> {
    let lab = Lab::new("corrupt-lo")?;
    let daemon = Daemon::start(&Options::default())?;
    for (address, direction) in [
        ("127.0.0.1", "out"),
        ("127.0.0.1", "in"),
        ("::1", "out"),
        ("::1", "in"),
    ] {
        let address = SocketAddr::new(address.parse()?, 0);
        let matching = format!("--protocol udp --interface lo --direction {direction}");
        both_modes_hold(
            &daemon,
            &lab,
            (lab.target(), lab.target()),
            [address; 2],
            &matching,
        )
        .with_context(|| format!("{address} {direction}"))?;
    }
    Ok(())
}

#[test]
fn two_percent_of_the_segments_of_a_bulk_transfer_fail_their_checksum() -> Result<()> {
    let lab = Lab::new("corrupt-tcp")?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction) in [
        (lab.target(), lab.peer(), "out"),
        (lab.peer(), lab.target(), "in"),
    ] {
        for family in Family::BOTH {
            let what = format!("{family:?} {direction}");
            let flags = format!("corrupt --rate 2% --protocol tcp --direction {direction}");
            let before = Counters::read(to)?;
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            let asked = Bulk {
                family,
                bytes: 1_450 * u64::from(support::sample(200_000)),
                ..Bulk::default()
            };
            let seen = bulk(from, to, &asked)?;
            drop(run.revert()?);
            let wrong = Counters::read(to)?.since(&before, "TcpInCsumErrors");
            assert!(seen.is_whole(), "{what}: {seen:?}");
            assert!(
                seen.data_segments >= u64::from(support::sample(200_000)),
                "{what}: {seen:?}"
            );
            assert_rate(&what, seen.data_segments, 0.02, wrong);
            assert_rate(&what, seen.data_segments, 0.02, seen.lost());
        }
    }
    Ok(())
}

#[test]
fn flipped_bits_of_a_bulk_transfer_reach_the_application_undetected() -> Result<()> {
    let lab = Lab::new("corrupt-stream")?;
    let daemon = Daemon::start(&Options::default())?;
    for (from, to, direction, side) in [
        (lab.target(), lab.peer(), "out", 1),
        (lab.peer(), lab.target(), "in", 0),
    ] {
        for family in Family::BOTH {
            let what = format!("{family:?} {direction}");
            let flags = format!(
                "corrupt --rate 2% --mode undetected --protocol tcp --direction {direction}"
            );
            let before = Counters::read(to)?;
            let run = Run::inject(&daemon, lab.target(), &flags)?;
            let asked = Bulk {
                family,
                bytes: 30_000_000,
                ..Bulk::default()
            };
            let seen = bulk(from, to, &asked)?;
            let told = run.revert()?.counts(0)[side];
            assert_eq!(
                Counters::read(to)?.since(&before, "TcpInCsumErrors"),
                0,
                "{what}"
            );
            assert_eq!(seen.cut_short, None, "{what}");
            assert_eq!(seen.received, 30_000_000, "{what}");
            assert_rate(&what, told.matched, 0.02, told.affected);
            // One bit each; the SYN and the FIN have no payload, and a segment that is sent twice
            // counts once.
            assert!(
                seen.wrong <= told.affected && seen.wrong * 100 >= told.affected * 98,
                "{what}: {seen:?} {told:?}"
            );
        }
    }
    Ok(())
}
