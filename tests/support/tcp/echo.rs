//! A connection that talks all the time, as the bystander of a fault.
//!
//! The client sends one message, waits for its echo, and counts; it connects again only when the
//! connection broke, and that is counted too.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::socket::{connect, listen};
use crate::node::{Family, Node};
use crate::sys::tcp_info;

const MESSAGE: usize = 64;
const WINDOW: usize = 128 << 10;
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(1);
/// An echo that takes longer counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon the threads see that they should end.
const NOTICE: Duration = Duration::from_millis(50);

/// What the connection went through.
#[derive(Clone, Debug, Default)]
pub struct EchoReport {
    /// Messages that came back as they were sent.
    pub round_trips: u64,
    /// Bytes that came back wrong or not at all.
    pub lost_bytes: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// Segments that the client sent again, over all its connections.
    pub retransmits: u64,
    /// The longest that an echo took.
    pub slowest: Duration,
}

/// A running echo; ends when stopped or dropped.
#[derive(Debug)]
pub struct Echo {
    ended: Arc<AtomicBool>,
    round_trips: Arc<AtomicU64>,
    reconnects: Arc<AtomicU64>,
    client: Option<JoinHandle<EchoReport>>,
    server: Option<JoinHandle<()>>,
    remote: SocketAddr,
}

impl Echo {
    /// Connects `from` to an echo server on `to` (port 0: any free one).
    pub fn start(from: &Node, to: &Node, family: Family, port: u16) -> Result<Self> {
        let local = SocketAddr::new(from.address_facing(to, family)?, 0);
        let remote = SocketAddr::new(to.address_facing(from, family)?, port);
        let listener = listen(to, remote, WINDOW, NOTICE)?;
        let remote = listener.local_addr().context("failed to read the port")?;
        let ended = Arc::new(AtomicBool::new(false));
        let round_trips = Arc::new(AtomicU64::new(0));
        let reconnects = Arc::new(AtomicU64::new(0));
        let server = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || serve(&listener, &ended)
        });
        // From here on, an early return stops the server.
        let mut echo = Self {
            ended,
            round_trips,
            reconnects,
            client: None,
            server: Some(server),
            remote,
        };
        let stream = connect(from, local, remote, PATIENCE)?;
        let client = Client {
            node: from.clone(),
            local,
            remote,
            ended: Arc::clone(&echo.ended),
            round_trips: Arc::clone(&echo.round_trips),
            reconnects: Arc::clone(&echo.reconnects),
            report: EchoReport::default(),
        };
        echo.client = Some(std::thread::spawn(move || client.talk(stream)));
        Ok(echo)
    }

    /// The server's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Messages that have come back so far, to wait for.
    pub fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Acquire)
    }

    /// Connections after the first so far.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Ordering::Acquire)
    }

    /// Ends the connection and says what it went through.
    pub fn stop(mut self) -> EchoReport {
        self.ended.store(true, Ordering::Release);
        let client = self.client.take().map(JoinHandle::join);
        match client {
            Some(Ok(report)) => report,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => EchoReport::default(),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // A panic of theirs has been printed, and a second one here would abort the tests.
        self.client.take().map(JoinHandle::join);
        self.server.take().map(JoinHandle::join);
    }
}

struct Client {
    node: Node,
    local: SocketAddr,
    remote: SocketAddr,
    ended: Arc<AtomicBool>,
    round_trips: Arc<AtomicU64>,
    reconnects: Arc<AtomicU64>,
    report: EchoReport,
}

impl Client {
    fn talk(mut self, mut stream: TcpStream) -> EchoReport {
        let mut number = 0_u64;
        while !self.ended.load(Ordering::Acquire) {
            number += 1;
            let sent_at = Instant::now();
            if let Ok(wrong) = round_trip(&mut stream, number) {
                self.report.lost_bytes += wrong;
                self.report.round_trips += u64::from(wrong == 0);
                self.round_trips
                    .store(self.report.round_trips, Ordering::Release);
                self.report.slowest = self.report.slowest.max(sent_at.elapsed());
            } else {
                self.report.lost_bytes += MESSAGE as u64;
                self.count_retransmits(&stream);
                if let Some(next) = self.reconnect() {
                    stream = next;
                }
            }
            std::thread::sleep(PAUSE);
        }
        self.count_retransmits(&stream);
        self.report
    }

    fn reconnect(&mut self) -> Option<TcpStream> {
        while !self.ended.load(Ordering::Acquire) {
            self.report.reconnects += 1;
            self.reconnects
                .store(self.report.reconnects, Ordering::Release);
            if let Ok(stream) = connect(&self.node, self.local, self.remote, PATIENCE) {
                return Some(stream);
            }
            std::thread::sleep(NOTICE);
        }
        None
    }

    fn count_retransmits(&mut self, stream: &TcpStream) {
        if let Ok(info) = tcp_info(stream.as_fd()) {
            self.report.retransmits += u64::from(info.tcpi_total_retrans);
        }
    }
}

/// Returns how many bytes of the echo are wrong.
fn round_trip(stream: &mut TcpStream, number: u64) -> std::io::Result<u64> {
    let mut message = [0x5a; MESSAGE];
    message[..8].copy_from_slice(&number.to_be_bytes());
    stream.write_all(&message)?;
    let mut echo = [0; MESSAGE];
    stream.read_exact(&mut echo)?;
    Ok(message
        .iter()
        .zip(&echo)
        .filter(|(sent, got)| sent != got)
        .count() as u64)
}

fn serve(listener: &TcpListener, ended: &AtomicBool) {
    std::thread::scope(|scope| {
        while !ended.load(Ordering::Acquire) {
            // A timeout, or a connection that broke before it was taken: look at `ended` again.
            if let Ok((stream, _)) = listener.accept() {
                scope.spawn(move || echo(stream, ended));
            }
        }
    });
}

/// Sends back what comes. A connection that breaks ends here; the client counts it.
fn echo(mut stream: TcpStream, ended: &AtomicBool) {
    let mut buffer = [0; 4096];
    if stream.set_read_timeout(Some(NOTICE)).is_err() {
        return;
    }
    while !ended.load(Ordering::Acquire) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                if stream.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
