//! DNS over TCP, and what is encrypted: connections are reset or lost, since names cannot be
//! answered there.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::dns::{Seen, message};
use support::{Daemon, Family, Lab, Node, Options, Run, wait_until};

use crate::dns_scene::{Names, assert_sound, needs_dns};

const NAME: &str = "api.payments.example";
const PATIENCE: Duration = Duration::from_secs(10);
/// What is lost has not come by then.
const QUIET: Duration = Duration::from_millis(400);

#[test]
fn a_query_over_tcp_is_reset_or_lost_and_other_names_are_answered() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-tcp")?;
    for answer in [
        "nxdomain",
        "servfail",
        "refused",
        "empty",
        "{A: 192.0.2.1}",
        "drop",
    ] {
        let run = names.arm(&format!("names: [{NAME}], answer: {answer}"))?;
        for family in Family::BOTH {
            for options in ["+tcp", "+tcp +noedns", "+tcp +dnssec +keepalive"] {
                let what = format!("{answer} {family:?} {options}");
                let seen = names.dig(family)?.ask(&format!("{NAME} A {options}"))?;
                let as_asked = match answer {
                    "drop" => matches!(seen, Seen::Nothing),
                    _ => matches!(seen, Seen::Reset),
                };
                ensure!(as_asked, "{what}: {seen:?}");
                let other = names
                    .dig(family)?
                    .ask(&format!("other.example A {options}"))?;
                let other = other.answer();
                ensure!(other.data("A").len() == 1, "{what}: {other:?}");
                assert_sound(&other)?;
            }
        }
        let told = run.revert()?;
        ensure!(told.total(0).affected >= 6, "{answer}: {told:?}");
        for family in Family::BOTH {
            let seen = names.dig(family)?.ask(&format!("{NAME} A +tcp"))?.answer();
            ensure!(seen.data("A").len() == 1, "{answer}, afterwards: {seen:?}");
        }
    }
    ensure!(
        names.server.asked("other.example") > 0,
        "{}",
        names.server.log()
    );
    Ok(())
}

/// The target's end and the peer's end of a connection to port 53.
fn connection(lab: &Lab, listener: &TcpListener) -> Result<[TcpStream; 2]> {
    let address = listener.local_addr()?;
    let ours = lab
        .target()
        .enter(|| TcpStream::connect_timeout(&address, PATIENCE))??;
    let ends = [ours, listener.accept()?.0];
    for end in &ends {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
    }
    Ok(ends)
}

fn listen(node: &Node, other: &Node, family: Family, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::new(node.address_facing(other, family)?, port);
    Ok(node.enter(|| TcpListener::bind(address))??)
}

/// A message as it goes over TCP (RFC 1035, 4.2.2).
fn framed(name: &str) -> Result<Vec<u8>> {
    let query = message::query(7, name, message::A);
    let mut bytes = Vec::from(u16::try_from(query.len())?.to_be_bytes());
    bytes.extend(query);
    Ok(bytes)
}

fn pass(ends: &mut [TcpStream; 2], bytes: &[u8]) -> Result<()> {
    let [ours, theirs] = ends;
    ours.write_all(bytes)?;
    let mut arrived = vec![0; bytes.len()];
    theirs
        .read_exact(&mut arrived)
        .context("it did not arrive")?;
    ensure!(arrived == bytes, "changed on its way");
    Ok(())
}

#[test]
fn both_ends_are_reset_by_a_segment_with_a_whole_query_and_by_no_other() -> Result<()> {
    let lab = Lab::new("dns-segment")?;
    let daemon = Daemon::start(&Options::default())?;
    let fault = format!("  - dns: {{names: [{NAME}], answer: nxdomain}}");
    for family in Family::BOTH {
        let listener = listen(lab.peer(), lab.target(), family, 53)?;
        let run = Run::faults(&daemon, lab.target(), &fault)?;
        let (query, other) = (framed(NAME)?, framed("other.example")?);
        let mut ends = connection(&lab, &listener)?;
        pass(&mut ends, &other)?;
        // In halves: no segment has the whole of a query for the name.
        for cut in [1, 2, 14, 20, query.len() - 1] {
            let (one, two) = query.split_at(cut);
            pass(&mut ends, one).with_context(|| format!("first {cut} bytes"))?;
            pass(&mut ends, two).with_context(|| format!("all but {cut} bytes"))?;
        }
        drop(ends);
        // C libraries ask for both kinds of addresses at once (resolv.conf(5), use-vc).
        for asked in [query.clone(), [&other[..], &query[..]].concat()] {
            let mut ends = connection(&lab, &listener)?;
            ends[0].write_all(&asked)?;
            for end in &mut ends {
                let read = end.read(&mut [0; 64]).map_err(|error| error.kind());
                ensure!(
                    read == Err(ErrorKind::ConnectionReset),
                    "{family:?}: {read:?}"
                );
            }
        }
        let told = run.revert()?;
        ensure!(told.total(0).affected == 2, "{family:?}: {told:?}");
    }
    Ok(())
}

/// How a connection attempt ends.
fn connect(lab: &Lab, to: SocketAddr) -> Result<std::result::Result<(), ErrorKind>> {
    let attempt = lab
        .target()
        .enter(|| TcpStream::connect_timeout(&to, QUIET))?;
    Ok(attempt.map(drop).map_err(|error| error.kind()))
}

/// Whether a datagram of the target's arrives.
fn arrives(lab: &Lab, to: &UdpSocket) -> Result<bool> {
    let socket = message::socket(lab.target(), to.local_addr()?)?;
    socket.send(b"quic")?;
    to.set_read_timeout(Some(QUIET))?;
    Ok(to.recv(&mut [0; 16]).is_ok())
}

#[test]
fn encrypted_resolvers_are_cut_off_on_their_ports_and_by_their_addresses() -> Result<()> {
    let lab = Lab::with_bystander("dns-encrypted")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let mut listeners = Vec::new();
        for node in lab.peers() {
            for port in [853, 443, 8853] {
                let tcp = listen(node, lab.target(), family, port)?;
                let address = tcp.local_addr()?;
                listeners.push((address, tcp, node.enter(|| UdpSocket::bind(address))??));
            }
        }
        let resolver: IpAddr = lab.peer().address_facing(lab.target(), family)?;
        // Over TLS to everybody, over HTTPS to the listed resolvers alone.
        let hit = |address: &SocketAddr| match address.port() {
            853 => true,
            443 => address.ip() == resolver,
            _ => false,
        };
        for (way, end) in [
            ("drop", ErrorKind::TimedOut),
            ("reset", ErrorKind::ConnectionRefused),
        ] {
            let fault = format!("  - dns: {{encrypted: {way}, resolvers: [\"{resolver}\"]}}");
            let run = Run::faults(&daemon, lab.target(), &fault)?;
            for (address, _tcp, udp) in &listeners {
                let what = format!("{way} {address}");
                let expected = if hit(address) { Err(end) } else { Ok(()) };
                let seen = connect(&lab, *address)?;
                ensure!(seen == expected, "{what}: {seen:?}");
                let arrived = arrives(&lab, udp)?;
                ensure!(arrived != hit(address), "{what}: UDP arrived: {arrived}");
            }
            drop(run.revert()?);
            for (address, _tcp, udp) in &listeners {
                ensure!(connect(&lab, *address)?.is_ok(), "{address}, afterwards");
                ensure!(
                    wait_until(PATIENCE, || arrives(&lab, udp).is_ok_and(|arrived| arrived)),
                    "{address}, afterwards"
                );
            }
        }
    }
    Ok(())
}
