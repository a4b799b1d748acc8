//! Limits in numbers, and real reads through a loop device.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::*;
use crate::{
    cgroup::testing::{Standing, Target},
    device::{self, testing::Loop},
};

const DISK: Number = Number { major: 8, minor: 0 };
const MIB: u64 = 1 << 20;

#[test]
fn a_line_of_io_max_is_read_and_written() {
    let text = "8:0 rbps=max wbps=1048576 riops=max wiops=120\n8:16 rbps=5 wbps=max";
    let limits = Limits::parse(text, DISK);
    let expected = Limits {
        write_bps: Some(MIB),
        write_iops: Some(120),
        ..Limits::default()
    };
    assert_eq!(limits, expected);
    assert_eq!(limits.encode(DISK), "8:0 wbps=1048576 wiops=120");
    assert_eq!(Limits::parse("", DISK), Limits::default());
}

#[test]
fn what_the_kernel_would_not_take_is_refused() {
    let check = |limits: Limits| limits.check().is_ok();
    let read = |read_bps| Limits {
        read_bps: Some(read_bps),
        ..Limits::default()
    };
    let write = |write_iops| Limits {
        write_iops: Some(write_iops),
        ..Limits::default()
    };
    assert!(check(read(2)) && check(read(u64::MAX - 1)));
    assert!(!check(read(1)) && !check(read(u64::MAX)));
    assert!(check(write(2)) && check(write(u64::from(u32::MAX) - 1)));
    assert!(!check(write(0)) && !check(write(u64::from(u32::MAX))));
}

/// How long a process of the target takes to read so many MiB past the page cache.
fn read_time(target: &Target, node: &str, mib: u32) -> Duration {
    // It waits until it has been moved.
    let mut shell = Command::new("sh")
        .args([
            "-c",
            "read go; exec dd if=\"$0\" of=/dev/null bs=64k count=\"$1\" iflag=direct",
        ])
        .args([node, &(mib * 16).to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    target.take(shell.id());
    let start = Instant::now();
    drop(shell.stdin.take());
    assert!(shell.wait().unwrap().success());
    start.elapsed()
}

#[test]
fn a_disk_is_slow_for_the_cgroup_and_fast_again_afterwards() {
    let target = Target::new("io", Controller::Io);
    let Some(disk) = Loop::new() else {
        return;
    };
    let number = device::of(disk.node.as_ref()).unwrap().disks[0].number;
    let before = read_time(&target, &disk.node, 4);
    let limits = Limits {
        read_bps: Some(2 * MIB),
        ..Limits::default()
    };
    let standing = Standing::of(&prepare(&target.cgroup, number, &limits).unwrap());
    assert_eq!(limits_of(&target.cgroup, number).unwrap(), limits);
    let error = prepare(&target.cgroup, number, &limits).unwrap_err();
    assert!(matches!(error, LimitError::NotLower { .. }), "{error}");
    let slow = read_time(&target, &disk.node, 4);
    standing.revert();
    let after = read_time(&target, &disk.node, 4);
    assert!(
        (1.6..4.0).contains(&slow.as_secs_f64()),
        "{before:?} {slow:?} {after:?}"
    );
    assert!(
        before.as_secs_f64() < 1.5 && after.as_secs_f64() < 1.5,
        "{before:?} {slow:?} {after:?}"
    );
}

#[test]
fn limits_that_were_there_come_back_and_lower_ones_stay() {
    let target = Target::new("io-prior", Controller::Io);
    let enabled = Standing::of(&Controller::Io.place(&target.cgroup).unwrap().enable);
    let Some(disk) = Loop::new() else {
        return;
    };
    let number = device::of(disk.node.as_ref()).unwrap().disks[0].number;
    let limits = |read_bps, write_iops| Limits {
        read_bps: Some(read_bps),
        write_iops: Some(write_iops),
        ..Limits::default()
    };
    let prior = limits(5 * MIB, 7);
    let outer = Standing::of(&prepare(&target.cgroup, number, &prior).unwrap());
    let inner = Standing::of(&prepare(&target.cgroup, number, &limits(MIB, 9)).unwrap());
    let now = limits_of(&target.cgroup, number).unwrap();
    assert_eq!(now, limits(MIB, 7));
    inner.revert();
    assert_eq!(limits_of(&target.cgroup, number).unwrap(), prior);
    outer.revert();
    let none = Limits::default();
    assert_eq!(limits_of(&target.cgroup, number).unwrap(), none);
    enabled.revert();
}

#[test]
fn in_v1_every_cgroup_below_gets_the_limits_too() {
    let mut target = Target::new("io-below", Controller::Io);
    target.make_below("inner");
    let changes = prepare(
        &target.cgroup,
        Number { major: 7, minor: 0 },
        &Limits {
            read_bps: Some(MIB),
            write_bps: Some(MIB),
            ..Limits::default()
        },
    )
    .unwrap();
    let limits = changes
        .iter()
        .filter(|change| !matches!(change.control.part, Part::Enabled { .. }));
    let expected = match target.version {
        Version::V1 => 4,
        Version::V2 => 1,
    };
    assert_eq!(limits.count(), expected);
}

#[test]
fn what_escapes_is_told() {
    let target = Target::new("io-escapes", Controller::Io);
    let told = |kind| escapes(&target.cgroup, kind).unwrap().join("\n");
    match target.version {
        Version::V1 => assert!(told(Some("ext4")).contains("(blkio of v1)")),
        Version::V2 => {
            assert!(told(Some("ext4")).contains("writeback and fsync wait"));
            assert!(told(Some("vfat")).contains("does not charge"));
            assert!(!told(None).contains("metadata"));
        }
    }
}

#[test]
fn a_limit_on_a_volume_and_one_on_the_disk_below_both_hold() {
    let target = Target::new("io-dm", Controller::Io);
    let Some(disk) = Loop::new() else {
        return;
    };
    let Some(volume) = disk.volume() else {
        crate::netlink::tests::skipped("this kernel has no device mapper");
        return;
    };
    let location = device::of(volume.node.as_ref()).unwrap();
    let upper = &location.disks[0];
    let name = disk.node.trim_start_matches("/dev/");
    assert!(
        upper.name.starts_with("dm-") && upper.below[0].name == name,
        "{location}"
    );
    let limits = Limits {
        read_bps: Some(2 * MIB),
        ..Limits::default()
    };
    for number in [upper.number, upper.below[0].number] {
        let standing = Standing::of(&prepare(&target.cgroup, number, &limits).unwrap());
        let slow = read_time(&target, &volume.node, 4);
        standing.revert();
        assert!(
            (1.6..4.0).contains(&slow.as_secs_f64()),
            "{number}: {slow:?}"
        );
    }
}
