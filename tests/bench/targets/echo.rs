//! Two sockets in a target's network, of which one was born in its cgroup: what they say to each other shows
//! whether it is hit.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns};
use support::{Member, wait_until};

/// A datagram that nobody holds takes less.
const ARRIVES: Duration = Duration::from_millis(500);
/// Between two, while an end is waited for.
const APART: Duration = Duration::from_millis(2);

pub struct Echo {
    client: UdpSocket,
    server: UdpSocket,
    _member: Member,
}

impl Echo {
    /// In the place of a process.
    pub fn new(pid: i32) -> Result<Self> {
        let mut member = Member::beside(pid)?;
        let namespace = File::open(format!("/proc/{pid}/ns/net"))?;
        let bind = || -> Result<UdpSocket> {
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)
        };
        let server = std::thread::scope(|scope| scope.spawn(bind).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            .context("no socket in its network")?;
        let client = member.udp(server.local_addr()?)?;
        server.connect(client.local_addr()?)?;
        Ok(Self {
            client,
            server,
            _member: member,
        })
    }

    /// What it sends is lost.
    pub fn is_cut(&self) -> Result<bool> {
        self.server.set_read_timeout(Some(ARRIVES))?;
        self.client.send(b"x")?;
        Ok(self.server.recv(&mut [0; 8]).is_err())
    }

    /// Until something arrives again.
    pub fn free_after(&self, since: Instant, limit: Duration) -> Result<Duration> {
        self.server.set_read_timeout(Some(APART))?;
        let mut sent = Instant::now();
        let free = wait_until(limit, || {
            sent = Instant::now();
            self.client.send(b"x").is_ok() && self.server.recv(&mut [0; 8]).is_ok()
        });
        ensure!(free, "it is hit still");
        Ok(sent.saturating_duration_since(since))
    }

    /// ns of a datagram there and one back, over so many of both.
    pub fn round_trip(&self, count: u32) -> Result<f64> {
        for end in [&self.client, &self.server] {
            end.set_read_timeout(Some(ARRIVES * 10))?;
        }
        let (mut bytes, since) = ([0; 8], Instant::now());
        for _ in 0..count {
            self.client.send(b"ping")?;
            self.server.recv(&mut bytes)?;
            self.server.send(b"pong")?;
            self.client.recv(&mut bytes)?;
        }
        Ok(since.elapsed().as_secs_f64() * 1e9 / f64::from(count))
    }
}
