//! A fault of a cgroup hits the sockets born in it and below it, whenever they were made, and no
//! others on the same machine.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use support::{
    Cgroup, Daemon, Family, Lab, Member, Options, Run, SEED, hangs_filters, skip, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(300);
const NO_TREE: &str = "this machine has no unified cgroup tree";

/// A run against a cgroup, by its path.
fn inject<'a>(daemon: &'a Daemon, flags: &str, target: [&str; 2]) -> Result<Run<'a>> {
    let seed = SEED.to_string();
    let words = ["inject"].into_iter().chain(flags.split(' '));
    Run::start(daemon, words.chain(target).chain(["--seed", &seed]))
}

/// A socket of a member, and the peer's, each connected to the other.
pub struct Datagrams {
    ours: UdpSocket,
    theirs: UdpSocket,
}

impl Datagrams {
    pub fn new(member: &mut Member, lab: &Lab, family: Family) -> Result<Self> {
        let address = SocketAddr::new(lab.peer().address_facing(lab.target(), family)?, 0);
        let theirs = lab.peer().enter(|| UdpSocket::bind(address))??;
        let ours = member.udp(theirs.local_addr()?)?;
        theirs.connect(ours.local_addr()?)?;
        for end in [&ours, &theirs] {
            end.set_read_timeout(Some(Duration::from_millis(60)))?;
        }
        Ok(Self { ours, theirs })
    }

    /// How many of three datagrams pass, out and in.
    pub fn pass(&self) -> Result<[u32; 2]> {
        let pass = |from: &UdpSocket, to: &UdpSocket| -> Result<u32> {
            for _ in 0..3 {
                from.send(b"hello").context("refused")?;
            }
            let mut arrived = 0;
            while arrived < 3 && to.recv(&mut [0; 8]).is_ok() {
                arrived += 1;
            }
            Ok(arrived)
        };
        Ok([
            pass(&self.ours, &self.theirs)?,
            pass(&self.theirs, &self.ours)?,
        ])
    }

    /// How long one takes to the peer.
    pub fn takes(&self) -> Result<Duration> {
        let quiet = self.theirs.read_timeout()?;
        self.theirs.set_read_timeout(Some(PATIENCE))?;
        let since = Instant::now();
        self.ours.send(b"hello").context("refused")?;
        self.theirs.recv(&mut [0; 8]).context("it was lost")?;
        self.theirs.set_read_timeout(quiet)?;
        Ok(since.elapsed())
    }
}

/// A connection of a member, and the peer's end.
struct Connection([TcpStream; 2]);

impl Connection {
    fn new(member: &mut Member, lab: &Lab, family: Family) -> Result<Self> {
        let address = SocketAddr::new(lab.peer().address_facing(lab.target(), family)?, 0);
        let listener = lab.peer().enter(|| TcpListener::bind(address))??;
        let ours = member.tcp(listener.local_addr()?)?;
        let ends = [ours, listener.accept()?.0];
        for end in &ends {
            end.set_read_timeout(Some(Duration::from_millis(10)))?;
        }
        Ok(Self(ends))
    }

    /// Whether what this end (0: the member's) says is heard at the other.
    fn carries(&self, end: usize, limit: Duration) -> Result<bool> {
        let (mut from, mut to) = (&self.0[end], &self.0[1 - end]);
        from.write_all(b"x")?;
        Ok(wait_until(limit, || {
            to.read(&mut [0; 1]).is_ok_and(|n| n == 1)
        }))
    }
}

#[test]
fn a_cgroup_and_its_subtree_are_hit_and_its_sibling_is_not() -> Result<()> {
    let lab = Lab::new("cgroup")?;
    let Some(parent) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let (target, sibling) = (parent.below("target")?, parent.below("sibling")?);
    let child = target.below("child")?;
    let daemon = Daemon::start(&Options::default())?;
    let mut members = [
        Member::start(&target, lab.target())?,
        Member::start(&child, lab.target())?,
        Member::start(&sibling, lab.target())?,
    ];
    for family in Family::BOTH {
        for (flags, hit) in [
            ("partition", [0, 0]),
            ("partition --direction out", [0, 3]),
            ("partition --direction in", [3, 0]),
            ("drop --rate 100% --protocol udp", [0, 0]),
        ] {
            // Half of the sockets exist before the fault, and half do not.
            let mut open = || -> Result<Vec<Datagrams>> {
                let opened = members
                    .iter_mut()
                    .map(|member| Datagrams::new(member, &lab, family));
                opened.collect()
            };
            let before = open()?;
            let run = inject(&daemon, flags, ["--cgroup", target.path()])?;
            let after = open()?;
            for sockets in [&before, &after] {
                let passed: Vec<_> = sockets.iter().map(Datagrams::pass).collect::<Result<_>>()?;
                assert_eq!(passed, [hit, hit, [3, 3]], "{family:?} {flags}");
            }
            drop(run.revert()?);
            for sockets in before.iter().chain(&after) {
                assert_eq!(sockets.pass()?, [3, 3], "{family:?} after {flags}");
            }
        }
    }
    Ok(())
}

