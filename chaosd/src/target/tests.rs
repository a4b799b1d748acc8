//! Targets found, refused and lost, with real processes, cgroups and namespaces.

use std::{fs, process::Command, thread, time::Duration};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use super::*;
use crate::cgroup::tests::Scratch;

/// A process that sleeps and ends with the guard.
struct Sleeper(std::process::Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("60").spawn().unwrap())
    }

    /// In a network namespace of its own.
    fn isolated() -> Self {
        thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            Self::new()
        })
        .join()
        .unwrap()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }

    fn join_cgroup(&self, cgroup: &Scratch) {
        fs::write(cgroup.0.join("cgroup.procs"), self.pid().to_string()).unwrap();
    }

    fn end(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// A named network namespace, as `ip netns add` makes it.
struct Named(String);

impl Named {
    fn new(name: &str) -> Self {
        let name = format!("chaosd-test-{}-{name}", std::process::id());
        fs::create_dir_all("/run/netns").unwrap();
        let path = Path::new("/run/netns").join(&name);
        fs::File::create(&path).unwrap();
        let guard = Self(name);
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let own = Path::new("/proc/thread-self/ns/net");
            mount(
                Some(own),
                &path,
                None::<&Path>,
                MsFlags::MS_BIND,
                None::<&Path>,
            )
            .unwrap();
        })
        .join()
        .unwrap();
        guard
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let path = Path::new("/run/netns").join(&self.0);
        umount2(&path, MntFlags::MNT_DETACH).unwrap();
        drop(fs::remove_file(path));
        // Only when it is empty, and so when nobody else has names there.
        drop(fs::remove_dir("/run/netns"));
    }
}

#[test]
fn the_host_is_the_namespace_of_chaosd_and_no_cgroup() {
    let scope = resolve(&Target::Host, Needs::Protection).unwrap();
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(own.to_str().unwrap(), format!("net:[{}]", scope.netns.ino));
    assert!(scope.cgroup.is_none() && scope.pid.is_none());
    assert!(scope.interfaces.iter().any(|interface| interface.loopback));
    assert_eq!(scope.alive(), Ok(()));
}

#[test]
fn a_namespace_is_found_by_name_and_by_path_and_guessed_from_a_typo() {
    let named = Named::new("blue");
    let by_name = resolve(&Target::Netns(PathBuf::from(&named.0)), Needs::Network).unwrap();
    let path = Path::new("/run/netns").join(&named.0);
    let by_path = resolve(&Target::Netns(path), Needs::Network).unwrap();
    assert_eq!(by_name.netns.ino, by_path.netns.ino);
    assert_ne!(by_name.netns.ino, own_netns().unwrap().ino);
    assert_eq!(by_name.interfaces.len(), by_path.interfaces.len());
    let typo = PathBuf::from(format!("{}e", named.0));
    let error = resolve(&Target::Netns(typo), Needs::Network).unwrap_err();
    let meant = format!("did you mean {}?", named.0);
    assert!(error.to_string().ends_with(&meant), "{error}");
}

#[test]
fn a_file_that_is_no_network_namespace_is_refused() {
    for path in ["/proc/self/ns/mnt", "/proc/self/status"] {
        let error = resolve(&Target::Netns(path.into()), Needs::Network).unwrap_err();
        assert!(matches!(error, TargetError::NotNetns(_)), "{error}");
    }
}

