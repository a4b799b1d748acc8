//! A parent which applies real changes, and dies where it is told to.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    env,
    error::Error,
    fs, io,
    io::Write,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
};

use nix::sys::signal::{Signal, raise};

use super::super::{HEARTBEAT, Watchdog};
use crate::{
    clock::Standing,
    instance::{Instance, Kind, StateDir},
    journal::Journal,
    process::Identity,
    txn::{Applied, Txn, TxnError},
    undo::{FileOf, Filter, Held, Map, NetnsId, Outcome, Real, Sysctl, System, Undo},
};

pub(super) const KEYS: [&str; 3] = [
    "net/ipv4/conf/lo/accept_local",
    "net/ipv4/conf/lo/log_martians",
    "net/ipv4/conf/lo/arp_ignore",
];
pub(super) const FENCED: &str = "CHAOSD_TEST_FENCED";
pub(super) const ROLE: &str = "CHAOSD_TEST_ROLE";

/// The machine, with planes that note in a file when they are fenced.
pub(super) fn machine() -> Real {
    Real::new(
        |_, _, _| Ok(false),
        |id, name| {
            let path = env::var_os(FENCED).ok_or("no file to note it in")?;
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)?;
            writeln!(file, "{id} {name}")?;
            Ok(true)
        },
        |_, _, _, _| Ok(Outcome::AlreadyGone),
    )
}

pub(super) fn this_binary(role: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["watchdog::crash::entry", "--exact", "--nocapture"])
        .env(ROLE, role);
    command
}

pub(super) fn watchdog_of(instance: &Instance) -> Watchdog {
    Watchdog::start_as(this_binary("watchdog"), instance).unwrap()
}

/// Kills its process when a counter comes to a number.
struct Fuse {
    at: usize,
    count: AtomicUsize,
}

impl Fuse {
    fn step(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == self.at {
            raise(Signal::SIGKILL).unwrap();
        }
    }
}

/// A machine on which every write may be the last.
struct Fused(Real, Arc<Fuse>);

impl System for Fused {
    fn delete_link(
        &self,
        netns: BorrowedFd<'_>,
        name: &str,
        alias: &str,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.0.delete_link(netns, name, alias)
    }

    fn read_sysctl(&self, netns: BorrowedFd<'_>, key: &str) -> io::Result<Option<String>> {
        self.0.read_sysctl(netns, key)
    }

    fn write_sysctl(&self, netns: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()> {
        self.1.step();
        self.0.write_sysctl(netns, key, value)?;
        self.1.step();
        Ok(())
    }

    fn fence(&self, id: u32, name: &str) -> Result<bool, Box<dyn Error + Send + Sync>> {
        self.1.step();
        self.0.fence(id, name)
    }

    fn remove_filters(
        &self,
        netns: BorrowedFd<'_>,
        index: u32,
        filters: &[Filter],
        clsact: bool,
    ) -> Result<Outcome, Box<dyn Error + Send + Sync>> {
        self.0.remove_filters(netns, index, filters, clsact)
    }

    fn delete_file(&self, file: &FileOf) -> io::Result<bool> {
        self.1.step();
        self.0.delete_file(file)
    }

    fn empty_file(&self, file: &Held) -> io::Result<bool> {
        self.1.step();
        self.0.empty_file(file)
    }

    fn go_on(&self, who: &Identity) -> io::Result<bool> {
        self.1.step();
        self.0.go_on(who)
    }

    fn read_control(&self, cgroup: &Path, id: u64, file: &str) -> io::Result<Option<String>> {
        self.0.read_control(cgroup, id, file)
    }

    fn write_control(&self, cgroup: &Path, id: u64, file: &str, text: &str) -> io::Result<()> {
        self.1.step();
        self.0.write_control(cgroup, id, file, text)?;
        self.1.step();
        Ok(())
    }

    fn uses_controller(
        &self,
        cgroup: &Path,
        id: u64,
        controller: &str,
    ) -> io::Result<Option<String>> {
        self.0.uses_controller(cgroup, id, controller)
    }

    fn step_clock(&self, decide: &mut dyn FnMut(&Standing) -> Option<i64>) -> io::Result<()> {
        self.1.step();
        self.0.step_clock(decide)
    }
}

/// The parent: applies three sysctls and a plane, then does as its role says.
pub(super) fn parent(role: &str) {
    let state = StateDir::new(env::var_os("CHAOSD_TEST_STATE").unwrap());
    let netns_path = PathBuf::from(env::var_os("CHAOSD_TEST_NETNS").unwrap());
    let netns = OwnedFd::from(fs::File::open(&netns_path).unwrap());
    let netns_id = NetnsId::of(netns_path, &netns).unwrap();
    let at = role
        .strip_prefix("die-")
        .map_or(usize::MAX, |n| n.parse().unwrap());
    let fuse = Arc::new(Fuse {
        at,
        count: AtomicUsize::new(0),
    });
    let system = Arc::new(Fused(machine(), fuse.clone()));
    let instance = Instance::claim(&state, Kind::Run).unwrap();
    let watchdog = watchdog_of(&instance);
    fuse.step();
    let journal = instance.journal("run-1").unwrap();
    fuse.step();
    watchdog.armed().unwrap();
    let applied = apply(journal, &system, &netns, &netns_id, &fuse).unwrap();
    fuse.step();
    println!("\napplied {}", watchdog.pid());
    match role {
        "stop" => raise(Signal::SIGSTOP).unwrap(),
        "stay" => loop {
            watchdog.heartbeat().unwrap();
            sleep(HEARTBEAT);
        },
        "panic" => {
            // As by an unwinding panic: nothing is said, everything is dropped.
            drop((watchdog, applied, instance));
            return;
        }
        _ => {}
    }
    assert!(applied.revert().is_clean());
    fuse.step();
    watchdog.goodbye();
    fuse.step();
}

fn apply(
    journal: Journal,
    system: &Arc<Fused>,
    netns: &OwnedFd,
    netns_id: &NetnsId,
    fuse: &Fuse,
) -> Result<Applied, TxnError> {
    let mut txn = Txn::begin(journal, system.clone());
    for key in KEYS {
        let undo = Undo::Sysctl(Sysctl {
            netns: netns_id.clone(),
            key: key.into(),
            prior: "0".into(),
            ours: "1".into(),
        });
        txn.step(
            undo,
            || Ok(system.write_sysctl(netns.as_fd(), key, "1")?),
            |()| match system.read_sysctl(netns.as_fd(), key)?.as_deref() {
                Some("1") => Ok(()),
                other => Err(format!("it reads {other:?}").into()),
            },
        )?;
        fuse.step();
    }
    let map = Map {
        id: 7,
        name: "CONTROL".into(),
    };
    txn.step(Undo::Map(map), || Ok(()), |()| Ok(()))?;
    txn.commit()
}
