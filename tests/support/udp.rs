//! A flow of numbered datagrams from one node to another, and what arrived of it.
//!
//! With no fault every datagram arrives: the receiver's buffer holds tens of thousands of them,
//! and the sender waits after each burst until the receiver has caught up, or until nothing has
//! moved for a while, as when datagrams are lost or held.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::{SockType, setsockopt, sockopt};

use crate::node::{Family, Node};
use crate::pin::on_one_cpu;

/// Well under what a veth end queues (256 packets, `drivers/net/veth.c`).
const BURST: u32 = 64;
/// A burst that has not moved for this long is taken for lost or held.
const QUIET: Duration = Duration::from_micros(300);
/// Over 50,000 small datagrams; the root user may go past `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 64 << 20;
/// Number and complement, so that a datagram whose number was hit is not taken for another.
const SIZE_MIN: usize = 8;

/// What to send.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Over which IP.
    pub family: Family,
    /// How many.
    pub datagrams: u32,
    /// Bytes of payload, at least 8.
    pub size: usize,
    /// Where to; 0: any free port.
    pub port: u16,
    /// Where from; 0: any free port.
    pub source_port: u16,
    /// Datagrams in a second; none: as fast as the receiver takes them.
    pub rate: Option<u32>,
    /// How long to wait after the last arrival, at least the longest delay of a fault.
    pub settle: Duration,
}

impl Default for Flow {
    fn default() -> Self {
        Self {
            family: Family::V4,
            datagrams: 10_000,
            size: 64,
            port: 0,
            source_port: 0,
            rate: None,
            settle: Duration::from_millis(300),
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Datagrams that the kernel refused, which an honest loss never causes.
    pub send_errors: u64,
    /// Distinct datagrams that arrived whole.
    pub received: u64,
    /// Arrivals beyond the first of a datagram.
    pub duplicated: u64,
    /// First arrivals behind a later datagram.
    pub reordered: u64,
    /// Arrivals whose payload is not what was sent.
    pub corrupted: u64,
}

impl Delivered {
    /// Datagrams sent of which nothing arrived.
    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.corrupted)
    }
}

/// Sends the flow and waits for what arrives of it.
///
/// # Errors
/// When the sockets cannot be made or read. A datagram that the kernel refuses is counted.
pub fn flow(from: &Node, to: &Node, flow: &Flow) -> Result<Delivered> {
    let bind = |node: &Node, other: &Node, port| -> Result<UdpSocket> {
        let address = SocketAddr::new(node.address_facing(other, flow.family)?, port);
        Ok(node.bind(SockType::Datagram, address)?.into())
    };
    let sender = bind(from, to, flow.source_port)?;
    let receiver = bind(to, from, flow.port)?;
    setsockopt(&receiver, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .context("failed to enlarge the receive buffer")?;
    receiver
        .set_read_timeout(Some(Duration::from_millis(10)))
        .context("failed to set a timeout")?;
    let destination = receiver.local_addr().context("failed to read the port")?;

    let arrived = AtomicU64::new(0);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| receive(&receiver, flow, &arrived, &ended));
        let sending = on_one_cpu(|| {
            let counts = send(&sender, destination, flow, &arrived);
            settle(flow, counts.0, &arrived);
            counts
        });
        // Said before any error is returned, since the receiver is waited for.
        ended.store(true, Ordering::Release);
        let seen = counting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let (sent, send_errors) = sending?;
        Ok(Delivered {
            sent,
            send_errors,
            ..seen
        })
    })
}

/// Returns how many the kernel took and how many it refused.
fn send(socket: &UdpSocket, to: SocketAddr, flow: &Flow, arrived: &AtomicU64) -> (u64, u64) {
    let started = Instant::now();
    let mut payload = vec![0; flow.size.max(SIZE_MIN)];
    let (mut sent, mut errors, mut missing) = (0, 0, 0);
    for number in 0..flow.datagrams {
        fill(&mut payload, number);
        match socket.send_to(&payload, to) {
            Ok(_) => sent += 1,
            Err(_) => errors += 1,
        }
        match flow.rate {
            Some(rate) => {
                let due = Duration::from_secs(1) * (number + 1) / rate.max(1);
                std::thread::sleep(due.saturating_sub(started.elapsed()));
            }
            None if (number + 1) % BURST == 0 => missing = catch_up(sent, missing, arrived),
            None => {}
        }
    }
    (sent, errors)
}

/// Waits until all but those already `missing` have arrived, or until nothing moves; returns how
/// many are missing then.
fn catch_up(sent: u64, missing: u64, arrived: &AtomicU64) -> u64 {
    let mut last = arrived.load(Ordering::Acquire);
    let mut since = Instant::now();
    while last + missing < sent && since.elapsed() < QUIET {
        std::thread::sleep(Duration::from_micros(20));
        let now = arrived.load(Ordering::Acquire);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    sent.saturating_sub(last)
}

/// Waits until everything has arrived or nothing has moved for [`Flow::settle`].
fn settle(flow: &Flow, sent: u64, arrived: &AtomicU64) {
    let mut last = arrived.load(Ordering::Acquire);
    let mut since = Instant::now();
    while last < sent && since.elapsed() < flow.settle {
        std::thread::sleep(Duration::from_millis(1));
        let now = arrived.load(Ordering::Acquire);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

fn receive(
    socket: &UdpSocket,
    flow: &Flow,
    arrived: &AtomicU64,
    ended: &AtomicBool,
) -> Result<Delivered> {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    let mut seen = vec![false; flow.datagrams as usize];
    let mut expected = vec![0; flow.size.max(SIZE_MIN)];
    let mut buffer = vec![0; 65_536];
    let mut highest = None;
    let mut delivered = Delivered::default();
    loop {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), Interrupted | TimedOut | WouldBlock) => {
                if ended.load(Ordering::Acquire) {
                    return Ok(delivered);
                }
                continue;
            }
            Err(error) => return Err(error).context("failed to receive"),
        };
        arrived.fetch_add(1, Ordering::Release);
        let payload = &buffer[..length];
        let number = payload
            .first_chunk()
            .map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes));
        fill(&mut expected, number);
        match seen.get_mut(number as usize) {
            Some(seen) if payload == expected => {
                if std::mem::replace(seen, true) {
                    delivered.duplicated += 1;
                } else {
                    delivered.received += 1;
                    delivered.reordered += u64::from(highest > Some(number));
                    highest = highest.max(Some(number));
                }
            }
            _ => delivered.corrupted += 1,
        }
    }
}

/// The payload of a datagram follows from its number.
fn fill(payload: &mut [u8], number: u32) {
    payload.fill(number.to_le_bytes()[0] ^ 0x5a);
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload[4..8].copy_from_slice(&(!number).to_be_bytes());
}
