//! Cgroups of a test's own, and sockets that were born in them.
//!
//! A socket belongs for good to the cgroup of the process that made it. A shell that was moved
//! into the cgroup makes it, and the test takes a duplicate, so that its traffic runs here.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::node::Node;
use crate::sys::take_descriptor;
use crate::wait_until;

const LEAVES: Duration = Duration::from_secs(5);

/// The number of bash's socket, out of the way of those that it uses itself (10 and up).
const SOCKET: i32 = 100;

static CGROUPS: AtomicU32 = AtomicU32::new(0);

/// A cgroup of the unified tree. Dropped, its processes are killed and it is removed.
#[derive(Debug)]
pub struct Cgroup {
    directory: PathBuf,
    path: String,
}

impl Cgroup {
    /// A fresh one at the top of the tree; none when this machine has no such tree.
    pub fn new() -> Result<Option<Self>> {
        let Some(tree) = unified()? else {
            return Ok(None);
        };
        let number = CGROUPS.fetch_add(1, Ordering::Relaxed);
        let name = format!("chaosd-test-{}-{number}", std::process::id());
        Self::make(&tree, &format!("/{name}")).map(Some)
    }

    /// One below this one.
    pub fn below(&self, name: &str) -> Result<Self> {
        let tree = self.directory.parent().context("a cgroup at no place")?;
        let depth = self.path.matches('/').count();
        let tree = tree.ancestors().nth(depth - 1).context("too deep")?;
        Self::make(tree, &format!("{}/{name}", self.path))
    }

    fn make(tree: &Path, path: &str) -> Result<Self> {
        let directory = tree.join(path.trim_start_matches('/'));
        std::fs::create_dir(&directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
        Ok(Self {
            directory,
            path: path.to_owned(),
        })
    }

    /// Its path as users type it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// A command whose process joins the cgroup before it becomes `program`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.directory.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// Ends its processes and removes it, as a service manager does.
    pub fn remove(&self) -> Result<()> {
        let members = || -> Vec<i32> {
            std::fs::read_to_string(self.directory.join("cgroup.procs"))
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.parse().ok())
                .collect()
        };
        for pid in members() {
            // One that has just ended is what we want.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let mut result = Ok(());
        // A process that is dying keeps its cgroup busy for a moment.
        let gone = wait_until(LEAVES, || {
            result = std::fs::remove_dir(&self.directory);
            result.is_ok()
        });
        match result {
            Err(error) if !gone => {
                Err(error).with_context(|| format!("failed to remove {}", self.directory.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.directory.exists()
            && let Err(error) = self.remove()
        {
            eprintln!("a cgroup is left over: {error:#}");
        }
    }
}

/// The mount point of the whole unified tree (`proc_pid_mountinfo(5)`).
fn unified() -> Result<Option<PathBuf>> {
    let mounts =
        std::fs::read_to_string("/proc/self/mountinfo").context("failed to list the mounts")?;
    Ok(mounts.lines().find_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (source.starts_with("cgroup2 ") && root == "/").then(|| point.into())
    }))
}

/// A process in a cgroup and in a node's namespace. Dropped, it is killed.
#[derive(Debug)]
pub struct Member {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Member {
    /// Starts it.
    pub fn start(cgroup: &Cgroup, node: &Node) -> Result<Self> {
        let mut command = Command::new("bash");
        // Its cgroup stands in its command line, by which it can be told from others.
        command.args(["-s", cgroup.path()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = node.enter(|| command.spawn())?;
        Self::join(child.context("failed to start bash")?, &cgroup.directory)
    }

    /// Starts it beside another process: in its cgroup, and in its network namespace.
    pub fn beside(pid: i32) -> Result<Self> {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .with_context(|| format!("there is no process {pid}"))?;
        let path = line.lines().find_map(|line| line.strip_prefix("0::/"));
        let tree = unified()?.context("no unified cgroup tree")?;
        let directory = tree.join(path.context("a process in no cgroup")?);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net"));
        command.args(["bash", "-s"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().context("failed to start nsenter")?;
        Self::join(child, &directory)
    }

    fn join(mut child: Child, cgroup: &Path) -> Result<Self> {
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.context("bash has no pipes")?;
        let mut member = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        member.enter(cgroup)?;
        Ok(member)
    }

    /// Moves it to another cgroup. Sockets that it has stay with the one it leaves.
    pub fn move_to(&mut self, cgroup: &Cgroup) -> Result<()> {
        self.enter(&cgroup.directory)
    }

    fn enter(&mut self, cgroup: &Path) -> Result<()> {
        let procs = cgroup.join("cgroup.procs");
        self.say(&format!("echo $$ > {}", procs.display()))
            .map(drop)
    }

    /// Runs a command of bash in it and returns the last line it printed.
    pub fn say(&mut self, line: &str) -> Result<String> {
        writeln!(self.stdin, "{{ {line}; }} 2>&1; echo \"=$?\"").context("bash has ended")?;
        let mut last = String::new();
        loop {
            let mut answer = String::new();
            if self.stdout.read_line(&mut answer)? == 0 {
                bail!("bash ended at: {line}");
            }
            match answer.trim_end().strip_prefix('=') {
                Some("0") => return Ok(last),
                Some(code) => bail!("{line}: code {code}: {last}"),
                None => answer.trim_end().clone_into(&mut last),
            }
        }
    }

    /// A UDP socket of its own, connected to `remote`.
    pub fn udp(&mut self, remote: SocketAddr) -> Result<UdpSocket> {
        Ok(self.open("udp", remote)?.into())
    }

    /// A TCP connection of its own.
    pub fn tcp(&mut self, remote: SocketAddr) -> Result<TcpStream> {
        Ok(self.open("tcp", remote)?.into())
    }

    fn open(&mut self, protocol: &str, remote: SocketAddr) -> Result<OwnedFd> {
        let (ip, port) = (remote.ip(), remote.port());
        self.say(&format!("exec {SOCKET}<>/dev/{protocol}/{ip}/{port}"))?;
        let taken = take_descriptor(self.pid(), SOCKET).context("failed to take bash's socket")?;
        self.say(&format!("exec {SOCKET}>&-"))?;
        Ok(taken)
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Ends it.
    pub fn end(&mut self) -> Result<()> {
        self.child.kill().context("failed to kill bash")?;
        self.child.wait().context("failed to wait for bash")?;
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // It may have ended with its cgroup.
        drop(self.end());
    }
}
