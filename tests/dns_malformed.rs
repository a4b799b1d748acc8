//! Queries that are none: cut at each byte, with loops, with too much or too little in them. Each
//! passes as it is, and what the server makes of it comes back.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use support::dns::malformed::{extreme, malformed, odd};
use support::dns::message;
use support::{Daemon, Family, Lab, Node, Options, Run, wait_until};

use crate::dns_scene::{Names, needs_dns};

/// A server that says nothing for so long has answered what it answers.
const QUIET: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(10);

/// What comes back for each, from sockets of their own, until all have come or nothing more does.
fn answers(
    from: &Node,
    server: SocketAddr,
    queries: &[(String, Vec<u8>)],
) -> Result<Vec<Option<Vec<u8>>>> {
    let sockets = queries
        .iter()
        .map(|(_, bytes)| {
            let socket = message::socket(from, server)?;
            socket.set_nonblocking(true)?;
            socket.send(bytes)?;
            Ok(socket)
        })
        .collect::<Result<Vec<UdpSocket>>>()?;
    let mut all: Vec<Option<Vec<u8>>> = vec![None; sockets.len()];
    let mut heard = Instant::now();
    let _all_answered = wait_until(LONG, || {
        for (socket, answer) in sockets.iter().zip(&mut all) {
            if answer.is_none() {
                *answer = message::receive(socket).ok().flatten();
                if answer.is_some() {
                    heard = Instant::now();
                }
            }
        }
        all.iter().all(Option::is_some) || heard.elapsed() > QUIET
    });
    Ok(all)
}

#[test]
fn the_server_is_heard_on_each_malformed_query_as_without_a_fault() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-malformed")?;
    let queries = malformed();
    for family in Family::BOTH {
        let server = SocketAddr::new(names.address(family)?, 53);
        let before = answers(names.target(), server, &queries)?;
        ensure!(before.iter().any(Option::is_some), "the server is silent");
        let run = names.arm("answer: refused")?;
        let under = answers(names.target(), server, &queries)?;
        for ((what, _), (before, under)) in queries.iter().zip(before.iter().zip(&under)) {
            ensure!(
                before == under,
                "{family:?}, {what}: {before:x?}, then {under:x?}"
            );
        }
        for ((what, _), answer) in
            extreme()
                .iter()
                .zip(answers(names.target(), server, &extreme())?)
        {
            let code = answer.as_deref().and_then(message::code);
            ensure!(code == Some(5), "{family:?}, {what}: {answer:x?}");
        }
        let told = run.revert()?;
        let hit = u64::try_from(extreme().len())?;
        ensure!(told.total(0).affected == hit, "{family:?}: {told:?}");
    }
    Ok(())
}

/// A server that is none: it hands everything back with a mark behind it.
fn mirror(socket: &UdpSocket, count: usize) -> Result<()> {
    socket.set_read_timeout(Some(LONG))?;
    let mut buffer = [0; 4096];
    for _ in 0..count {
        let (length, from) = socket
            .recv_from(&mut buffer)
            .context("one did not arrive")?;
        socket.send_to(&[&buffer[..length], b"mirrored"].concat(), from)?;
    }
    Ok(())
}

/// What comes back for each from a mirror at the socket.
fn mirrored(
    from: &Node,
    socket: &UdpSocket,
    queries: &[(String, Vec<u8>)],
) -> Result<Vec<Option<Vec<u8>>>> {
    let address = socket.local_addr()?;
    std::thread::scope(|scope| {
        let mirror = scope.spawn(|| mirror(socket, queries.len()));
        let seen = answers(from, address, queries);
        mirror
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        seen
    })
}

#[test]
fn each_malformed_query_arrives_byte_for_byte() -> Result<()> {
    let lab = Lab::new("dns-mirror")?;
    let daemon = Daemon::start(&Options::default())?;
    let queries = malformed();
    for answer in ["nxdomain", "drop"] {
        for family in Family::BOTH {
            let address = SocketAddr::new(lab.peer().address_facing(lab.target(), family)?, 53);
            let socket = lab.peer().enter(|| UdpSocket::bind(address))??;
            let fault = format!("  - dns: {{answer: {answer}}}");
            let run = Run::faults(&daemon, lab.target(), &fault)?;
            let seen = mirrored(lab.target(), &socket, &queries)?;
            for ((what, bytes), seen) in queries.iter().zip(&seen) {
                let expected = [bytes, &b"mirrored"[..]].concat();
                ensure!(
                    seen.as_ref() == Some(&expected),
                    "{answer}, {family:?}, {what}: {seen:x?}"
                );
            }
            let told = run.revert()?;
            ensure!(
                told.total(0).affected == 0,
                "{answer}, {family:?}: {told:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_label_with_a_dot_in_it_is_not_two_labels() -> Result<()> {
    let lab = Lab::new("dns-dot")?;
    let daemon = Daemon::start(&Options::default())?;
    let address = SocketAddr::new(lab.peer().address_facing(lab.target(), Family::V4)?, 53);
    let socket = lab.peer().enter(|| UdpSocket::bind(address))??;
    let fault = "  - dns: {names: [api.payments.example, \"*.internal\"], answer: nxdomain}";
    let run = Run::faults(&daemon, lab.target(), fault)?;
    let queries = odd();
    let seen = mirrored(lab.target(), &socket, &queries)?;
    for ((what, _), seen) in queries.iter().zip(&seen) {
        let came_back = seen
            .as_ref()
            .is_some_and(|seen| seen.ends_with(b"mirrored"));
        ensure!(came_back, "{what}: {seen:x?}");
    }
    drop(run.revert()?);
    Ok(())
}
