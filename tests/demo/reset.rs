//! `reset`: new connections are refused, established ones break at both ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use support::{Family, Node, tcp};

use crate::row::{Group, Row, Seen};
use crate::words;

const ATTEMPTS: u64 = 50;
const CONNECTIONS: u64 = 25;
const PATIENCE: Duration = Duration::from_secs(2);
const WINDOW: usize = 128 << 10;

pub fn connections() -> Group {
    let mut rows = Row::each_way("reset new", "all", |scene, family, direction| {
        let fault = format!(
            "reset --flags syn --protocol tcp --direction {}",
            direction.word()
        );
        let (from, to) = scene.ends(direction);
        let listener = listen(to, from, family)?;
        let (refused, beside) = scene.under(&fault, || {
            let mut refused = 0;
            for _ in 0..ATTEMPTS {
                let attempt = connect(from, to, family, &listener);
                refused += u64::from(attempt.is_err_and(|error| is_reset(&error)));
            }
            Ok(refused)
        })?;
        Ok(Seen {
            measured: format!("{} of {ATTEMPTS} refused", words::grouped(refused)),
            off: "exact".to_owned(),
            holds: refused == ATTEMPTS,
            beside,
        })
    });
    rows.extend(Row::each_way(
        "reset old",
        "all",
        |scene, family, direction| {
            let fault = format!("reset --protocol tcp --direction {}", direction.word());
            // The packet that is answered by resets goes in the fault's direction.
            let (from, to) = scene.ends(direction);
            let listener = listen(to, from, family)?;
            let mut pairs = Vec::new();
            for _ in 0..CONNECTIONS {
                let client = connect(from, to, family, &listener)?;
                let (server, _) = listener.accept().context("failed to accept")?;
                server
                    .set_read_timeout(Some(PATIENCE))
                    .context("failed to set a timeout")?;
                pairs.push((client, server));
            }
            let (broken, beside) = scene.under(&fault, || {
                let mut broken = 0;
                for (client, server) in &mut pairs {
                    // An error is a reset that was quicker, which reading tells too.
                    drop(client.write_all(b"x"));
                    broken += u64::from(breaks(client)) + u64::from(breaks(server));
                }
                Ok(broken)
            })?;
            Ok(Seen {
                measured: format!("{broken} of {} ends broken", CONNECTIONS * 2),
                off: "exact".to_owned(),
                holds: broken == CONNECTIONS * 2,
                beside,
            })
        },
    ));
    Group {
        title: "TCP: connections that were reset",
        rows,
    }
}

fn listen(node: &Node, other: &Node, family: Family) -> Result<TcpListener> {
    let address = SocketAddr::new(node.address_facing(other, family)?, 0);
    tcp::listen(node, address, WINDOW, PATIENCE)
}

fn connect(from: &Node, to: &Node, family: Family, listener: &TcpListener) -> Result<TcpStream> {
    let local = SocketAddr::new(from.address_facing(to, family)?, 0);
    let remote = listener.local_addr().context("failed to read the port")?;
    tcp::connect(from, local, remote, PATIENCE)
}

/// A SYN answered by RST is ECONNREFUSED (connect(2)).
fn is_reset(error: &anyhow::Error) -> bool {
    use nix::errno::Errno::{ECONNREFUSED, ECONNRESET};
    error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<nix::errno::Errno>(),
            Some(&ECONNREFUSED | &ECONNRESET)
        )
    })
}

/// Whether reading from the connection says that it was reset. The byte sent before may arrive.
fn breaks(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 16];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}
