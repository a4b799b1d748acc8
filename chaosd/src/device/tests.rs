//! Paths of this machine: its root, a loop device made for the test, and what is no disk.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::thread;

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{testing::Loop, *};
use crate::journal::testing::TempDir;

#[test]
fn numbers_are_read_and_written_as_the_kernel_does() {
    let number: Number = "259:12\n".parse().unwrap();
    assert_eq!((number.major, number.minor), (259, 12));
    assert_eq!(number.to_string(), "259:12");
    for wrong in ["", "8", "8:", "a:0", "8:0:0"] {
        assert!(wrong.parse::<Number>().is_err(), "{wrong}");
    }
}

/// Runs with mounts of its own, which go with it.
fn alone<T: Send>(work: impl FnOnce(&Path) -> T + Send) -> T {
    let directory = TempDir::new();
    thread::scope(|scope| {
        let path = directory.path();
        let work = move || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            work(path)
        };
        scope.spawn(work).join().unwrap()
    })
}

fn mount_at(source: &str, directory: &Path, kind: &str, options: Option<&str>) {
    fs::create_dir_all(directory).unwrap();
    mount(
        Some(source),
        directory,
        Some(kind),
        MsFlags::empty(),
        options,
    )
    .unwrap();
}

#[test]
fn a_file_on_a_loop_device_goes_to_that_device() {
    let Some(disk) = Loop::with("ext4") else {
        return;
    };
    let (of_file, of_node) = alone(|directory| {
        mount_at(&disk.node, &directory.join("a b"), "ext4", None);
        let file = directory.join("a b/file");
        fs::write(&file, "x").unwrap();
        (of(&file), of(Path::new(&disk.node)))
    });
    let location = of_file.unwrap();
    assert_eq!(location.file_system.as_deref(), Some("ext4"));
    let name = disk.node.trim_start_matches("/dev/");
    let chain = format!(" -> {name} ({})", disk.file.display());
    assert!(location.to_string().ends_with(&chain), "{location}");
    assert!(location.disks[0].number.major == 7, "{location}");
    assert_eq!(of_node.unwrap().disks, location.disks);
}

#[test]
fn an_overlay_leads_to_the_disks_of_its_layers() {
    let Some(disk) = Loop::with("ext4") else {
        return;
    };
    let location = alone(|directory| {
        mount_at(&disk.node, &directory.join("disk"), "ext4", None);
        mount_at("none", &directory.join("memory"), "tmpfs", None);
        for layer in ["disk/upper", "disk/work", "memory/lower"] {
            fs::create_dir(directory.join(layer)).unwrap();
        }
        let at = directory.display();
        let options =
            format!("lowerdir={at}/memory/lower,upperdir={at}/disk/upper,workdir={at}/disk/work");
        let merged = directory.join("merged");
        fs::create_dir(&merged).unwrap();
        let none = MsFlags::empty();
        match mount(
            Some("o"),
            &merged,
            Some("overlay"),
            none,
            Some(options.as_str()),
        ) {
            Ok(()) => Some(of(&merged).unwrap()),
            Err(_) => None,
        }
    });
    let Some(location) = location else {
        crate::netlink::tests::skipped("this kernel has no overlayfs");
        return;
    };
    assert_eq!(location.file_system.as_deref(), Some("overlay"));
    let names: Vec<_> = location.disks.iter().map(|disk| &disk.name).collect();
    assert_eq!(names, [disk.node.trim_start_matches("/dev/")]);
}

#[test]
fn what_is_on_no_disk_is_refused_by_name() {
    let (memory, process) = alone(|directory| {
        mount_at("none", &directory.join("memory"), "tmpfs", None);
        let memory = of(&directory.join("memory")).unwrap_err().to_string();
        (
            memory,
            of(Path::new("/proc/self/status")).unwrap_err().to_string(),
        )
    });
    assert!(memory.contains("is on tmpfs (mounted at "), "{memory}");
    assert!(memory.ends_with("it is memory, no disk"), "{memory}");
    assert!(
        process.ends_with("it is made by the kernel, and on no disk"),
        "{process}"
    );
    let error = of(Path::new("/dev/null")).unwrap_err();
    assert!(matches!(error, DeviceError::NoFile(_)), "{error}");
    let error = of(Path::new("/no/such/path")).unwrap_err();
    assert!(matches!(error, DeviceError::Read { .. }), "{error}");
}

#[test]
fn a_btrfs_leads_to_all_its_disks() {
    let (Some(first), Some(second)) = (Loop::new(), Loop::new()) else {
        return;
    };
    let nodes = [first.node.as_str(), second.node.as_str()];
    let made = testing::run("mkfs.btrfs", &["-q", "-m", "raid1", nodes[0], nodes[1]]).is_some();
    let location = alone(|directory| {
        fs::create_dir(directory.join("m")).unwrap();
        let options = format!("device={},device={}", nodes[0], nodes[1]);
        let none = MsFlags::empty();
        mount(
            Some(nodes[0]),
            &directory.join("m"),
            Some("btrfs"),
            none,
            Some(options.as_str()),
        )
        .is_ok()
        .then(|| of(&directory.join("m")).unwrap())
    });
    let Some(location) = location.filter(|_| made) else {
        crate::netlink::tests::skipped("this machine has no mkfs.btrfs, or its kernel no btrfs");
        return;
    };
    let mut found: Vec<_> = location
        .disks
        .iter()
        .map(|disk| disk.name.clone())
        .collect();
    found.sort();
    let mut expected = nodes.map(|node| node.trim_start_matches("/dev/").to_owned());
    expected.sort();
    assert_eq!(found, expected);
}
