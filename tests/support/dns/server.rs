//! A real server: dnsmasq, in a node's namespace.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scratch::Scratch;
use super::{message, path_of, zone};
use crate::node::{Family, Node};
use crate::wait_until;

const STARTS: Duration = Duration::from_secs(20);
/// A server whose test was killed ends by itself (timeout(1)).
const LIVES: &str = "900";

/// One that answers. Dropped, it is ended.
#[derive(Debug)]
pub struct Server {
    child: Child,
    directory: Scratch,
}

impl Server {
    /// A server of [`zone`] on every address of the node, which writes down what it is asked.
    pub fn start(node: &Node) -> Result<Self> {
        Self::of_zone(node, "log-queries\n")
    }

    /// The same, without writing: for thousands of queries a second.
    pub fn silent(node: &Node) -> Result<Self> {
        Self::of_zone(node, "")
    }

    /// A stub on an address of the node's own, that asks another server and keeps no answer.
    pub fn stub(node: &Node, listen: IpAddr, upstream: IpAddr) -> Result<Self> {
        let text = format!(
            "listen-address={listen}\nbind-interfaces\nserver={upstream}\ncache-size=0\nlog-queries\n"
        );
        Self::run(node, &text, Scratch::new()?, SocketAddr::new(listen, 53))
    }

    fn of_zone(node: &Node, more: &str) -> Result<Self> {
        let directory = Scratch::new()?;
        let hosts = directory.file("hosts", &zone::hosts())?;
        let mut text = zone::configuration();
        writeln!(text, "addn-hosts={}\nlocal-ttl=60", hosts.display())?;
        text += more;
        let here = IpAddr::from([127, 0, 0, 1]);
        Self::run(node, &text, directory, SocketAddr::new(here, 53))
    }

    fn run(node: &Node, text: &str, directory: Scratch, probe: SocketAddr) -> Result<Self> {
        let program = path_of("dnsmasq").context("dnsmasq is not installed")?;
        let at = directory.path().display();
        let common = format!(
            "no-resolv\nno-hosts\nno-poll\nuser=root\ngroup=root\npid-file={at}/pid\nlog-facility={at}/log\n\
             edns-packet-max=1232\nport=53\n"
        );
        let file = directory.file("dnsmasq.conf", &(common + text))?;
        let mut command = Command::new("timeout");
        command
            .arg(LIVES)
            .arg(program)
            .arg("--keep-in-foreground")
            .arg(format!("--conf-file={}", file.display()))
            .stdin(Stdio::null());
        let child = node
            .enter(|| command.spawn())?
            .context("failed to start dnsmasq")?;
        // From here on, an early return ends the process.
        let mut server = Self { child, directory };
        let query = message::query(1, "ready.internal", message::A);
        let mut ended = false;
        let answers = wait_until(STARTS, || {
            ended = server.child.try_wait().is_ok_and(|status| status.is_some());
            let patience = Duration::from_millis(100);
            ended || message::ask(node, probe, &query, patience).is_ok_and(|a| a.is_some())
        });
        ensure!(
            answers && !ended,
            "dnsmasq does not answer: {}",
            server.log()
        );
        Ok(server)
    }

    /// How often it was asked for a name, in any case.
    pub fn asked(&self, name: &str) -> usize {
        let log = self.log().to_ascii_lowercase();
        let asked = format!("] {} from ", name.to_ascii_lowercase());
        log.lines()
            .filter(|line| line.contains("query[") && line.contains(&asked))
            .count()
    }

    /// What it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Where a node's server is to be asked by another.
    pub fn address(node: &Node, from: &Node, family: Family) -> Result<SocketAddr> {
        Ok(SocketAddr::new(node.address_facing(from, family)?, 53))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // timeout(1) hands the signal on; what has ended is what we want.
        let _ended = kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        );
        drop(self.child.wait());
    }
}
