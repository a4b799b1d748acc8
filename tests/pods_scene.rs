//! What a fault does to one container of a pod, and to those beside it: measured by sockets that were born
//! in each of them and a peer on the bridge, and by the kernel's accounts of their cgroups.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sched::{CloneFlags, setns};
use support::dns::message;
use support::{Daemon, Member, Run, Snapshot, is_emulated, wait_until};

use crate::mounted::{Disk, Mounted};

/// Datagrams each way; of those that nobody hits all arrive.
pub const SENT: u32 = 20;
const NAME: &str = "api.payments.example";
const DELAY: Duration = Duration::from_millis(800);
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a datagram may take that nobody holds.
fn patience() -> Duration {
    Duration::from_millis(if is_emulated() { 1500 } else { 300 })
}

/// A process beside a container's own, in its cgroup and its network, with a socket to the host.
pub struct Line {
    member: Member,
    ours: UdpSocket,
    theirs: UdpSocket,
    gateway: Ipv4Addr,
    cgroup: PathBuf,
    pid: i32,
}

impl Line {
    /// To a container, by its first process.
    pub fn new(pid: i32) -> Result<Self> {
        let mut member = Member::beside(pid)?;
        // `default via 10.213.7.1 dev eth0`
        let route = member.say("ip -4 route show default")?;
        let gateway = route.split(' ').nth(2).context("no default route")?;
        let gateway: Ipv4Addr = gateway.parse()?;
        let theirs = UdpSocket::bind((gateway, 0))?;
        let ours = member.udp(theirs.local_addr()?)?;
        theirs.connect(ours.local_addr()?)?;
        for end in [&ours, &theirs] {
            end.set_read_timeout(Some(patience()))?;
        }
        let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let path = lines.lines().find_map(|line| line.strip_prefix("0::/"));
        Ok(Self {
            member,
            ours,
            theirs,
            gateway,
            cgroup: Path::new("/sys/fs/cgroup").join(path.context("no cgroup")?),
            pid,
        })
    }

    /// How many of [`SENT`] datagrams pass, out and in.
    pub fn pass(&self) -> Result<[u32; 2]> {
        Ok([
            pass(&self.ours, &self.theirs, SENT)?,
            pass(&self.theirs, &self.ours, SENT)?,
        ])
    }

    /// True when nothing passes, either way.
    pub fn is_cut(&self) -> Result<bool> {
        let passed = [
            pass(&self.ours, &self.theirs, 2)?,
            pass(&self.theirs, &self.ours, 2)?,
        ];
        Ok(passed == [0, 0])
    }

    /// How long the fastest of three takes to the peer.
    fn takes(&self) -> Result<Duration> {
        let mut fastest = Duration::MAX;
        self.theirs.set_read_timeout(Some(DELAY * 10))?;
        for _ in 0..3 {
            let since = Instant::now();
            self.ours.send(b"x")?;
            self.theirs.recv(&mut [0; 8]).context("it was lost")?;
            fastest = fastest.min(since.elapsed());
        }
        self.theirs.set_read_timeout(Some(patience()))?;
        Ok(fastest)
    }

    /// The response code that a query gets.
    fn asks(&mut self, name: &str) -> Result<u8> {
        let server = SocketAddr::new(self.gateway.into(), 53);
        let socket = self.member.udp(server)?;
        socket.set_read_timeout(Some(DELAY * 10))?;
        socket.send(&message::query(7, name, message::A))?;
        let answer = message::receive(&socket)?.context("no answer")?;
        message::code(&answer).context("an answer of three bytes")
    }

    /// How long 2 MB take to a disk, past the page cache.
    fn writes(&mut self, file: &Path) -> Result<Duration> {
        let since = Instant::now();
        let file = file.display();
        self.member.say(&format!(
            "dd if=/dev/zero of={file} bs=100k count=20 oflag=direct conv=notrunc 2>&1"
        ))?;
        Ok(since.elapsed())
    }

