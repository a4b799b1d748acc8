//! Faults hold on lo as on a wire, in place and through the detour, and leave its sysctls as they
//! were.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use support::counters::Counters;
use support::{Daemon, Instance, Lab, Node, Options, Run, Snapshot, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

fn addresses() -> Result<[IpAddr; 2]> {
    Ok(["127.0.0.1".parse()?, "::1".parse()?])
}

/// A connection of the node to itself.
fn connection(node: &Node, address: IpAddr) -> Result<[TcpStream; 2]> {
    node.enter(|| -> Result<[TcpStream; 2]> {
        let listener = TcpListener::bind(SocketAddr::new(address, 0))?;
        let here = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
        let there = listener.accept()?.0;
        for end in [&here, &there] {
            end.set_read_timeout(Some(PATIENCE))?;
            end.set_write_timeout(Some(PATIENCE))?;
        }
        Ok([here, there])
    })?
}

#[test]
fn a_partition_of_lo_cuts_it_and_ends() -> Result<()> {
    let lab = Lab::new("lo-cut")?;
    let daemon = Daemon::start(&Options::default())?;
    for address in addresses()? {
        let passes = || -> Result<bool> {
            lab.target().enter(|| -> Result<bool> {
                let receiver = UdpSocket::bind(SocketAddr::new(address, 0))?;
                receiver.set_read_timeout(Some(Duration::from_millis(100)))?;
                let sender = UdpSocket::bind(SocketAddr::new(address, 0))?;
                sender.send_to(b"hello", receiver.local_addr()?)?;
                Ok(receiver.recv(&mut [0; 8]).is_ok())
            })?
        };
        // A peer of lo's own network brings lo in without being asked.
        for flags in ["--interface lo".to_owned(), format!("--peer {address}")] {
            let run = Run::inject(&daemon, lab.target(), &format!("partition {flags}"))?;
            assert!(!passes()?, "{address} {flags}");
            drop(run.revert()?);
            assert!(passes()?, "{address} {flags}");
        }
        let run = Run::inject(&daemon, lab.target(), "partition")?;
        assert!(passes()?, "{address}: lo is left out unless it is named");
        drop(run.revert()?);
    }
    Ok(())
}

#[test]
fn a_stream_over_lo_arrives_whole_though_its_segments_are_lost_and_corrupted() -> Result<()> {
    const BYTES: usize = 4_000_000;
    let lab = Lab::new("lo-stream")?;
    let daemon = Daemon::start(&Options::default())?;
    for address in addresses()? {
        for fault in ["drop --rate 5%", "corrupt --rate 5%"] {
            for direction in ["in", "out"] {
                let what = format!("{address} {fault} {direction}");
                let before = Counters::read(lab.target())?;
                let flags =
                    format!("{fault} --interface lo --protocol tcp --direction {direction}");
                let run = Run::inject(&daemon, lab.target(), &flags)?;
                let [mut here, mut there] = connection(lab.target(), address)?;
                let received = std::thread::scope(|scope| {
                    let reading = scope.spawn(move || -> std::io::Result<Vec<u8>> {
                        let mut all = Vec::new();
                        there.read_to_end(&mut all)?;
                        Ok(all)
                    });
                    here.write_all(&vec![0x5a; BYTES])?;
                    drop(here);
                    reading
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })?;
                let told = run.revert()?.total(0);
                assert_eq!(received.len(), BYTES, "{what}");
                assert!(received.iter().all(|byte| *byte == 0x5a), "{what}");
                assert!(told.affected > 0, "{what}: {told:?}");
                let wrong = Counters::read(lab.target())?.since(&before, "TcpInCsumErrors");
                let expected = if fault.starts_with("drop") {
                    0
                } else {
                    told.affected
                };
                assert_eq!(wrong, expected, "{what}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_connection_over_lo_is_reset_at_both_ends() -> Result<()> {
    let lab = Lab::new("lo-reset")?;
    let daemon = Daemon::start(&Options::default())?;
    for address in addresses()? {
        let [mut here, there] = connection(lab.target(), address)?;
        let run = Run::inject(&daemon, lab.target(), "reset --interface lo")?;
        here.write_all(b"hello")?;
        for mut end in [&here, &there] {
            let kind = end.read(&mut [0; 8]).map_err(|error| error.kind());
            assert_eq!(kind, Err(ErrorKind::ConnectionReset), "{address}");
        }
        drop(run.revert()?);
    }
    Ok(())
}

#[test]
fn the_sysctls_of_lo_are_written_back() -> Result<()> {
    let lab = Lab::new("lo-sysctl")?;
    let before = Snapshot::take(lab.target())?;
    let instance = Instance::new()?;
    let words = [
        "inject",
        "corrupt",
        "--rate",
        "1%",
        "--interface",
        "lo",
        "--for",
        "3s",
    ];
    let words = words.into_iter().chain(["--netns", lab.target().netns()]);
    let mut child = instance
        .command()?
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let changed = wait_until(PATIENCE, || {
        Snapshot::take(lab.target())
            .is_ok_and(|now| now.changes_since(&before).contains("accept_local"))
    });
    let status = child.wait()?;
    assert!(changed, "the detour of lo takes packets without a route");
    assert_eq!(status.code(), Some(5), "nothing passed on lo");
    Snapshot::take(lab.target())?.assert_same(&before);
    Ok(())
}
