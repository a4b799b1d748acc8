//! Numbered datagrams, each stamped when it leaves and when it arrives: how long each was held, in
//! which order they came, and which came twice.
//!
//! A way is measured from before the call that sends to after the one that receives, so that it is
//! never shorter than the true one: a datagram that seems early was early.

use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::{SockType, setsockopt, sockopt};

use crate::node::{Family, Node};
use crate::pin::on_one_cpu;
use crate::wait_until;

/// How soon the receiver sees that it should end.
const NOTICE: Duration = Duration::from_millis(10);
/// Over 50,000 small datagrams.
const RECEIVE_BUFFER: usize = 64 << 20;
const NUMBER: usize = 4;

/// One arrival.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Which datagram, in the order of sending.
    pub number: u32,
    /// When it was sent.
    pub sent: Instant,
    /// When it arrived.
    pub at: Instant,
    /// How long after it was sent.
    pub way: Duration,
}

/// A flow; its receiver ends when it is dropped.
#[derive(Debug)]
pub struct Timed {
    sender: UdpSocket,
    sent: Arc<Mutex<Vec<Instant>>>,
    arrived: Arc<Mutex<Vec<(u32, Instant)>>>,
    ended: Arc<AtomicBool>,
    receiver: Option<JoinHandle<()>>,
    /// Bytes of payload, at least 4.
    pub size: usize,
}

impl Timed {
    /// From one node to this port of another (0: any).
    pub fn start(from: &Node, to: &Node, family: Family, port: u16) -> Result<Self> {
        let bind = |node: &Node, other: &Node, port| -> Result<UdpSocket> {
            let address = SocketAddr::new(node.address_facing(other, family)?, port);
            Ok(node.bind(SockType::Datagram, address)?.into())
        };
        let (sender, receiver) = (bind(from, to, 0)?, bind(to, from, port)?);
        let address = receiver.local_addr().context("failed to read the port")?;
        sender.connect(address).context("failed to connect")?;
        Self::between(sender, receiver)
    }

    /// Over sockets of the test's own, of which the first is connected to the second.
    pub fn between(sender: UdpSocket, receiver: UdpSocket) -> Result<Self> {
        setsockopt(&receiver, sockopt::RcvBufForce, &RECEIVE_BUFFER)
            .context("failed to enlarge the receive buffer")?;
        receiver
            .set_read_timeout(Some(NOTICE))
            .context("failed to set a timeout")?;
        let ended = Arc::new(AtomicBool::new(false));
        let arrived = Arc::default();
        let thread = std::thread::spawn({
            let (ended, arrived) = (Arc::clone(&ended), Arc::clone(&arrived));
            move || receive(&receiver, &ended, &arrived)
        });
        Ok(Self {
            sender,
            sent: Arc::default(),
            arrived,
            ended,
            receiver: Some(thread),
            size: 64,
        })
    }

    /// Sends so many, one in each `pace`; a late one is not made up for by a burst.
    ///
    /// # Errors
    /// When the kernel refuses one, as it does when held datagrams fill the sender's buffer.
    pub fn send(&self, count: u32, pace: Duration) -> Result<()> {
        on_one_cpu(|| {
            let mut payload = vec![0x5a; self.size.max(NUMBER)];
            let mut due = Instant::now();
            for _ in 0..count {
                let number = {
                    let mut sent = lock(&self.sent);
                    sent.push(Instant::now());
                    u32::try_from(sent.len() - 1).context("too many datagrams")?
                };
                payload[..NUMBER].copy_from_slice(&number.to_be_bytes());
                self.sender.send(&payload).context("a send was refused")?;
                due = (due + pace).max(Instant::now());
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(())
        })?
    }

    /// How many have been sent.
    pub fn sent(&self) -> usize {
        lock(&self.sent).len()
    }

    /// Every arrival so far, in the order of arrival; a copy is one too.
    pub fn arrivals(&self) -> Vec<Arrival> {
        // Whatever has arrived was sent, so that this order of locking misses nothing.
        let arrived = lock(&self.arrived).clone();
        let sent = lock(&self.sent);
        let whole = arrived.into_iter().filter_map(|(number, at)| {
            let left = sent.get(number as usize)?;
            Some(Arrival {
                number,
                sent: *left,
                at,
                way: at.saturating_duration_since(*left),
            })
        });
        whole.collect()
    }

    /// The first arrival of each datagram that has arrived, by number.
    pub fn firsts(&self) -> Vec<Arrival> {
        let mut firsts: Vec<Option<Arrival>> = vec![None; self.sent()];
        for arrival in self.arrivals() {
            if let Some(first) = firsts.get_mut(arrival.number as usize) {
                first.get_or_insert(arrival);
            }
        }
        firsts.into_iter().flatten().collect()
    }

    /// How many arrived behind a later one: those that were overtaken.
    pub fn overtaken(&self) -> u64 {
        let mut highest = None;
        let mut overtaken = 0;
        let mut seen = vec![false; self.sent()];
        for arrival in self.arrivals() {
            let Some(seen) = seen.get_mut(arrival.number as usize) else {
                continue;
            };
            if !std::mem::replace(seen, true) {
                overtaken += u64::from(highest > Some(arrival.number));
                highest = highest.max(Some(arrival.number));
            }
        }
        overtaken
    }

    /// Waits until every datagram has arrived; false when one has not in time.
    pub fn all_arrive(&self, limit: Duration) -> bool {
        wait_until(limit, || self.firsts().len() == self.sent())
    }

    /// How many have not arrived within `limit` from now.
    pub fn lost(&self, limit: Duration) -> usize {
        let _all = self.all_arrive(limit);
        self.sent() - self.firsts().len()
    }

    /// Sends, waits for all of them, and tells how long each was under way, by number.
    ///
    /// # Errors
    /// When one is refused or does not arrive in time.
    pub fn ways(&self, count: u32, pace: Duration, limit: Duration) -> Result<Vec<Duration>> {
        let before = self.sent();
        self.send(count, pace)?;
        let lost = self.lost(limit);
        anyhow::ensure!(lost == 0, "{lost} of {} did not arrive", self.sent());
        let firsts = self.firsts();
        Ok(firsts[before..].iter().map(|one| one.way).collect())
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Its panic has been printed, and what it did not stamp is missing.
        self.receiver.take().map(JoinHandle::join);
    }
}

fn lock<T>(values: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

fn receive(socket: &UdpSocket, ended: &AtomicBool, arrived: &Mutex<Vec<(u32, Instant)>>) {
    let mut buffer = [0; 2048];
    while !ended.load(Ordering::Acquire) {
        match socket.recv(&mut buffer) {
            Ok(NUMBER..) => {
                let now = Instant::now();
                let number = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
                lock(arrived).push((number, now));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), Interrupted | TimedOut | WouldBlock) => {}
            // Nothing arrives any more, which every test notices.
            Err(_) => return,
        }
    }
}
