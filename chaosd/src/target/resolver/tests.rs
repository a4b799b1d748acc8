//! How a target resolves names, read from the files of a root of our own making.

use std::{fs, os::unix::fs::symlink, os::unix::net::UnixListener};

use super::*;

/// A root directory of a target's, removed at the end.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("chaosd-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("etc")).unwrap();
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    fn resolver(&self, local: &[&str]) -> Resolver {
        let local: Vec<IpAddr> = local.iter().map(|ip| ip.parse().unwrap()).collect();
        read(&View::at(&self.0, "/proc/7/root".into()), &local)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn servers(resolver: &Resolver) -> Vec<(String, bool)> {
    let servers = resolver.servers.iter();
    servers
        .map(|s| (s.address.to_string(), s.over_lo))
        .collect()
}

#[test]
fn name_servers_are_told_with_the_way_that_queries_take() {
    let root = Root::new("servers");
    root.write(
        "etc/resolv.conf",
        "# nameserver 9.9.9.9\n; x\nnameserver 10.0.0.53\nnameserver   169.254.20.10\t# x\n\
         nameserver not-one\nnameserver ::1\nnameserver 10.0.0.4\nsearch a.example. B.example\n\
         options ndots:5 use-vc ndots:x\n",
    );
    let resolver = root.resolver(&["169.254.20.10"]);
    let expected = [("10.0.0.53", false), ("169.254.20.10", true), ("::1", true)];
    assert_eq!(
        servers(&resolver),
        expected.map(|(a, lo)| (a.to_owned(), lo))
    );
    assert_eq!(resolver.search, ["a.example", "b.example"]);
    assert_eq!((resolver.ndots, resolver.tcp), (5, true));
    assert_eq!(resolver.file, PathBuf::from("/proc/7/root/etc/resolv.conf"));
}

#[test]
fn who_names_no_server_asks_this_machine() {
    let root = Root::new("none");
    let resolver = root.resolver(&[]);
    assert_eq!(servers(&resolver), [("127.0.0.1".to_owned(), true)]);
    root.write("etc/resolv.conf", "nameserver fe80::1%eth0\n");
    assert_eq!(
        servers(&root.resolver(&[])),
        [("fe80::1".to_owned(), false)]
    );
}

#[test]
fn links_of_a_target_are_followed_within_its_own_root() {
    let root = Root::new("links");
    fs::create_dir_all(root.0.join("run/systemd/resolve")).unwrap();
    root.write(
        "run/systemd/resolve/stub-resolv.conf",
        "nameserver 127.0.0.53\n",
    );
    symlink(
        "/run/systemd/resolve/stub-resolv.conf",
        root.0.join("etc/resolv.conf"),
    )
    .unwrap();
    let resolver = root.resolver(&[]);
    assert_eq!(servers(&resolver), [("127.0.0.53".to_owned(), true)]);
    assert!(resolver.servers[0].is_resolved() && !resolver.servers[0].is_docker());
    // Out of the root there is nothing, and what is no file is not waited for.
    symlink(
        "../../../../../etc/hostname",
        root.0.join("etc/nsswitch.conf"),
    )
    .unwrap();
    let hosts = root.0.join("etc/hosts");
    nix::unistd::mkfifo(&hosts, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(root.resolver(&[]).hosts.is_empty());
}

#[test]
fn services_that_answer_over_sockets_are_found_where_they_are_asked() {
    let root = Root::new("sockets");
    let (resolved, nscd) = (root.0.join("run/systemd/resolve"), root.0.join("run/nscd"));
    fs::create_dir_all(&resolved).unwrap();
    fs::create_dir_all(&nscd).unwrap();
    let _resolved = UnixListener::bind(resolved.join("io.systemd.Resolve")).unwrap();
    for (hosts, caches) in [
        (
            "hosts: files resolve [!UNAVAIL=return] dns\n",
            &[Cache::NssResolve][..],
        ),
        ("hosts: files dns resolve\n", &[]),
        ("# hosts: resolve\nhosts:\tfiles # resolve\n", &[]),
        ("passwd: resolve\n", &[]),
    ] {
        root.write("etc/nsswitch.conf", hosts);
        assert_eq!(root.resolver(&[]).caches, caches, "{hosts}");
    }
    let _nscd = UnixListener::bind(nscd.join("socket")).unwrap();
    assert_eq!(root.resolver(&[]).caches, [Cache::Nscd]);
}

#[test]
fn names_of_the_hosts_file_are_known() {
    let root = Root::new("hosts");
    root.write(
        "etc/hosts",
        "127.0.0.1 localhost\n10.0.0.7\tDB.internal. db # x y\n#10.0.0.8 z\n",
    );
    let names = |root: &Root| -> Vec<String> { root.resolver(&[]).hosts.into_iter().collect() };
    assert_eq!(names(&root), ["db", "db.internal", "localhost"]);
    root.write("etc/nsswitch.conf", "hosts: dns files\n");
    assert!(names(&root).is_empty());
}