/// What arrives first meets a socket that no program has seen yet.
#[test]
fn the_first_packet_that_arrives_is_hit_like_the_others() -> Result<()> {
    let lab = Lab::new("cgroup-first")?;
    let Some(target) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let daemon = Daemon::start(&Options::default())?;
    let mut member = Member::start(&target, lab.target())?;
    for family in Family::BOTH {
        let sockets = Datagrams::new(&mut member, &lab, family)?;
        let run = inject(
            &daemon,
            "partition --direction in",
            ["--cgroup", target.path()],
        )?;
        for _ in 0..5 {
            sockets.theirs.send(b"hello")?;
        }
        assert!(sockets.ours.recv(&mut [0; 8]).is_err(), "{family:?}");
        let told = run.revert()?.total(0);
        assert_eq!((told.matched, told.affected), (5, 5), "{family:?}");
    }
    Ok(())
}

#[test]
fn connections_of_a_cgroup_hang_and_go_on_and_its_sibling_talks() -> Result<()> {
    let lab = Lab::new("cgroup-tcp")?;
    let Some(parent) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let (target, sibling) = (parent.below("target")?, parent.below("sibling")?);
    let daemon = Daemon::start(&Options::default())?;
    let mut member = Member::start(&target, lab.target())?;
    let mut other = Member::start(&sibling, lab.target())?;
    for family in Family::BOTH {
        for (direction, end) in [("out", 0), ("in", 1)] {
            let what = format!("{family:?} {direction}");
            let hit = Connection::new(&mut member, &lab, family)?;
            let spared = Connection::new(&mut other, &lab, family)?;
            let flags = format!("partition --direction {direction}");
            let run = inject(&daemon, &flags, ["--cgroup", target.path()])?;
            assert!(!hit.carries(end, QUIET)?, "{what}");
            for end in [0, 1] {
                assert!(spared.carries(end, PATIENCE)?, "{what}: the sibling talks");
            }
            drop(run.revert()?);
            let mut heard = [0; 1];
            let mut there = &hit.0[1 - end];
            let went_on = wait_until(PATIENCE, || there.read(&mut heard).is_ok_and(|n| n == 1));
            assert!(went_on, "{what}: the connection goes on");
        }
    }
    Ok(())
}

