//! A small shop: an HTTP service that asks a real Redis for each answer, in namespaces of their own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::node::{Family, Node};
use crate::{Lab, wait_until};

/// Where Redis listens.
pub const REDIS_PORT: u16 = 6390;
/// Where the shop does.
pub const SHOP_PORT: u16 = 8089;
/// A database that takes longer is down for the shop, unless it is more patient.
const DATABASE_WITHIN: Duration = Duration::from_millis(200);
const COMES_UP: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(1);

/// The shop in a namespace, its database in another. Dropped, both end.
#[derive(Debug)]
pub struct Shop {
    redis: Child,
    serving: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Instant>>>,
    url: String,
}

/// Why there is no shop here; `None`: there can be.
pub fn lacking() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join("redis-server").is_file());
    (!there).then(|| "redis-server is not installed (cargo xtask setup brings it)".to_owned())
}

impl Shop {
    /// Opens it in a laboratory's target, with its database in the peer, and waits until it sells.
    pub fn open(lab: &Lab) -> Result<Self> {
        Self::between(lab.target(), lab.peer(), DATABASE_WITHIN)
    }

    /// Opens it in `place`, with its database in `peer`, for which it waits so long, and waits until it sells.
    pub fn between(place: &Node, peer: &Node, patience: Duration) -> Result<Self> {
        let address = peer.address_facing(place, Family::V4)?;
        let redis = redis(peer, &address.to_string())?;
        let database = Database {
            address: SocketAddr::new(address, REDIS_PORT),
            within: patience,
        };
        let own = SocketAddr::new(place.address_facing(peer, Family::V4)?, SHOP_PORT);
        let (ended, broken) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let asked = Arc::<Mutex<Vec<Instant>>>::default();
        let mut shop = Self {
            redis,
            serving: None,
            ended: Arc::clone(&ended),
            broken: Arc::clone(&broken),
            asked: Arc::clone(&asked),
            url: format!("http://{own}/"),
        };
        // A thread is born in the namespace of the one that starts it.
        shop.serving = Some(place.enter(|| -> Result<JoinHandle<()>> {
            // Under load, each request takes a port to the database that nobody else has had for a minute.
            std::fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1")
                .context("failed to let ports be used again")?;
            let listener = TcpListener::bind(own).context("failed to open the shop")?;
            listener.set_nonblocking(true)?;
            Ok(std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let Ok((customer, _)) = listener.accept() else {
                        std::thread::sleep(STEP);
                        continue;
                    };
                    let came = Instant::now();
                    asked
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(came);
                    let broken = broken.load(Ordering::Relaxed);
                    // One customer does not wait for another.
                    std::thread::spawn(move || serve(customer, database, broken));
                }
            }))
        })??);
        let sells = || {
            peer.enter(|| buy(own))
                .is_ok_and(|status| status == Some(200))
        };
        ensure!(wait_until(COMES_UP, sells), "the shop does not open");
        shop.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        Ok(shop)
    }

    /// What customers ask for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it answers 500, or as it should.
    pub fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// When customers came since it was opened.
    pub fn asked(&self) -> Vec<Instant> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // One that has ended is what we want.
        let _killed = self.redis.kill();
        let _reaped = self.redis.wait();
        if let Some(serving) = self.serving.take() {
            let _joined = serving.join();
        }
    }
}

fn redis(node: &Node, address: &str) -> Result<Child> {
    let port = REDIS_PORT.to_string();
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port, "--bind", address, "--save", ""])
        .args(["--appendonly", "no", "--protected-mode", "no", "--dir", "/"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    node.enter(|| command.spawn())?
        .context("failed to start redis-server")
}

/// Where it is, and how long it may take for an answer.
#[derive(Clone, Copy)]
struct Database {
    address: SocketAddr,
    within: Duration,
}

fn serve(mut customer: TcpStream, database: Database, broken: bool) {
    let answer = if broken {
        "500 Broken"
    } else if database.is_there() {
        "200 OK"
    } else {
        "503 No Database"
    };
    // A customer who has gone hears nothing.
    let mut request = [0; 2048];
    let _read = customer.set_nonblocking(false).and_then(|()| {
        customer.set_read_timeout(Some(DATABASE_WITHIN))?;
        customer.read(&mut request)
    });
    let text = format!("HTTP/1.1 {answer}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n");
    let _written = customer.write_all(text.as_bytes());
}

impl Database {
    fn is_there(self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut redis = TcpStream::connect_timeout(&self.address, self.within)?;
            redis.set_read_timeout(Some(self.within))?;
            redis.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            redis.read_exact(&mut answer)?;
            Ok(answer == *b"+PONG\r\n")
        };
        ask().unwrap_or(false)
    }
}

/// The status that one customer gets.
fn buy(shop: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&shop, DATABASE_WITHIN).ok()?;
    stream.set_read_timeout(Some(DATABASE_WITHIN * 3)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}
