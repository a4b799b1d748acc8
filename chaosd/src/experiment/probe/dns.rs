//! A query for a name's addresses over UDP: A first, then AAAA.
//!
//! It is made here rather than by the C library, which cannot be interrupted, asks twice, and may
//! answer from a cache or a file.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use tokio::net::UdpSocket;

use super::{
    Look, Seen,
    dns_message::{A, AAAA, answers, query},
};
use crate::profile::units::DomainName;

/// A datagram without EDNS is no longer (RFC 1035 §4.2.1); some servers send more.
const LONGEST: usize = 4096;

pub(super) async fn look(
    name: &DomainName,
    server: Option<SocketAddr>,
    expected: &[IpAddr],
) -> Look {
    let server = match server {
        Some(server) => server,
        None => first_server()?,
    };
    let types: &[u16] = match expected {
        [] => &[A, AAAA],
        all if all.iter().all(IpAddr::is_ipv6) => &[AAAA],
        all if all.iter().all(IpAddr::is_ipv4) => &[A],
        _ => &[A, AAAA],
    };
    let mut found = Vec::new();
    for kind in types {
        found.extend(ask(name, server, *kind).await?);
        let enough = if expected.is_empty() {
            !found.is_empty()
        } else {
            expected.iter().any(|address| found.contains(address))
        };
        if enough {
            return Ok(Seen::Answered);
        }
    }
    if found.is_empty() {
        return Err("no address".to_owned());
    }
    let words: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    Err(format!("the answer is {}", words.join(", ")))
}

async fn ask(name: &DomainName, server: SocketAddr, kind: u16) -> Result<Vec<IpAddr>, String> {
    let told = |error: std::io::Error| error.to_string();
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await.map_err(told)?;
    socket.connect(server).await.map_err(told)?;
    let id = RandomState::new().hash_one(Instant::now()).to_be_bytes();
    let id = u16::from_be_bytes([id[0], id[1]]);
    let query = query(id, name.wire(), kind);
    socket.send(&query).await.map_err(told)?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(told)?;
        // Another's answer is not ours.
        if let Some(answer) = answers(&buffer[..length], &query, kind) {
            return answer;
        }
    }
}

/// Of `/etc/resolv.conf` (resolv.conf(5)).
fn first_server() -> Result<SocketAddr, String> {
    let file = "/etc/resolv.conf";
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let server = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let is_server = words.next() == Some("nameserver");
        is_server.then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    server
        .map(|server| SocketAddr::new(server, 53))
        .ok_or_else(|| format!("{file} names no server"))
}