#[test]
fn the_ping_of_a_cgroup_is_hit_and_that_of_its_sibling_is_not() -> Result<()> {
    let lab = Lab::new("cgroup-ping")?;
    let Some(parent) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let (target, sibling) = (parent.below("target")?, parent.below("sibling")?);
    let daemon = Daemon::start(&Options::default())?;
    let mut members = [
        Member::start(&target, lab.target())?,
        Member::start(&sibling, lab.target())?,
    ];
    let run = inject(&daemon, "partition", ["--cgroup", target.path()])?;
    for family in Family::BOTH {
        let address = lab.peer().address_facing(lab.target(), family)?;
        let ping = format!("ping -n -q -c 2 -i 0.1 -W 1 {address} >/dev/null");
        let line = format!("{ping} && echo answered || echo silent");
        let [hit, spared] = members.each_mut().map(|member| member.say(&line));
        assert_eq!(
            (hit?, spared?),
            ("silent".into(), "answered".into()),
            "{family:?}"
        );
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_process_stands_for_its_cgroup_in_its_namespace_and_ends_its_run() -> Result<()> {
    let lab = Lab::new("pid")?;
    let Some(target) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let daemon = Daemon::start(&Options::default())?;
    let mut member = Member::start(&target, lab.target())?;
    let sockets = Datagrams::new(&mut member, &lab, Family::V4)?;
    let run = inject(&daemon, "partition", ["--pid", &member.pid().to_string()])?;
    assert_eq!(sockets.pass()?, [0, 0]);
    member.end()?;
    assert!(wait_until(PATIENCE, || run.is_over()), "{}", daemon.log());
    let told = run.report()?;
    assert_eq!(
        (told.word("/phase"), told.word("/ended")),
        ("reverted", "target-gone")
    );
    assert_eq!(told.word("/faults/0/verdict"), "effective");
    assert!(
        told.0["notes"].to_string().contains("has ended"),
        "{told:?}"
    );
    assert_eq!(sockets.pass()?, [3, 3]);
    Ok(())
}

#[test]
fn a_cgroup_that_is_removed_in_mid_fault_ends_the_run() -> Result<()> {
    let lab = Lab::new("cgroup-gone")?;
    let Some(target) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let daemon = Daemon::start(&Options::default())?;
    let mut member = Member::start(&target, lab.target())?;
    let sockets = Datagrams::new(&mut member, &lab, Family::V6)?;
    let run = inject(&daemon, "partition", ["--cgroup", target.path()])?;
    assert_eq!(sockets.pass()?, [0, 0]);
    member.end()?;
    target.remove()?;
    assert!(wait_until(PATIENCE, || run.is_over()), "{}", daemon.log());
    let told = run.report()?;
    assert_eq!(
        (told.word("/phase"), told.word("/ended")),
        ("reverted", "target-gone")
    );
    assert!(
        told.0["notes"].to_string().contains("was removed"),
        "{told:?}"
    );
    assert_eq!(sockets.pass()?, [3, 3]);
    Ok(())
}

/// Sends 50 datagrams every 5 ms until `ended`; returns how many were sent and how many arrived.
fn stream(from: &UdpSocket, to: &UdpSocket, ended: &AtomicBool) -> Result<[u32; 2]> {
    let (mut sent, mut arrived) = (0, 0);
    while !ended.load(Ordering::Acquire) {
        for _ in 0..50 {
            from.send(b"hello").context("refused")?;
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
        while arrived < sent && to.recv(&mut [0; 8]).is_ok() {
            arrived += 1;
        }
    }
    Ok([sent, arrived])
}

#[test]
fn a_sibling_loses_nothing_while_the_fault_of_a_cgroup_comes_and_goes_a_hundred_times() -> Result<()>
{
    let lab = Lab::new("cgroup-sibling")?;
    let Some(parent) = Cgroup::new()? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let (target, sibling) = (parent.below("target")?, parent.below("sibling")?);
    let daemon = Daemon::start(&Options::default())?;
    let mut member = Member::start(&target, lab.target())?;
    let mut other = Member::start(&sibling, lab.target())?;
    let hit = Datagrams::new(&mut member, &lab, Family::V4)?;
    let ways = [Family::V4, Family::V6].map(|family| Datagrams::new(&mut other, &lab, family));
    let [v4, v6] = ways;
    let (v4, v6) = (v4?, v6?);
    if hangs_filters() {
        // clsact stops an interface for an instant when it comes, and stays while the plane lingers.
        drop(inject(&daemon, "partition", ["--cgroup", target.path()])?.revert()?);
    }
    let ended = AtomicBool::new(false);
    let (arms, out, into) = std::thread::scope(|scope| {
        let out = scope.spawn(|| stream(&v4.ours, &v4.theirs, &ended));
        let into = scope.spawn(|| stream(&v6.theirs, &v6.ours, &ended));
        let faults = [
            "partition",
            "corrupt --rate 50%",
            "drop --rate 50%",
            "reset",
        ];
        let arms = (0..100).try_for_each(|n| -> Result<()> {
            let run = inject(&daemon, faults[n % 4], ["--cgroup", target.path()])?;
            hit.ours.send(b"hello").context("refused")?;
            run.revert().map(drop)
        });
        // Said before any error is returned, since the streams are waited for.
        ended.store(true, Ordering::Release);
        (arms, out.join(), into.join())
    });
    arms?;
    for stream in [out, into] {
        let [sent, arrived] = stream.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        assert!(sent > 5_000, "{sent}");
        assert_eq!(arrived, sent);
    }
    Ok(())
}
