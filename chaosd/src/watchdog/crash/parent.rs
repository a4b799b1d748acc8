//! A parent which applies real changes, and dies where it is told to.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    env, fs,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::Command,
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use nix::sys::signal::{Signal, raise};

use super::{
    super::{HEARTBEAT, Watchdog},
    fuse::{Fuse, Fused, Victim, machine},
};
use crate::{
    cgroup::{self, Change, Settled},
    instance::{Instance, Kind, StateDir},
    journal::Journal,
    plan::{Limits, Plans},
    profile::{Overrides, load},
    resource::{Acting, Host, Now},
    txn::{Applied, Txn, TxnError},
    undo::{Control, Map, NetnsId, RevertReport, Sysctl, System, Undo},
};

pub(super) const KEYS: [&str; 3] = [
    "net/ipv4/conf/lo/accept_local",
    "net/ipv4/conf/lo/log_martians",
    "net/ipv4/conf/lo/arp_ignore",
];
pub(super) const ROLE: &str = "CHAOSD_TEST_ROLE";
/// The text of a profile of one fault, which the parent applies in place of sysctls.
pub(super) const FAULT: &str = "CHAOSD_TEST_FAULT";
/// Changes of control files (JSON of `Vec<Control>`), in place of sysctls.
pub(super) const CONTROLS: &str = "CHAOSD_TEST_CONTROLS";
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

/// What the parent has in force.
enum InForce {
    Changes(Applied),
    Fault(Box<dyn Acting>),
}

impl InForce {
    fn end(self) -> RevertReport {
        match self {
            Self::Changes(applied) => applied.revert(),
            Self::Fault(acting) => acting.end(),
        }
    }
}

/// The parent: applies what it is told, then does as its role says.
pub(super) fn parent(role: &str) {
    let state = StateDir::new(env::var_os("CHAOSD_TEST_STATE").unwrap());
    let (victim, at) = Victim::of(role).unwrap_or((Victim::Parent, usize::MAX));
    let fuse = Arc::new(Fuse::new(at, victim));
    let system = Arc::new(Fused::new(machine(), &fuse));
    let instance = Arc::new(Instance::claim(&state, Kind::Run).unwrap());
    let watchdog = watchdog_of(&instance);
    fuse.is_watched_by(watchdog.pid());
    fuse.step();
    // Without it the engine would start another.
    assert!(watchdog.armed().is_ok() || victim == Victim::Watchdog);
    fuse.step();
    let in_force = match (env::var(FAULT), env::var(CONTROLS)) {
        (Ok(text), _) => InForce::Fault(arm(&text, &instance, &system, &fuse)),
        (_, Ok(text)) => InForce::Changes(control(&text, &instance, &system, &fuse)),
        _ => InForce::Changes(sysctls(&instance, &system, &fuse)),
    };
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
            drop((watchdog, in_force, instance));
            return;
        }
        _ => {}
    }
    let undone = in_force.end();
    assert!(undone.is_clean(), "{undone}");
    fuse.step();
    watchdog.goodbye();
    fuse.is_watched_by(0);
    fuse.step();
}

/// The fault of a profile, in force.
fn arm(text: &str, instance: &Arc<Instance>, system: &Arc<Fused>, fuse: &Fuse) -> Box<dyn Acting> {
    let profile = load("crash.yaml", text, &Overrides::default()).unwrap();
    let plans = Plans::make("crash", &profile, Limits::default()).unwrap();
    let plan = plans.iter().next().unwrap();
    let host = Host::new(
        Arc::clone(instance),
        system.clone(),
        "run-1-0".into(),
        plan.run_for,
    );
    let mut acting = plan.resources[0].bound.arm(host).unwrap();
    fuse.step();
    let now = Now {
        since: Duration::ZERO,
        intensity: 1.0,
    };
    acting.act(now).unwrap();
    acting
}

/// Changes of control files, in force.
fn control(text: &str, instance: &Instance, system: &Arc<Fused>, fuse: &Fuse) -> Applied {
    let controls: Vec<Control> = serde_json::from_str(text).unwrap();
    let mut txn = Txn::begin(instance.journal("run-1").unwrap(), system.clone());
    for control in controls {
        let settled = match control.file.as_str() {
            "freezer.state" => Settled::Frozen,
            _ => Settled::ReadsBack,
        };
        cgroup::apply(&mut txn, &Change { control, settled }).unwrap();
        fuse.step();
    }
    txn.commit().unwrap()
}

/// Three sysctls and a plane, in force.
fn sysctls(instance: &Instance, system: &Arc<Fused>, fuse: &Fuse) -> Applied {
    let netns_path = PathBuf::from(env::var_os("CHAOSD_TEST_NETNS").unwrap());
    let netns = OwnedFd::from(fs::File::open(&netns_path).unwrap());
    let netns_id = NetnsId::of(netns_path, &netns).unwrap();
    let journal = instance.journal("run-1").unwrap();
    fuse.step();
    apply(journal, system, &netns, &netns_id, fuse).unwrap()
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
