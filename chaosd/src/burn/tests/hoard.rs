//! A burner of memory, beside `/proc/PID/smaps_rollup`.

use super::*;
use crate::journal::testing::TempDir;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;

fn memory(guards: Vec<Guard>) -> Work {
    Work::Memory {
        bytes: SIZE,
        lock: false,
        guards,
    }
}

/// Resident memory that is no file's, in bytes.
fn anonymous(burner: &Burner) -> u64 {
    let text = proc(burner.pid(), "smaps_rollup");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// Within 2 % of what is asked at full intensity.
fn is_about(bytes: u64, wanted: u64) -> bool {
    bytes.abs_diff(wanted) <= SIZE / 50
}

/// Vouches until as much as this is held and resident, by its own account and by the kernel's.
fn follow(burner: &mut Burner, before: u64, intensity: f64, wanted: u64) {
    vouch_until(burner, intensity, |burner| {
        let seen = burner.progress();
        is_about(seen.bytes_asked, wanted)
            && is_about(seen.bytes_held, wanted)
            && is_about(seen.bytes_resident, wanted)
            && is_about(anonymous(burner).saturating_sub(before), wanted)
            && !seen.held_back
    });
}

#[test]
fn residence_follows_the_intensity_up_and_down() {
    let mut burner = start(&memory(vec![]), &[]).unwrap();
    let before = anonymous(&burner);
    for (intensity, wanted) in [(0.25, SIZE / 4), (1.0, SIZE), (0.5, SIZE / 2), (0.0, 0)] {
        follow(&mut burner, before, intensity, wanted);
    }
    assert_eq!(burner.progress().bytes_held, 0);
}

#[test]
fn locked_memory_is_given_back_too() {
    let work = Work::Memory {
        bytes: 8 * MIB,
        lock: true,
        guards: vec![],
    };
    let mut burner = start(&work, &[]).unwrap();
    vouch_until(&mut burner, 1.0, |b| b.progress().bytes_held == 8 * MIB);
    let status = proc(burner.pid(), "status");
    assert!(status.contains("VmLck:\t    8192 kB"), "{status}");
    vouch_until(&mut burner, 0.0, |b| b.progress().bytes_held == 0);
    vouch_until(&mut burner, 1.0, |b| b.progress().bytes_held == 8 * MIB);
}

#[test]
fn memory_of_a_parent_that_says_nothing_is_given_back_after_the_lease() {
    let mut burner = start(&memory(vec![]), &[]).unwrap();
    let before = anonymous(&burner);
    follow(&mut burner, before, 1.0, SIZE);
    let begun = Instant::now();
    burner.vouch(1.0).unwrap();
    while anonymous(&burner) > before + SIZE / 50 {
        assert!(begun.elapsed() < LONG, "it keeps it");
        sleep(Duration::from_millis(20));
    }
    // An order's time is kept to 16 us.
    let lived = begun.elapsed() + Duration::from_millis(1);
    assert!(lived > LEASE, "given back after {lived:?}");
    follow(&mut burner, before, 1.0, SIZE);
}

#[test]
fn a_guard_without_room_holds_it_back_until_there_is_some() {
    let dir = TempDir::new();
    let file = |name: &str, bytes: u64| {
        let path = dir.path().join(name);
        fs::write(&path, bytes.to_string()).unwrap();
        path
    };
    let current = file("current", 96 * MIB);
    let guard = Guard::Cgroup {
        limit: file("limit", 100 * MIB),
        current: current.clone(),
        stat: None,
        keep_percent: 5.0,
    };
    let mut burner = start(&memory(vec![guard]), &[]).unwrap();
    vouch_until(&mut burner, 1.0, |b| b.progress().held_back);
    assert_eq!(burner.progress().bytes_held, 0);
    fs::write(current, "1000").unwrap();
    vouch_until(&mut burner, 1.0, |b| b.progress().bytes_held == SIZE);
    assert!(!burner.progress().held_back);
}

#[test]
fn what_cannot_be_prepared_is_told_by_the_burner() {
    let guard = Guard::Cgroup {
        limit: "/no/such/limit".into(),
        current: "/no/such/current".into(),
        stat: None,
        keep_percent: 5.0,
    };
    let error = start(&memory(vec![guard]), &[]).unwrap_err().to_string();
    assert!(error.contains("failed to open /no/such/limit"), "{error}");
    let work = Work::Memory {
        bytes: u64::MAX,
        lock: false,
        guards: vec![],
    };
    let error = start(&work, &[]).unwrap_err().to_string();
    assert!(error.contains("failed to reserve"), "{error}");
}
