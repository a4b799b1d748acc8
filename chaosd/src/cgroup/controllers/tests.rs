//! Controllers of this machine, and of cgroups that cannot have them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;
use crate::cgroup::{
    resolve,
    testing::{Standing, Target, read as file},
};

const ALL: [Controller; 5] = [
    Controller::Cpu,
    Controller::Io,
    Controller::Freezer,
    Controller::Memory,
    Controller::Pids,
];

#[test]
fn each_controller_has_its_files_where_its_place_says() {
    for controller in ALL {
        let target = Target::new("place", controller);
        let place = controller.place(&target.cgroup).unwrap();
        assert_eq!(place.directory, target.files, "{controller}");
        assert_eq!(place.version, target.version, "{controller}");
        assert!(place.directory.starts_with(&place.root));
        let standing = Standing::of(&place.enable);
        assert!(controller.place(&target.cgroup).unwrap().enable.is_empty());
        let (v1, v2) = match controller {
            Controller::Cpu => ("cpu.cfs_quota_us", "cpu.max"),
            Controller::Io => ("blkio.throttle.read_bps_device", "io.max"),
            Controller::Freezer => ("freezer.state", "cgroup.freeze"),
            Controller::Memory => ("memory.limit_in_bytes", "memory.max"),
            Controller::Pids => ("pids.max", "pids.max"),
        };
        let name = match place.version {
            Version::V1 => v1,
            Version::V2 => v2,
        };
        assert!(place.directory.join(name).exists(), "{controller}");
        standing.revert();
    }
}

#[test]
fn a_cgroup_without_a_counterpart_is_refused_by_name() {
    let target = Target::new("alone", Controller::Cpu);
    if target.version == Version::V2 {
        crate::netlink::tests::skipped("this machine has all controllers in the unified tree");
        return;
    }
    std::fs::remove_dir(&target.files).unwrap();
    let error = Controller::Cpu.place(&target.cgroup).unwrap_err();
    assert!(
        matches!(&error, ControllerError::NoCounterpart { path, .. } if *path == target.files),
        "{error}"
    );
    assert!(error.to_string().contains("CPUAccounting=yes"), "{error}");
}

#[test]
fn in_v1_the_processes_must_be_the_same() {
    let mut target = Target::new("same", Controller::Cpu);
    if target.version == Version::V2 {
        crate::netlink::tests::skipped("this machine has all controllers in the unified tree");
        return;
    }
    let pid = target.start("sleep", &["60"]).id();
    Controller::Cpu.place(&target.cgroup).unwrap();
    let root = |directory: &Path| directory.parent().unwrap().join("cgroup.procs");
    fs::write(root(&target.files), pid.to_string()).unwrap();
    let error = Controller::Cpu.place(&target.cgroup).unwrap_err();
    assert!(
        matches!(error, ControllerError::Elsewhere { .. }),
        "{error}"
    );
    target.take(pid);
    fs::write(root(&target.cgroup.path), pid.to_string()).unwrap();
    let error = Controller::Cpu.place(&target.cgroup).unwrap_err();
    assert!(
        matches!(error, ControllerError::Bystander { .. }),
        "{error}"
    );
}

#[test]
fn a_cgroup_made_anew_is_not_the_target() {
    let target = Target::new("gone", Controller::Freezer);
    fs::remove_dir(&target.cgroup.path).unwrap();
    fs::create_dir(&target.cgroup.path).unwrap();
    let error = Controller::Freezer.place(&target.cgroup).unwrap_err();
    assert!(matches!(error, ControllerError::Gone(_)), "{error}");
}

#[test]
fn a_controller_is_enabled_from_the_top_and_disabled_again() {
    let mut target = Target::new("enable", Controller::Pids);
    if target.version == Version::V1 {
        crate::netlink::tests::skipped("this machine has no controller in the unified tree");
        return;
    }
    let inner = target.make_below("inner");
    let root = tree_of(&target.cgroup);
    let control = |path: &Path| file(path, SUBTREE_CONTROL);
    let before = [control(&root), control(&target.cgroup.path)];
    let cgroup = resolve(&inner).unwrap();
    let enable = Controller::Pids.place(&cgroup).unwrap().enable;
    assert_eq!(
        enable.last().unwrap().write(),
        (target.cgroup.path.join(SUBTREE_CONTROL), "+pids".to_owned())
    );
    let standing = Standing::of(&enable);
    assert!(inner.join("pids.max").exists());
    standing.revert();
    assert_eq!([control(&root), control(&target.cgroup.path)], before);
}

#[test]
fn a_controller_that_somebody_has_come_to_use_stays_enabled() {
    let mut target = Target::new("used", Controller::Pids);
    if target.version == Version::V1 {
        crate::netlink::tests::skipped("this machine has no controller in the unified tree");
        return;
    }
    let inner = target.make_below("inner");
    let place = Controller::Pids.place(&resolve(&inner).unwrap()).unwrap();
    let all = Standing::of(&place.enable);
    let sibling = target.make_below("sibling");
    fs::write(sibling.join("pids.max"), "7").unwrap();
    let report = all.report();
    assert!(report.is_clean(), "{report}");
    assert!(
        report.left_alone[0].ends_with("sibling/pids.max set to 7"),
        "{report}"
    );
    assert_eq!(file(&sibling, "pids.max"), "7");
    // As it was found.
    fs::write(target.cgroup.path.join(SUBTREE_CONTROL), "-pids").unwrap();
    if !place.enable[0]
        .control
        .cgroup
        .starts_with(&target.cgroup.path)
    {
        fs::write(place.root.join(SUBTREE_CONTROL), "-pids").unwrap();
    }
}

#[test]
fn a_parent_with_processes_is_named() {
    let mut target = Target::new("populated", Controller::Io);
    if target.version == Version::V1 {
        crate::netlink::tests::skipped("this machine has no controller in the unified tree");
        return;
    }
    let inner = target.make_below("inner");
    target.start("sleep", &["60"]);
    let error = Controller::Io.place(&resolve(&inner).unwrap()).unwrap_err();
    assert!(
        matches!(&error, ControllerError::Populated { parent, .. } if *parent == target.cgroup.path),
        "{error}"
    );
}

#[test]
fn a_controller_that_is_switched_off_is_told_from_one_that_is_not_mounted() {
    let table = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t0\t1\t0\n";
    assert!(enabled(table, "cpu"));
    assert!(!enabled(table, "memory"));
    assert!(!enabled(table, "blkio"));
}

#[test]
fn a_process_is_found_in_hierarchies_with_several_controllers() {
    let table = "9:name=systemd:/a\n4:cpu,cpuacct:/b:c\n0::/d\n";
    assert_eq!(line_of(table, "cpuacct"), Some("/b:c"));
    assert_eq!(line_of(table, ""), Some("/d"));
    assert_eq!(line_of(table, "blkio"), None);
}