#[test]
fn a_process_is_hit_in_its_cgroup_and_its_namespace_until_it_ends() {
    let cgroup = Scratch::new("target-pid");
    let mut sleeper = Sleeper::isolated();
    sleeper.join_cgroup(&cgroup);
    let scope = resolve(&Target::Pid(sleeper.pid()), Needs::Network).unwrap();
    assert_eq!(scope.label, format!("pid {} (sleep)", sleeper.pid()));
    assert_eq!(scope.cgroup.as_ref().unwrap().path, cgroup.0);
    assert_ne!(scope.netns.ino, own_netns().unwrap().ino);
    assert_eq!(scope.alive(), Ok(()));
    // Dead, and not yet waited for.
    sleeper.0.kill().unwrap();
    let dead = Err(Gone::Process(sleeper.pid()));
    for _ in 0..100 {
        if scope.alive() == dead {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(scope.alive(), dead);
    sleeper.end();
    assert_eq!(scope.alive(), dead);
    // The namespace outlives its only process, for the scope holds it.
    assert!(netlink::interfaces(scope.netns.fd.as_fd()).is_ok());
}

#[test]
fn a_process_that_is_moved_is_gone_from_where_it_was_hit() {
    let (here, there) = (Scratch::new("target-here"), Scratch::new("target-there"));
    let sleeper = Sleeper::isolated();
    sleeper.join_cgroup(&here);
    let scope = resolve(&Target::Pid(sleeper.pid()), Needs::Network).unwrap();
    assert_eq!(scope.alive(), Ok(()));
    sleeper.join_cgroup(&there);
    let left = Gone::Left {
        pid: sleeper.pid(),
        cgroup: here.0.clone(),
    };
    assert_eq!(scope.alive(), Err(left));
    sleeper.join_cgroup(&here);
    assert_eq!(scope.alive(), Ok(()));
}

#[test]
fn a_process_in_the_root_cgroup_is_refused_with_what_to_type_instead() {
    let sleeper = Sleeper::new();
    let root = cgroup::unified().unwrap().join("cgroup.procs");
    fs::write(root, sleeper.pid().to_string()).unwrap();
    let error = resolve(&Target::Pid(sleeper.pid()), Needs::Network).unwrap_err();
    let advice = format!("--netns /proc/{}/ns/net", sleeper.pid());
    assert!(error.to_string().contains(&advice), "{error}");
}

#[test]
fn a_dead_process_is_refused() {
    let mut sleeper = Sleeper::new();
    sleeper.end();
    for pid in [sleeper.pid(), 0, -1] {
        let error = resolve(&Target::Pid(pid), Needs::Network).unwrap_err();
        assert!(
            matches!(error, TargetError::NoProcess(p) if p == pid),
            "{error}"
        );
    }
}

#[test]
fn a_cgroup_is_hit_in_the_namespace_of_its_processes() {
    let cgroup = Scratch::new("target-cgroup");
    let target = Target::Cgroup(cgroup.name().to_owned());
    let empty = resolve(&target, Needs::Network).unwrap();
    assert_eq!(empty.netns.ino, own_netns().unwrap().ino);
    assert_eq!(empty.notes.len(), 1, "an empty cgroup is told");

    let inside = Sleeper::isolated();
    inside.join_cgroup(&cgroup);
    let scope = resolve(&target, Needs::Network).unwrap();
    let netns = fs::read_link(format!("/proc/{}/ns/net", inside.pid())).unwrap();
    assert_eq!(
        netns.to_str().unwrap(),
        format!("net:[{}]", scope.netns.ino)
    );

    let other = Sleeper::new();
    other.join_cgroup(&cgroup);
    let error = resolve(&target, Needs::Network).unwrap_err();
    assert!(
        error.to_string().contains("2 network namespaces"),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("pid {}", other.pid())),
        "{error}"
    );
}

#[test]
fn a_container_whose_processes_have_just_ended_is_not_looked_for_in_the_host_s_network() {
    let cgroup = Scratch::new("target-ended");
    let named = Named::new("ended");
    let path = Path::new("/run/netns").join(&named.0);
    let scope = resolve_in(cgroup.name(), &path, Needs::Network).unwrap();
    assert_ne!(scope.netns.ino, own_netns().unwrap().ino);
    assert!(scope.notes.is_empty() && !scope.has_processes());
    // One of several namespaces of its processes, as with Docker in Docker, is the container's.
    let inside = [Sleeper::isolated(), Sleeper::isolated()];
    for one in &inside {
        one.join_cgroup(&cgroup);
    }
    let scope = resolve_in(cgroup.name(), &path, Needs::Network).unwrap();
    assert_ne!(scope.netns.ino, own_netns().unwrap().ino);
    assert!(scope.has_processes());
    let gone = Path::new("/proc/0/ns/net");
    assert!(resolve_in(cgroup.name(), gone, Needs::Network).is_err());
}

#[test]
fn a_removed_cgroup_is_gone() {
    let cgroup = Scratch::new("target-removed");
    let scope = resolve(&Target::Cgroup(cgroup.name().to_owned()), Needs::Network).unwrap();
    assert_eq!(scope.alive(), Ok(()));
    fs::remove_dir(&cgroup.0).unwrap();
    assert_eq!(scope.alive(), Err(Gone::Cgroup(cgroup.0.clone())));
}
