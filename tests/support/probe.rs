//! A thin, steady stream of numbered datagrams, each with the moment it was sent at and whether it
//! arrived: when an effect began and ended, as a peer saw it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::SockType;

use crate::node::{Family, Node};
use crate::wait_until;

/// How soon the receiver sees that it should end.
const NOTICE: Duration = Duration::from_millis(10);
/// A datagram that has not arrived by then is lost: a veth pair takes microseconds, a processor
/// that others use takes milliseconds.
const SETTLES: Duration = Duration::from_millis(200);

/// One datagram.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Just before it was given to the kernel.
    pub sent: Instant,
    /// Whether the receiver has it.
    pub arrived: bool,
}

/// A running stream; ends when dropped.
#[derive(Debug)]
pub struct Probe {
    samples: Arc<Mutex<Vec<Sample>>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// Sends from `from` to the same `port` of `to` (0: any), one datagram in each `period`.
    pub fn start(
        from: &Node,
        to: &Node,
        family: Family,
        port: u16,
        period: Duration,
    ) -> Result<Self> {
        let bind = |node: &Node, other: &Node| -> Result<UdpSocket> {
            let address = SocketAddr::new(node.address_facing(other, family)?, port);
            Ok(node.bind(SockType::Datagram, address)?.into())
        };
        let (sender, receiver) = (bind(from, to)?, bind(to, from)?);
        receiver
            .set_read_timeout(Some(NOTICE))
            .context("failed to set a timeout")?;
        let remote = receiver.local_addr().context("failed to read the port")?;
        let mut probe = Self {
            samples: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        let (samples, ended) = (Arc::clone(&probe.samples), Arc::clone(&probe.ended));
        probe.threads.push(std::thread::spawn(move || {
            receive(&receiver, &samples, &ended);
        }));
        let (samples, ended) = (Arc::clone(&probe.samples), Arc::clone(&probe.ended));
        probe.threads.push(std::thread::spawn(move || {
            send(&sender, remote, period, &samples, &ended);
        }));
        Ok(probe)
    }

    /// Everything sent so far. The newest may still be under way.
    pub fn samples(&self) -> Vec<Sample> {
        lock(&self.samples).clone()
    }

    /// How many of those sent in this span were sent, and how many of them are lost.
    pub fn lost(&self, since: Instant, until: Instant) -> (u64, u64) {
        let count = || {
            let samples = lock(&self.samples);
            let inside = samples
                .iter()
                .filter(|sample| (since..until).contains(&sample.sent));
            let arrived = inside.clone().filter(|sample| sample.arrived).count();
            (inside.count() as u64, arrived as u64)
        };
        let settled = wait_until(SETTLES, || {
            let (sent, arrived) = count();
            sent == arrived
        });
        let (sent, arrived) = count();
        (sent, if settled { 0 } else { sent - arrived })
    }

    /// Waits until a datagram sent at `moment` or later has arrived; returns the time from then
    /// to when it was sent.
    pub fn first_arrival(&self, moment: Instant, limit: Duration) -> Option<Duration> {
        self.wait_for(limit, |sample| sample.sent >= moment && sample.arrived)
            .map(|sample| sample.sent - moment)
    }

    /// Waits until a datagram sent at `moment` or later must be taken for lost; returns the time
    /// from then to when it was sent.
    pub fn first_loss(&self, moment: Instant, limit: Duration) -> Option<Duration> {
        self.wait_for(limit, |sample| {
            sample.sent >= moment && !sample.arrived && sample.sent.elapsed() > SETTLES
        })
        .map(|sample| sample.sent - moment)
    }

    fn wait_for(&self, limit: Duration, wanted: impl Fn(&Sample) -> bool) -> Option<Sample> {
        let mut found = None;
        let _in_time = wait_until(limit, || {
            found = lock(&self.samples).iter().find(|s| wanted(s)).copied();
            found.is_some()
        });
        found
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A panic of theirs has been printed, and a second one here would abort the tests.
            drop(thread.join());
        }
    }
}

fn lock(samples: &Mutex<Vec<Sample>>) -> MutexGuard<'_, Vec<Sample>> {
    // Each change is one store or one push: a panic in between leaves nothing half done.
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(
    socket: &UdpSocket,
    remote: SocketAddr,
    period: Duration,
    samples: &Mutex<Vec<Sample>>,
    ended: &AtomicBool,
) {
    let mut due = Instant::now();
    let mut number = 0_u64;
    while !ended.load(Ordering::Acquire) {
        let now = Instant::now();
        lock(samples).push(Sample {
            sent: now,
            arrived: false,
        });
        // One that the kernel refuses does not arrive.
        drop(socket.send_to(&number.to_be_bytes(), remote));
        number += 1;
        // After a pause of the machine it goes on at its pace, without a burst.
        due = (due + period).max(now);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn receive(socket: &UdpSocket, samples: &Mutex<Vec<Sample>>, ended: &AtomicBool) {
    let mut buffer = [0; 64];
    while !ended.load(Ordering::Acquire) {
        // A timeout: look at `ended` again.
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let number = <[u8; 8]>::try_from(&buffer[..length]).map(u64::from_be_bytes);
        let Ok(Ok(number)) = number.map(usize::try_from) else {
            continue;
        };
        if let Some(sample) = lock(samples).get_mut(number) {
            sample.arrived = true;
        }
    }
}
