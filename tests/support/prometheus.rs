//! A real Prometheus in a node's namespace, which scrapes a daemon through a relay: chaosd itself
//! listens on no TCP port.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::node::Node;
use crate::{Instance, wait_until};

const COMES_UP: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(2);
const PORT: u16 = 9095;
const RELAY_PORT: u16 = 9096;

/// Dropped, it ends, and its data goes.
#[derive(Debug)]
pub struct Prometheus {
    server: Child,
    ended: Arc<AtomicBool>,
    relay: Option<JoinHandle<()>>,
    data: PathBuf,
}

/// Why there is none here; `None`: there can be.
pub fn lacking() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join("prometheus").is_file());
    (!there).then(|| "prometheus is not installed (cargo xtask setup brings it)".to_owned())
}

impl Prometheus {
    /// Starts one that scrapes the daemon behind the instance's socket five times a second.
    pub fn start(node: &Node, instance: &Instance) -> Result<Self> {
        let config = instance.file(
            "prometheus.yml",
            &format!(
                "scrape_configs:\n- job_name: chaosd\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  static_configs:\n  - targets: ['127.0.0.1:{RELAY_PORT}']\n"
            ),
        )?;
        let data = config.with_file_name("prometheus");
        std::fs::create_dir(&data).context("failed to make a directory for Prometheus")?;
        let ended = Arc::<AtomicBool>::default();
        let relay = relay(node, &instance.socket(), Arc::clone(&ended))?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{PORT}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = node
            .enter(|| command.spawn())?
            .context("failed to start prometheus")?;
        let prometheus = Self {
            server,
            ended,
            relay: Some(relay),
            data,
        };
        let ready = || node.enter(is_ready).unwrap_or(false);
        ensure!(wait_until(COMES_UP, ready), "prometheus does not come up");
        Ok(prometheus)
    }

    /// Where it is asked, in its namespace.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{PORT}")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // One that has ended is what we want.
        let _killed = self.server.kill();
        let _reaped = self.server.wait();
        if let Some(relay) = self.relay.take() {
            let _joined = relay.join();
        }
        if let Err(error) = std::fs::remove_dir_all(&self.data) {
            eprintln!("failed to remove {}: {error}", self.data.display());
        }
    }
}

fn is_ready() -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

/// Passes each connection on to the socket, in a thread that is born in the node's namespace.
fn relay(node: &Node, socket: &Path, ended: Arc<AtomicBool>) -> Result<JoinHandle<()>> {
    let socket = socket.to_owned();
    node.enter(|| -> Result<JoinHandle<()>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, RELAY_PORT))
            .context("failed to open the relay")?;
        listener.set_nonblocking(true)?;
        Ok(std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => {
                        let socket = socket.clone();
                        std::thread::spawn(move || pass(client, &socket));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        std::thread::sleep(STEP);
                    }
                    Err(_) => return,
                }
            }
        }))
    })?
}

/// Until both ends have said all. A failure is the client's to notice.
fn pass(client: TcpStream, socket: &Path) -> Option<()> {
    client.set_nonblocking(false).ok()?;
    let server = UnixStream::connect(socket).ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let asking = std::thread::spawn(move || {
        let _copied = std::io::copy(&mut from, &mut to);
        let _closed = to.shutdown(std::net::Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _copied = std::io::copy(&mut from, &mut to);
    let _closed = to.shutdown(std::net::Shutdown::Both);
    asking.join().ok()
}
