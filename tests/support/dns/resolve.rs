//! `getaddrinfo` as glibc and musl have it, each in a process with a `resolv.conf` of its own.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::path_of;
use super::scratch::Scratch;
use crate::cgroup::Cgroup;
use crate::node::{Family, Node};

const SOURCE: &str = include_str!("resolve.c");

/// Whose resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library's.
    Glibc,
    /// Alpine's, which asks all servers at once and takes no SERVFAIL for an answer.
    Musl,
}

impl Libc {
    /// Those that can be compiled for here.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Glibc];
        all.extend(path_of("musl-gcc").map(|_| Self::Musl));
        all
    }

    fn compiler(self) -> &'static str {
        match self {
            Self::Glibc => "cc",
            Self::Musl => "musl-gcc",
        }
    }
}

/// A program that resolves names, and its configuration.
#[derive(Debug)]
pub struct Resolver {
    program: PathBuf,
    resolv_conf: PathBuf,
    nsswitch_conf: PathBuf,
    /// Holds the above.
    _directory: Scratch,
}

/// One result.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// `OK`, `EAI_NONAME`, ...
    pub result: String,
    /// How long the call took.
    pub took: Duration,
    /// What was found, in its order.
    pub addresses: Vec<IpAddr>,
}

impl Resolver {
    /// One that asks these servers, and gives each of them a second, once.
    pub fn new(libc: Libc, servers: &[IpAddr]) -> Result<Self> {
        let directory = Scratch::new()?;
        let source = directory.file("resolve.c", SOURCE)?;
        let program = directory.path().join("resolve");
        let compiler = libc.compiler();
        let output = Command::new(compiler)
            .args(["-O1", "-o"])
            .args([&program, &source])
            .output()
            .with_context(|| format!("failed to start {compiler}"))?;
        if !output.status.success() {
            bail!("{compiler}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let mut conf = "options timeout:1 attempts:1\n".to_owned();
        for server in servers {
            writeln!(conf, "nameserver {server}")?;
        }
        Ok(Self {
            program,
            resolv_conf: directory.file("resolv.conf", &conf)?,
            // Some distributions ask a daemon of the host's first.
            nsswitch_conf: directory.file("nsswitch.conf", "hosts: dns\n")?,
            _directory: directory,
        })
    }

    /// Asks for a name's addresses, of one IP or of both, so many times in one process.
    pub fn ask(
        &self,
        from: &Node,
        cgroup: Option<&Cgroup>,
        name: &str,
        family: Option<Family>,
        count: u32,
    ) -> Result<Vec<Resolved>> {
        let mut command = match cgroup {
            Some(cgroup) => cgroup.command(&self.program.display().to_string()),
            None => Command::new(&self.program),
        };
        let family = match family {
            Some(Family::V4) => "4",
            Some(Family::V6) => "6",
            None => "0",
        };
        command.args([name, family, &count.to_string()]);
        let output = from
            .enter(|| -> Result<_> {
                self.enter_files()?;
                command.output().context("failed to start the resolver")
            })?
            .with_context(|| format!("failed to resolve {name}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{}: {text}", output.status);
        }
        text.lines().map(parse).collect()
    }

    /// Gives this thread, and what it starts, mounts of its own with our files in them.
    fn enter_files(&self) -> Result<()> {
        const NONE: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS).context("failed to make a mount namespace")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NONE, "/", NONE, private, NONE).context("failed to make mounts private")?;
        for (ours, place) in [
            (&self.resolv_conf, "/etc/resolv.conf"),
            (&self.nsswitch_conf, "/etc/nsswitch.conf"),
        ] {
            if Path::new(place).exists() {
                mount(Some(ours), place, NONE, MsFlags::MS_BIND, NONE)
                    .with_context(|| format!("failed to mount over {place}"))?;
            }
        }
        Ok(())
    }
}

/// `OK 123.4 192.0.2.1 2001:db8::1`
fn parse(line: &str) -> Result<Resolved> {
    let mut words = line.split_whitespace();
    let (result, took) = words.next().zip(words.next()).context("an empty line")?;
    let microseconds: f64 = took.parse().context("no time")?;
    Ok(Resolved {
        result: result.to_owned(),
        took: Duration::from_secs_f64(microseconds / 1e6),
        addresses: words
            .map(|word| word.parse().context("no address"))
            .collect::<Result<_>>()?,
    })
}
