//! A datagram every millisecond, each stamped when it leaves and when it arrives: how long an
//! effect outlives the process that made it.

use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::SockType;

use crate::node::{Family, Node};
use crate::wait_until;

const PERIOD: Duration = Duration::from_millis(1);
/// How soon the receiver sees that it should end.
const NOTICE: Duration = Duration::from_millis(20);
/// A datagram that has not arrived by then is lost, on a busy machine too.
const IN_FLIGHT: Duration = Duration::from_millis(150);

/// When it left, when it arrived.
type Datagram = (Instant, Option<Instant>);

/// A running stream; ends when dropped.
#[derive(Debug)]
pub struct Stream {
    ended: Arc<AtomicBool>,
    datagrams: Arc<Mutex<Vec<Datagram>>>,
    threads: Vec<JoinHandle<()>>,
    port: u16,
}

impl Stream {
    /// Sends from one node to another.
    pub fn start(from: &Node, to: &Node, family: Family) -> Result<Self> {
        Self::between(
            (from, from.address_facing(to, family)?),
            (to, to.address_facing(from, family)?),
        )
    }

    /// Sends from a node to itself, over its loopback interface.
    pub fn loopback(node: &Node) -> Result<Self> {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self::between((node, address), (node, address))
    }

    fn between(from: (&Node, IpAddr), to: (&Node, IpAddr)) -> Result<Self> {
        let bind = |(node, address): (&Node, IpAddr)| -> Result<UdpSocket> {
            let address = SocketAddr::new(address, 0);
            Ok(node.bind(SockType::Datagram, address)?.into())
        };
        let (sender, receiver) = (bind(from)?, bind(to)?);
        let address = receiver.local_addr().context("failed to read the port")?;
        sender.connect(address).context("failed to connect")?;
        receiver
            .set_read_timeout(Some(NOTICE))
            .context("failed to set a timeout")?;
        let ended = Arc::new(AtomicBool::new(false));
        let datagrams = Arc::new(Mutex::new(Vec::new()));
        let threads = vec![
            std::thread::spawn({
                let (ended, datagrams) = (Arc::clone(&ended), Arc::clone(&datagrams));
                move || send(&sender, &ended, &datagrams)
            }),
            std::thread::spawn({
                let (ended, datagrams) = (Arc::clone(&ended), Arc::clone(&datagrams));
                move || receive(&receiver, &ended, &datagrams)
            }),
        ];
        Ok(Self {
            ended,
            datagrams,
            threads,
            port: address.port(),
        })
    }

    /// Where it goes to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether datagrams get lost before the time is up.
    pub fn suffers(&self, within: Duration) -> bool {
        let since = Instant::now();
        wait_until(within, || self.lost_since(since).0 > 0)
    }

    /// How many of those that left after `since` were lost, and how many of them there are; those
    /// that may still arrive are not counted.
    pub fn lost_since(&self, since: Instant) -> (usize, usize) {
        let until = Instant::now();
        let datagrams = lock(&self.datagrams);
        let settled = datagrams
            .iter()
            .rev()
            .skip_while(|(left, _)| *left + IN_FLIGHT > until)
            .take_while(|(left, _)| *left >= since);
        settled.fold((0, 0), |(lost, all), (_, arrived)| {
            (lost + usize::from(arrived.is_none()), all + 1)
        })
    }

    /// Waits until nothing has been lost for `calm`; returns when the last one that was lost after
    /// `since` had left, counted from then. None: datagrams are still lost after `limit`.
    pub fn outlived(&self, since: Instant, calm: Duration, limit: Duration) -> Option<Duration> {
        let mut last = None;
        let calmed = wait_until(limit + calm + IN_FLIGHT, || {
            let until = Instant::now();
            let datagrams = lock(&self.datagrams);
            last = datagrams
                .iter()
                .rev()
                .skip_while(|(left, _)| *left + IN_FLIGHT > until)
                .take_while(|(left, _)| *left >= since)
                .find(|(_, arrived)| arrived.is_none())
                .map(|(left, _)| *left);
            let quiet_since = last.unwrap_or(since);
            // Something has to have left since, or there was nothing to lose.
            let newest = datagrams.last().map_or(since, |(left, _)| *left);
            until > quiet_since + calm + IN_FLIGHT && newest > quiet_since + calm
        });
        calmed.then(|| last.map_or(Duration::ZERO, |last| last - since))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // Its panic has been printed, and the datagrams it did not stamp are lost.
            let _panic = thread.join();
        }
    }
}

fn lock(datagrams: &Mutex<Vec<Datagram>>) -> MutexGuard<'_, Vec<Datagram>> {
    datagrams.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(socket: &UdpSocket, ended: &AtomicBool, datagrams: &Mutex<Vec<Datagram>>) {
    let mut due = Instant::now();
    while !ended.load(Ordering::Acquire) {
        let number = {
            let mut datagrams = lock(datagrams);
            datagrams.push((Instant::now(), None));
            u32::try_from(datagrams.len() - 1).unwrap_or(u32::MAX)
        };
        // One that the kernel refuses does not arrive, and so counts as lost.
        let _refused = socket.send(&number.to_be_bytes());
        // A late one is not made up for: a burst would tell nothing of the time in between.
        due = (due + PERIOD).max(Instant::now());
        std::thread::sleep(
            due.saturating_duration_since(Instant::now())
                .max(PERIOD / 2),
        );
    }
}

fn receive(socket: &UdpSocket, ended: &AtomicBool, datagrams: &Mutex<Vec<Datagram>>) {
    let mut buffer = [0; 16];
    while !ended.load(Ordering::Acquire) {
        match socket.recv(&mut buffer) {
            Ok(4) => {
                let now = Instant::now();
                let number = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
                if let Some((_, arrived)) = lock(datagrams).get_mut(number as usize) {
                    arrived.get_or_insert(now);
                }
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), Interrupted | TimedOut | WouldBlock) => {}
            // Nothing arrives any more, which every test notices.
            Err(_) => return,
        }
    }
}
