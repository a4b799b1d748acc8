//! A bulk transfer, judged by the sender's own `TCP_INFO` and by every byte that arrived.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::TcpCongestion};

use super::socket::{connect, listen};
use crate::node::{Family, Node};
use crate::pin::on_one_cpu;
use crate::sys::tcp_info;

/// A prime number of bytes, so that no power of two of lost or repeated bytes goes unseen.
const PATTERN: usize = 65_521;

/// What to transfer.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Over which IP.
    pub family: Family,
    /// How much.
    pub bytes: u64,
    /// Where to; 0: any free port.
    pub port: u16,
    /// Where from; 0: any free port.
    pub source_port: u16,
    /// What the receiver has buffers for. The default keeps fewer segments in flight than a veth
    /// end queues (256), so that every loss is the fault's.
    pub window: usize,
    /// The sender's congestion control (tcp(7)); none: the kernel's default.
    pub congestion: Option<&'static str>,
    /// After so long without progress the transfer is given up.
    pub timeout: Duration,
}

impl Default for Bulk {
    fn default() -> Self {
        Self {
            family: Family::V4,
            bytes: 10_000_000,
            port: 0,
            source_port: 0,
            window: 128 << 10,
            congestion: None,
            timeout: Duration::from_secs(20),
        }
    }
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Transferred {
    /// Segments with data that the sender sent, retransmissions included (`tcpi_data_segs_out`).
    pub data_segments: u64,
    /// All segments that the sender sent (`tcpi_segs_out`).
    pub segments: u64,
    /// Of those, retransmissions (`tcpi_total_retrans`).
    pub retransmits: u64,
    /// Of those, the ones which the receiver says it had already (`tcpi_dsack_dups`, RFC 2883).
    pub needless: u64,
    /// Bytes that arrived, in order.
    pub received: u64,
    /// Of those, bytes that are not what was sent.
    pub wrong: u64,
    /// From the first byte to the receiver's goodbye.
    pub elapsed: Duration,
    /// Why it ended before the last byte; none when it did not.
    pub cut_short: Option<String>,
}

impl Transferred {
    /// Segments that had to be sent again because the first did not arrive. A busy machine adds
    /// probes and early retransmissions, which the receiver reports as needless.
    pub fn lost(&self) -> u64 {
        self.retransmits.saturating_sub(self.needless)
    }

    /// Whether every byte arrived as it was sent.
    pub fn is_whole(&self) -> bool {
        self.cut_short.is_none() && self.wrong == 0
    }
}

/// Transfers from one node to another.
///
/// # Errors
/// When the connection cannot be made. One that breaks later is reported in the result.
pub fn bulk(from: &Node, to: &Node, bulk: &Bulk) -> Result<Transferred> {
    on_one_cpu(|| transfer(from, to, bulk))?
}

fn transfer(from: &Node, to: &Node, bulk: &Bulk) -> Result<Transferred> {
    let remote = SocketAddr::new(to.address_facing(from, bulk.family)?, bulk.port);
    let local = SocketAddr::new(from.address_facing(to, bulk.family)?, bulk.source_port);
    let listener = listen(to, remote, bulk.window, bulk.timeout)?;
    let remote = listener.local_addr().context("failed to read the port")?;
    let pattern = pattern();
    let started = Instant::now();

    std::thread::scope(|scope| {
        let arriving = scope.spawn(|| receive(&listener, &pattern, bulk.timeout));
        let mut stream = connect(from, local, remote, bulk.timeout)?;
        if let Some(congestion) = bulk.congestion {
            setsockopt(&stream, TcpCongestion, &congestion.into())
                .with_context(|| format!("failed to send by {congestion}"))?;
        }
        let sent = send(&mut stream, &pattern, bulk.bytes);
        let elapsed = started.elapsed();
        let info = tcp_info(stream.as_fd()).context("failed to read TCP_INFO")?;
        drop(stream);
        let (received, wrong, broken) = arriving
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let short = (received < bulk.bytes).then(|| format!("{received} bytes of {}", bulk.bytes));
        Ok(Transferred {
            data_segments: info.tcpi_data_segs_out.into(),
            segments: info.tcpi_segs_out.into(),
            retransmits: info.tcpi_total_retrans.into(),
            needless: info.tcpi_dsack_dups.into(),
            received,
            wrong,
            elapsed,
            cut_short: sent
                .err()
                .map(|error| format!("sender: {error}"))
                .or(broken)
                .or(short),
        })
    })
}

/// Sends everything, and returns when the receiver has closed its end: all is acknowledged then.
fn send(stream: &mut TcpStream, pattern: &[u8], bytes: u64) -> std::io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let chunk = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(pattern.len());
        stream.write_all(&pattern[..chunk])?;
        left -= chunk as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// Returns bytes received, bytes wrong, and why it broke off.
fn receive(
    listener: &TcpListener,
    pattern: &[u8],
    timeout: Duration,
) -> (u64, u64, Option<String>) {
    let (mut received, mut wrong) = (0, 0);
    let mut receive = || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(timeout))?;
        let mut buffer = vec![0; PATTERN];
        let mut position = 0;
        loop {
            // Never past the end of the pattern, so that one comparison does.
            let length = stream.read(&mut buffer[..PATTERN - position])?;
            if length == 0 {
                return Ok(());
            }
            let expected = &pattern[position..position + length];
            if buffer[..length] != *expected {
                wrong += buffer
                    .iter()
                    .zip(expected)
                    .filter(|(got, sent)| got != sent)
                    .count() as u64;
            }
            received += length as u64;
            position = (position + length) % PATTERN;
        }
    };
    let broken = receive().err().map(|error| format!("receiver: {error}"));
    (received, wrong, broken)
}

/// Bytes that repeat at no shorter distance (xorshift32, Marsaglia 2003).
fn pattern() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(next).take(PATTERN).collect()
}
