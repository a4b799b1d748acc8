//! Quotas in numbers, and on real cgroups with a program that burns CPU time.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, thread, time::Duration, time::Instant};

use super::*;
use crate::cgroup::testing::{self, Standing, Target};

fn quota(text: &str) -> Quota {
    Quota::parse(text).unwrap()
}

fn set(target: &Target, directory: &Path, quota: &str, period: &str) {
    match target.version {
        Version::V2 => fs::write(directory.join(V2), format!("{quota} {period}")).unwrap(),
        Version::V1 => {
            fs::write(directory.join(V1_PERIOD), period).unwrap();
            fs::write(directory.join(V1_QUOTA), quota).unwrap();
        }
    }
}

fn all_files(target: &Target, directory: &Path) -> Vec<String> {
    let files: &[&str] = match target.version {
        Version::V2 => &[V2, V2_BURST],
        Version::V1 => &[V1_QUOTA, V1_PERIOD, V1_BURST],
    };
    let read = |file: &&str| testing::read(directory, file);
    files.iter().map(read).collect()
}

#[test]
fn both_versions_are_read() {
    assert_eq!(quota("max 100000").share(), None);
    assert_eq!(quota("50000 100000").share(), Some(CORE / 2));
    assert_eq!(Quota::parse_v1("-1", "100000"), Some(quota("max 100000")));
    assert_eq!(
        Quota::parse_v1("150000\n", "100000\n"),
        Some(quota("150000 100000"))
    );
    for strange in ["", "max", "50000 0", "-5 100000", "x 1"] {
        assert_eq!(Quota::parse(strange), None, "{strange}");
    }
}

#[test]
fn a_share_keeps_the_period_unless_the_quota_would_be_less_than_the_kernel_takes() {
    let with = |share| quota("max 100000").with_share(share).map(|q| q.to_string());
    assert_eq!(with(CORE / 4).unwrap(), "25000 100000");
    assert_eq!(with(CORE * 3).unwrap(), "300000 100000");
    assert_eq!(with(10_000).unwrap(), "1000 100000");
    assert_eq!(with(9_999).unwrap(), "9999 1000000");
    assert_eq!(with(1000).unwrap(), "1000 1000000");
    assert!(matches!(with(999), Err(LimitError::Range { .. })));
    assert!(matches!(with(u64::MAX), Err(LimitError::Range { .. })));
}

#[test]
fn shares_are_told_in_cores() {
    assert_eq!(cores(500_000), "0.5 cores");
    assert_eq!(cores(2_000_000), "2 cores");
    assert_eq!(cores(1_234_567), "1.234567 cores");
}

#[test]
fn a_program_gets_its_share_and_afterwards_all_again() {
    let mut target = Target::new("cpu-share", Controller::Cpu);
    let pid = target.spin();
    let standing = Standing::of(&prepare(&target.cgroup, CORE / 5).unwrap());
    let start = Instant::now();
    let before = testing::cpu_time(pid);
    thread::sleep(Duration::from_secs(2));
    let used = testing::cpu_time(pid).saturating_sub(before);
    let share = used.as_secs_f64() / start.elapsed().as_secs_f64();
    assert_eq!(
        in_force(&target.cgroup).unwrap().unwrap().0.share(),
        Some(CORE / 5)
    );
    standing.revert();
    assert!((0.1..0.26).contains(&share), "{share}");
    assert!(in_force(&target.cgroup).unwrap().is_none());
}

#[test]
fn the_exact_prior_quota_period_and_burst_come_back() {
    let target = Target::new("cpu-prior", Controller::Cpu);
    let enabled = Standing::of(&Controller::Cpu.place(&target.cgroup).unwrap().enable);
    set(&target, &target.files, "60000", "70000");
    let burst = match target.version {
        Version::V2 => V2_BURST,
        Version::V1 => V1_BURST,
    };
    fs::write(target.files.join(burst), "50000").unwrap();
    let prior = all_files(&target, &target.files);
    // So little that the period has to change too.
    let standing = Standing::of(&prepare(&target.cgroup, 2000).unwrap());
    let now = in_force(&target.cgroup).unwrap().unwrap().0;
    assert_eq!(now, quota("2000 1000000"));
    assert_eq!(target.file(burst), "0");
    standing.revert();
    assert_eq!(all_files(&target, &target.files), prior);
    set(
        &target,
        &target.files,
        if target.version == Version::V2 {
            "max"
        } else {
            "-1"
        },
        "100000",
    );
    fs::write(target.files.join(burst), "0").unwrap();
    enabled.revert();
}

#[test]
fn a_cgroup_below_that_has_more_is_no_obstacle_and_gets_its_quota_back() {
    let mut target = Target::new("cpu-below", Controller::Cpu);
    let below = target.make_below("inner");
    if target.version == Version::V2 {
        let enabled = Controller::Cpu.place(&target.cgroup).unwrap().enable;
        let inner = crate::cgroup::resolve(&target.cgroup.path.join("inner")).unwrap();
        let all = Controller::Cpu.place(&inner).unwrap().enable;
        assert_eq!(all.len(), enabled.len() + 1);
        let enabled = Standing::of(&all);
        set(&target, &below, "90000", "100000");
        let standing = Standing::of(&prepare(&target.cgroup, 333_333).unwrap());
        assert_eq!(testing::read(&below, V2), "90000 100000");
        standing.revert();
        set(&target, &below, "max", "100000");
        enabled.revert();
        return;
    }
    set(&target, &below, "700000", "900000");
    let prior = all_files(&target, &below);
    let standing = Standing::of(&prepare(&target.cgroup, 333_333).unwrap());
    assert_eq!(target.file(V1_QUOTA), "33333");
    standing.revert();
    assert_eq!(all_files(&target, &below), prior);
    assert_eq!(target.file(V1_QUOTA), "-1");
}

#[test]
fn a_quota_that_would_give_more_is_refused() {
    let target = Target::new("cpu-more", Controller::Cpu);
    let standing = Standing::of(&prepare(&target.cgroup, CORE / 10).unwrap());
    for share in [CORE / 10, CORE / 2] {
        let error = prepare(&target.cgroup, share).unwrap_err();
        assert!(matches!(error, LimitError::NotLower { .. }), "{error}");
        assert!(
            error.to_string().contains("has 0.1 cores already"),
            "{error}"
        );
    }
    standing.revert();
}

#[test]
fn the_root_is_refused() {
    let root = crate::cgroup::resolve(Path::new("/")).unwrap();
    let error = prepare(&root, CORE).unwrap_err();
    assert!(
        error.to_string().contains("name a cgroup below it"),
        "{error}"
    );
}
