//! Numbered packets at a steady pace, timed by the kernel that receives them.
//!
//! No thread has to be awake when one arrives, and echoes are answered by the kernel: what is
//! measured is the way, not the scheduler. Several pairs are probed in one breath, so that what
//! the machine does besides hits them all.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket as new_socket};
use support::{Node, last_arrival};

use super::scene::Pair;
use super::traffic::{address, equip, port, socket};

/// `ICMP_ECHO`. The kernel fills in the checksum and the identifier (icmp(7)).
const ECHO: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0];

/// A packet and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub sent: SystemTime,
    /// When the kernel received it, or its echo.
    pub arrived: Option<SystemTime>,
}

impl Sample {
    pub fn took(&self) -> Option<Duration> {
        // A clock that was set back while it was under way tells nothing.
        self.arrived?.duration_since(self.sent).ok()
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// ICMP echoes.
    RoundTrip,
    /// UDP datagrams.
    OneWay,
}

/// What to send.
pub struct Steady<'a> {
    pub way: Way,
    /// In turn; none: the peer's own address.
    pub to: &'a [Ipv4Addr],
    /// To each pair.
    pub count: u32,
    pub period: Duration,
    /// How long to wait for the last: longer than any delay.
    pub settle: Duration,
}

/// The way of one pair.
struct Lane {
    sender: UdpSocket,
    /// None: the sender is sent the echoes.
    receiver: Option<UdpSocket>,
    own: Ipv4Addr,
    port: u16,
    samples: Vec<Sample>,
}

impl Steady<'_> {
    /// Sends to all pairs and returns the samples of each; `meanwhile` runs on a thread beside it.
    pub fn run<T: Send, const N: usize>(
        &self,
        pairs: [&Pair; N],
        meanwhile: impl FnOnce() -> T + Send,
    ) -> Result<([Vec<Sample>; N], T)> {
        let lanes: Result<Vec<_>> = pairs
            .into_iter()
            .map(|pair| Lane::new(pair, self.way))
            .collect();
        let mut lanes = lanes?;
        let other = std::thread::scope(|scope| {
            let other = scope.spawn(meanwhile);
            let started = Instant::now();
            for number in 0..self.count {
                let due = started + self.period * number;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                for lane in &mut lanes {
                    lane.send(number, self.to);
                }
            }
            std::thread::sleep(self.settle);
            other.join()
        });
        let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut samples = [const { Vec::new() }; N];
        for (lane, samples) in lanes.iter_mut().zip(&mut samples) {
            lane.collect()?;
            *samples = std::mem::take(&mut lane.samples);
        }
        Ok((samples, other))
    }
}

impl Lane {
    fn new(pair: &Pair, way: Way) -> Result<Self> {
        let (sender, receiver) = match way {
            Way::RoundTrip => (echo_socket(pair.target())?, None),
            Way::OneWay => (socket(pair.target())?, Some(socket(pair.other())?)),
        };
        let reader = receiver.as_ref().unwrap_or(&sender);
        // It fails: nothing has arrived. From now on the kernel notes when something does.
        let _nothing_yet = last_arrival(reader.as_fd());
        Ok(Self {
            port: port(reader)?,
            own: address(pair)?,
            sender,
            receiver,
            samples: Vec::new(),
        })
    }

    fn send(&mut self, number: u32, to: &[Ipv4Addr]) {
        let to = match to {
            [] => self.own,
            some => some[number as usize % some.len()],
        };
        let mut packet = Vec::with_capacity(64);
        if self.receiver.is_none() {
            packet.extend(ECHO);
        }
        packet.extend(number.to_be_bytes());
        packet.resize(64, 0x55);
        self.samples.push(Sample {
            sent: SystemTime::now(),
            arrived: None,
        });
        // One that the kernel refuses does not arrive.
        drop(
            self.sender
                .send_to(&packet, SocketAddr::from((to, self.port))),
        );
    }

    /// Reads everything that has arrived.
    fn collect(&mut self) -> Result<()> {
        let head = if self.receiver.is_none() {
            ECHO.len()
        } else {
            0
        };
        let reader = self.receiver.as_ref().unwrap_or(&self.sender);
        reader
            .set_nonblocking(true)
            .context("failed to read without waiting")?;
        let mut buffer = [0; 128];
        while let Ok(length) = reader.recv(&mut buffer) {
            let number = buffer[..length].get(head..head + 4);
            let Some(&[a, b, c, d]) = number else {
                continue;
            };
            let number = u32::from_be_bytes([a, b, c, d]);
            let when = last_arrival(reader.as_fd()).context("a packet without a time stamp")?;
            if let Some(sample) = self.samples.get_mut(number as usize) {
                sample.arrived.get_or_insert(UNIX_EPOCH + when);
            }
        }
        Ok(())
    }
}

/// A socket that sends echo requests and receives their echoes.
fn echo_socket(node: &Node) -> Result<UdpSocket> {
    let kind = (SockType::Datagram, SockFlag::SOCK_CLOEXEC);
    let socket: UdpSocket = node
        .enter(|| new_socket(AddressFamily::Inet, kind.0, kind.1, SockProtocol::Icmp))?
        .context("failed to make an echo socket")?
        .into();
    equip(&socket)?;
    Ok(socket)
}
