//! A real Prometheus, which scrapes a daemon and answers queries.
//!
//! chaosd listens on a Unix socket alone, which Prometheus cannot reach: a relay of this process stands
//! between both, on loopback.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::wait_until;

/// It opens its database first.
const STARTS: Duration = Duration::from_mins(1);
/// How soon the relay sees that it should end, and how often it looks for a client.
const NOTICE: Duration = Duration::from_millis(20);
/// An answer that takes longer is none.
const ANSWERS: Duration = Duration::from_secs(20);

static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// A server of a test's own. Dropped, it is ended, and what it stored is removed.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
    _relay: Relay,
}

impl Prometheus {
    /// Whether this machine has the program.
    pub fn is_there() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join("prometheus").is_file())
    }

    /// Starts one that scrapes the daemon behind this socket every `every`, and waits until it is ready.
    pub fn start(socket: &Path, every: Duration) -> Result<Self> {
        let relay = Relay::start(socket)?;
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaosd-test-{}-prometheus-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
        let started = serve(&directory, relay.address, every);
        let (child, address) = match started {
            Ok(started) => started,
            Err(error) => {
                drop(std::fs::remove_dir_all(&directory));
                return Err(error);
            }
        };
        // From here on, an early return ends the process.
        let prometheus = Self {
            child,
            directory,
            address,
            _relay: relay,
        };
        let ready = wait_until(STARTS, || prometheus.get("/-/ready").is_ok());
        ensure!(ready, "Prometheus is not ready: {}", prometheus.log());
        Ok(prometheus)
    }

    /// Where it answers, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The values of all series that a query yields now.
    pub fn query(&self, promql: &str) -> Result<Vec<f64>> {
        let answer = self.get(&format!("/api/v1/query?query={}", escaped(promql)))?;
        let answer: Value = serde_json::from_str(&answer).context("not JSON")?;
        let series = answer["data"]["result"].as_array();
        let series = series.with_context(|| format!("no result: {answer}"))?;
        series
            .iter()
            .map(|one| {
                let text = one["value"][1].as_str().context("no value")?;
                text.parse().context("no number")
            })
            .collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).context("failed to connect")?;
        stream.set_read_timeout(Some(ANSWERS))?;
        // HTTP/1.0: the answer is whole, and its end is the connection's.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n")?;
        let answer = std::io::read_to_string(stream).context("failed to read the answer")?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if head.split(' ').nth(1) != Some("200") {
            bail!("{path}: {}", head.lines().next().unwrap_or_default());
        }
        Ok(body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // One that has ended is what we want; nothing of its store is kept.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            eprintln!("failed to remove {}: {error}", self.directory.display());
        }
    }
}

fn serve(directory: &Path, relay: SocketAddr, every: Duration) -> Result<(Child, SocketAddr)> {
    let config = directory.join("prometheus.yml");
    let every = format!("{}ms", every.as_millis().max(1));
    let text = format!(
        "global: {{scrape_interval: {every}, scrape_timeout: {every}}}\n\
         scrape_configs:\n\
         \x20 - job_name: chaosd\n\
         \x20   static_configs: [{{targets: [\"{relay}\"]}}]\n"
    );
    std::fs::write(&config, text).context("failed to write its configuration")?;
    // It takes no free port by itself; between both calls nobody else is likely to take this one.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let log = std::fs::File::create(directory.join("log"))?;
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.join("data").display()
        ))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("failed to start prometheus")?;
    Ok((child, address))
}

/// A query in an address (RFC 3986 §2.1).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

/// Carries connections to loopback on to a Unix socket; ends when dropped.
#[derive(Debug)]
struct Relay {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    fn start(socket: &Path) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to listen")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (until, socket) = (Arc::clone(&ended), socket.to_owned());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => {
                        // A daemon that is gone is a connection that ends.
                        if let Ok(daemon) = UnixStream::connect(&socket) {
                            drop(carry(client, daemon));
                        }
                    }
                    Err(_) => std::thread::sleep(NOTICE),
                }
            }
        });
        Ok(Self {
            address,
            ended,
            thread: Some(thread),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Both ways, each on a thread that ends with its connection.
fn carry(client: TcpStream, daemon: UnixStream) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    let (mut from, mut to) = (client.try_clone()?, daemon.try_clone()?);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(std::net::Shutdown::Write));
    });
    let (mut from, mut to) = (daemon, client);
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from, &mut to));
        drop(to.shutdown(std::net::Shutdown::Both));
    });
    Ok(())
}
