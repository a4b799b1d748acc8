//! Lives of members that are on this machine.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::{Child, Command};

use super::*;
use crate::{
    cgroup::tests::Scratch,
    profile::{Overrides, load},
};

/// A process that goes with the guard.
struct Sleeper(Child);

impl Sleeper {
    fn new(words: &[&str]) -> Self {
        Self(Command::new(words[0]).args(&words[1..]).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn netns(&self) -> std::path::PathBuf {
        format!("/proc/{}/ns/net", self.pid()).into()
    }

    /// Waits for `unshare` to have a namespace of its own.
    fn settle(&self) {
        let ino = |path: &Path| fs::metadata(path).unwrap().ino();
        let settled = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            ino(&self.netns()) != ino(Path::new("/proc/self/ns/net"))
        });
        assert!(settled, "it stays in ours");
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn maker(target: &str, fault: &str) -> Maker {
    let text = format!("version: 1\ntarget: {target}\nfaults: [{fault}]\n");
    let profile = load("t.yaml", &text, &Overrides::default()).unwrap();
    let Whom::Named(named) = profile.target.clone() else {
        panic!("{target} is no name");
    };
    Maker {
        name: "t.yaml".into(),
        profile,
        named,
        seed: 1,
        limits: Limits::default(),
    }
}

const UNIT: &str = "{unit: shop.service}";
const CUT: &str = "{partition: {}, match: {interfaces: [lo]}}";

#[test]
fn a_unit_whose_process_came_to_another_network_is_another_life() {
    let scratch = Scratch::new("unit-life");
    let main = Sleeper::new(&["unshare", "-n", "sleep", "60"]);
    fs::write(scratch.0.join("cgroup.procs"), main.pid().to_string()).unwrap();
    main.settle();
    let maker = maker(UNIT, CUT);
    let at = |netns: &Path| Member {
        cgroups: vec![scratch.0.clone()],
        pid: Some(main.pid()),
        netns: Some(netns.to_owned()),
        ..Member::default()
    };
    let now = at(&main.netns());
    let before = at(Path::new("/proc/self/ns/net"));
    let made = maker.plan_again(&now, &[]).unwrap().unwrap();
    assert_eq!(maker.incarnation(&now), Some(made.incarnation));
    assert_ne!(maker.incarnation(&before), Some(made.incarnation));
    // What has no main process is told by its cgroup alone.
    let slice = Member { netns: None, ..now };
    let made = maker.plan_again(&slice, &[]).unwrap().unwrap();
    assert_eq!(maker.incarnation(&slice), Some(made.incarnation));
}

#[test]
fn a_unit_whose_cgroup_has_no_process_yet_is_not_hit_again() {
    let scratch = Scratch::new("unit-empty");
    let member = Member {
        label: "unit shop.service".into(),
        cgroups: vec![scratch.0.clone()],
        ..Member::default()
    };
    let refused = maker(UNIT, CUT).plan_again(&member, &[]);
    let told = refused.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("does not run"), "{told}");
}

#[test]
fn a_container_without_a_cgroup_is_hit_by_its_network_until_its_process_ends() {
    let first = Sleeper::new(&["unshare", "-n", "sleep", "60"]);
    first.settle();
    let member = Member {
        label: "container shop (docker)".into(),
        pid: Some(first.pid()),
        netns: Some(first.netns()),
        ..Member::default()
    };
    let made = |fault| {
        let maker = maker("{container: shop}", fault);
        let made = maker.plan_again(&member, &[])?.unwrap();
        assert_eq!(maker.incarnation(&member), Some(made.incarnation));
        Ok::<_, PlanError>(made.plan.scope)
    };
    let scope = made(CUT).unwrap();
    assert_eq!(
        (scope.reach, scope.cgroup.is_none()),
        (Reach::Namespace, true)
    );
    scope.alive().unwrap();
    let told = made("{freeze: {}}").unwrap_err().to_string();
    assert!(
        told.contains("container shop (docker) has no cgroup"),
        "{told}"
    );
    assert!(
        told.contains("systemd.unified_cgroup_hierarchy=1"),
        "{told}"
    );
    let pid = first.pid();
    drop(first);
    assert_eq!(scope.alive(), Err(target::Gone::Process(pid)));
}
