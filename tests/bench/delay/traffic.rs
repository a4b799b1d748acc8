//! The traffic of the rows that go as fast as they can: floods and streams over real sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use support::counters::Counters;
use support::{Family, Node};

use super::figures::float;
use super::scene::Pair;

/// How soon a thread sees that it should end.
const NOTICE: Duration = Duration::from_millis(5);
/// The root user may go past `net.core.rmem_max`.
const BUFFER: usize = 256 << 20;

/// A socket of the node on every address of it.
pub fn socket(node: &Node) -> Result<UdpSocket> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let socket = node
        .enter(|| UdpSocket::bind(any))?
        .context("failed to bind a socket")?;
    equip(&socket)?;
    Ok(socket)
}

/// Room for everything that arrives before it is read.
pub fn equip(socket: &UdpSocket) -> Result<()> {
    setsockopt(socket, sockopt::RcvBufForce, &BUFFER).context("failed to enlarge a buffer")
}

/// What the target's sockets reach the peer by.
pub fn address(pair: &Pair) -> Result<Ipv4Addr> {
    match pair.other().address_facing(pair.target(), Family::V4)? {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address} is not of IPv4"),
    }
}

/// The port of it; of an echo socket, its identifier.
pub fn port(socket: &UdpSocket) -> Result<u16> {
    let address = socket.local_addr().context("failed to read a port")?;
    Ok(address.port())
}

/// Keeps the calling thread on one processor, if the machine has it: contestants that the
/// scheduler moves about cannot be compared.
pub fn stay_on(cpu: usize) {
    let mut one = CpuSet::new();
    if one.set(cpu).is_ok() {
        // On a machine with fewer processors both ends share.
        let _alone = sched_setaffinity(Pid::from_raw(0), &one);
    }
}

/// What is due within it is sent at once: to sleep before each datagram costs more than to send it.
const BURST: Duration = Duration::from_millis(2);

/// Small datagrams as fast as one thread can send them.
pub struct Flood<'a> {
    pub pair: &'a Pair,
    /// In turn; none: the peer's own address.
    pub to: &'a [Ipv4Addr],
    /// Bytes of payload.
    pub size: usize,
    /// Before it counts: longer than the delay.
    pub warm_up: Duration,
    /// What one figure is of.
    pub span: Duration,
    /// How many figures.
    pub spans: u32,
    /// Datagrams per second; none: no limit.
    pub rate: Option<u32>,
}

/// What came of a flood in one span.
#[derive(Clone, Copy, Debug)]
pub struct Flooded {
    /// Datagrams that reached the peer's sockets in a second of the span.
    pub per_second: f64,
    /// Datagrams that the kernel took in a second of the span.
    pub sent_per_second: f64,
}

/// Datagrams per second that arrived, by span.
pub fn delivered(spans: &[Flooded]) -> Vec<f64> {
    spans.iter().map(|span| span.per_second).collect()
}

impl Flood<'_> {
    /// The kernel counts what it delivers: nobody reads, so that the reader is not measured.
    pub fn run(&self) -> Result<Vec<Flooded>> {
        let (near, far) = (socket(self.pair.target())?, socket(self.pair.other())?);
        let own = address(self.pair)?;
        let port = port(&far)?;
        let ended = AtomicBool::new(false);
        let sent = AtomicU64::new(0);
        let counters = || -> Result<(u64, u64, Instant)> {
            let delivered = Counters::read(self.pair.other())?.get("IpInDelivers");
            Ok((delivered, sent.load(Ordering::Acquire), Instant::now()))
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                stay_on(0);
                let payload = vec![0x55; self.size];
                let started = Instant::now();
                let mut number = 0_u32;
                while !ended.load(Ordering::Acquire) {
                    if let Some(rate) = self.rate {
                        let due = Duration::from_secs(1) * number / rate;
                        let early = due.saturating_sub(started.elapsed());
                        if early > BURST {
                            std::thread::sleep(early);
                        }
                    }
                    let to = match self.to {
                        [] => own,
                        some => some[number as usize % some.len()],
                    };
                    number += 1;
                    if near.send_to(&payload, SocketAddr::from((to, port))).is_ok() {
                        sent.fetch_add(1, Ordering::Release);
                    }
                }
            });
            std::thread::sleep(self.warm_up);
            let marks = marks(self.spans, self.span, counters);
            ended.store(true, Ordering::Release);
            let marks: Vec<_> = marks.into_iter().collect::<Result<_>>()?;
            let between = marks.windows(2).map(|ends| {
                let ((d1, s1, t1), (d2, s2, t2)) = (ends[0], ends[1]);
                let seconds = (t2 - t1).as_secs_f64();
                Flooded {
                    per_second: float(d2 - d1) / seconds,
                    sent_per_second: float(s2 - s1) / seconds,
                }
            });
            Ok(between.collect())
        })
    }
}

/// Reads something at the ends of consecutive spans.
fn marks<T>(spans: u32, span: Duration, read: impl Fn() -> T) -> Vec<T> {
    let mut marks = vec![read()];
    for _ in 0..spans {
        std::thread::sleep(span);
        marks.push(read());
    }
    marks
}

/// Bytes of payload per second that a TCP stream brings in each of some spans, once `warm_up` is over.
pub fn stream(pair: &Pair, warm_up: Duration, span: Duration, spans: u32) -> Result<Vec<f64>> {
    let to = SocketAddr::from((address(pair)?, 0));
    let listener = pair
        .other()
        .enter(|| TcpListener::bind(to))?
        .context("failed to listen")?;
    let remote = listener.local_addr().context("failed to read a port")?;
    let mut sender = pair
        .target()
        .enter(|| TcpStream::connect(remote))?
        .context("failed to connect")?;
    let (mut taker, _) = listener.accept().context("failed to accept")?;
    for stream in [&sender, &taker] {
        stream
            .set_read_timeout(Some(NOTICE))
            .context("failed to set a timeout")?;
    }
    sender
        .set_write_timeout(Some(NOTICE))
        .context("failed to set a timeout")?;
    let ended = AtomicBool::new(false);
    let received = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(0);
            let block = vec![0x55; 256 << 10];
            while !ended.load(Ordering::Acquire) {
                match sender.write(&block) {
                    Ok(_) => {}
                    Err(error) if is_timeout(error.kind()) => {}
                    // It shows: nothing arrives any more.
                    Err(_) => return,
                }
            }
        });
        scope.spawn(|| {
            stay_on(1);
            let mut block = vec![0; 256 << 10];
            while !ended.load(Ordering::Acquire) {
                match taker.read(&mut block) {
                    Ok(0) => return,
                    Ok(length) => {
                        received.fetch_add(length as u64, Ordering::Release);
                    }
                    Err(error) if is_timeout(error.kind()) => {}
                    Err(_) => return,
                }
            }
        });
        let now = || (received.load(Ordering::Acquire), Instant::now());
        std::thread::sleep(warm_up);
        let marks = marks(spans, span, now);
        ended.store(true, Ordering::Release);
        let between = marks.windows(2).map(|ends| {
            let ((b1, t1), (b2, t2)) = (ends[0], ends[1]);
            float(b2 - b1) / (t2 - t1).as_secs_f64()
        });
        Ok(between.collect())
    })
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