    /// CPU time that all in its cgroup have had (`cpu.stat`).
    fn used(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(self.cgroup.join("cpu.stat"))?;
        let used = stat
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(used.context("no account")?.parse()?))
    }

    /// Its network, and what its cgroup and those above it are held to.
    pub fn state(&self) -> Result<(Snapshot, Vec<(PathBuf, String)>)> {
        let handle = File::open(format!("/proc/{}/ns/net", self.pid))?;
        let network = std::thread::scope(|scope| {
            let inside = || {
                setns(handle, CloneFlags::CLONE_NEWNET)?;
                Snapshot::here()
            };
            let thread = scope.spawn(inside);
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        let limits = ["io.max", "cpu.max", "cgroup.subtree_control", "pids.max"];
        let above = self.cgroup.ancestors().take(4);
        let files = above.flat_map(|dir| limits.map(|file| dir.join(file)));
        let read = |path: PathBuf| Some((path.clone(), std::fs::read_to_string(path).ok()?));
        Ok((network, files.filter_map(read).collect()))
    }
}

fn pass(from: &UdpSocket, to: &UdpSocket, count: u32) -> Result<u32> {
    for _ in 0..count {
        from.send(b"hello").context("refused")?;
    }
    let mut arrived = 0;
    while arrived < count && to.recv(&mut [0; 8]).is_ok() {
        arrived += 1;
    }
    Ok(arrived)
}

/// A name server on the bridge, which knows every name. Dropped, it ends.
struct Names {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Names {
    fn start(at: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((at, 53)).context("port 53 of the bridge is taken")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let serve = move || {
            let mut query = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                let Ok((length @ 12.., from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                let [high, low] = message::QR.to_be_bytes();
                query[2] |= high;
                query[3] |= low;
                // Whoever asked has its own time-out.
                socket.send_to(&query[..length], from).ok();
            }
        };
        Ok(Self {
            over,
            thread: Some(std::thread::spawn(serve)),
        })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The first of three lines is that of whom `target` names; a sibling of its pod and another pod follow.
pub struct Trio<'a> {
    pub daemon: &'a Daemon,
    pub target: Vec<&'a str>,
    pub lines: [Line; 3],
}

impl Trio<'_> {
    pub fn inject(&self, flags: &str) -> Result<Run<'_>> {
        let words = ["inject"].into_iter().chain(flags.split(' '));
        Run::start(self.daemon, words.chain(self.target.iter().copied()))
    }

    pub fn pass(&self) -> Result<[[u32; 2]; 3]> {
        let [a, b, c] = &self.lines;
        Ok([a.pass()?, b.pass()?, c.pass()?])
    }

    fn of_each<T>(&mut self, of: impl Fn(&mut Line) -> Result<T>) -> Result<[T; 3]> {
        let [a, b, c] = &mut self.lines;
        Ok([of(a)?, of(b)?, of(c)?])
    }

    /// Every kind of fault that a container can suffer by its packets, its disk and its CPU.
    pub fn first_alone_is_hit(&mut self) -> Result<()> {
        let before = self.of_each(|line| line.state())?;
        self.loses().context("drop")?;
        self.waits().context("delay")?;
        self.is_denied_names().context("dns")?;
        self.writes_slowly().context("disk")?;
        self.burns().context("cpu")?;
        // A plane is taken down when what it held has left.
        let same = |now: [_; 3]| now == before;
        let clean = || self.of_each(|line| line.state()).is_ok_and(same);
        if !wait_until(PATIENCE, clean) {
            let after = self.of_each(|line| line.state())?;
            for (before, after) in before.iter().zip(&after) {
                after.0.assert_same(&before.0);
                assert_eq!(after.1, before.1);
            }
        }
        assert_eq!(self.pass()?, [[SENT; 2]; 3]);
        Ok(())
    }

    fn loses(&self) -> Result<()> {
        assert_eq!(self.pass()?, [[SENT; 2]; 3], "before");
        let run = self.inject("drop --rate 100%")?;
        assert_eq!(self.pass()?, [[0; 2], [SENT; 2], [SENT; 2]]);
        let told = run.revert()?;
        // Neither is another's packet hit that no socket of ours sent.
        assert_eq!(told.total(0).affected, 2 * u64::from(SENT), "{told:?}");
        assert_eq!(self.pass()?, [[SENT; 2]; 3], "after");
        Ok(())
    }

    fn waits(&mut self) -> Result<()> {
        let delay = format!("delay --time {}ms --direction out", DELAY.as_millis());
        let run = self.inject(&delay)?.id().to_owned();
        let times = self.of_each(|line| line.takes())?;
        let told = self.daemon.cli(["revert", &run])?;
        ensure!(told.status == Some(0), "{told:?}");
        // fq lets go up to 0.1 ms early.
        let [first, others @ ..] = times;
        ensure!(first + Duration::from_millis(1) >= DELAY, "{times:?}");
        ensure!(others.iter().all(|time| *time < DELAY / 2), "{times:?}");
        Ok(())
    }

    fn is_denied_names(&mut self) -> Result<()> {
        const NOERROR: u8 = 0;
        const NXDOMAIN: u8 = 3;
        let _names = Names::start(self.lines[0].gateway)?;
        let other = "www.shop.example";
        let run = self.inject(&format!("dns --name {NAME} --answer nxdomain"))?;
        let run = run.id().to_owned();
        let codes = self.of_each(|line| Ok([line.asks(NAME)?, line.asks(other)?]))?;
        let told = self.daemon.cli(["revert", &run])?;
        ensure!(told.status == Some(0), "{told:?}");
        assert_eq!(codes, [[NXDOMAIN, NOERROR], [NOERROR; 2], [NOERROR; 2]]);
        assert_eq!(self.of_each(|line| line.asks(NAME))?, [NOERROR; 3]);
        Ok(())
    }

    fn writes_slowly(&mut self) -> Result<()> {
        let disk = Mounted::on("ext4", Disk::virtio()?)?;
        let file = disk.path().join("file");
        // What is there already takes no room anew.
        std::fs::write(&file, vec![1; 2_000_000])?;
        disk.sync()?;
        let path = disk.path().display();
        let run = self.inject(&format!("disk --path {path} --write-bps 500KB/s"))?;
        let run = run.id().to_owned();
        let mut times = self.of_each(|line| line.writes(&file))?;
        // A machine that stands still meanwhile makes another's writes slow too, now and then.
        for (line, time) in self.lines.iter_mut().zip(&mut times).skip(1) {
            for _ in 0..2 {
                *time = line.writes(&file)?.min(*time);
            }
        }
        let told = self.daemon.cli(["revert", &run])?;
        ensure!(told.status == Some(0), "{told:?}");
        let [first, others @ ..] = times;
        // 4 s, less a burst.
        ensure!(first >= Duration::from_secs(2), "{times:?}");
        ensure!(others.iter().all(|time| *time < first / 2), "{times:?}");
        Ok(())
    }

    fn burns(&mut self) -> Result<()> {
        let run = self.inject("cpu --load 50% --of core --cores 1")?;
        let run = run.id().to_owned();
        let (before, since) = (self.of_each(|line| line.used())?, Instant::now());
        std::thread::sleep(Duration::from_secs(3));
        let (after, took) = (self.of_each(|line| line.used())?, since.elapsed());
        let told = self.daemon.cli(["revert", &run])?;
        ensure!(told.status == Some(0), "{told:?}");
        let used: Vec<f64> = (0..3)
            .map(|n| after[n].saturating_sub(before[n]).as_secs_f64() / took.as_secs_f64())
            .collect();
        // On a machine that others use it may get less than it asks for.
        ensure!(used[0] > 0.1 && used[0] < 0.6, "{used:?}");
        ensure!(used[1] < 0.01 && used[2] < 0.01, "{used:?}");
        Ok(())
    }
}
