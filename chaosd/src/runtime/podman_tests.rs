//! What podman answers of its pods, from a socket of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use super::super::{Asked, Member, RuntimeError, RuntimeKind, Runtimes, fake::Fake};

const WITHIN: Duration = Duration::from_secs(5);
const WEB: &str = "3f2a4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778a";
const DB: &str = "3f2b4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778b";
const OLD: &str = "aaaa4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778c";

const VERSION: &str = r#"{"Platform":{"Name":"linux/amd64/debian-12"},"Components":[{"Name":"Podman Engine",
"Version":"4.3.1","Details":{"APIVersion":"4.3.1"}}],"Version":"4.3.1","ApiVersion":"1.41",
"MinAPIVersion":"1.24","GoVersion":"go1.19.8","Os":"linux","Arch":"amd64"}"#;

/// As podman 4.3 lists them.
fn pods() -> String {
    let one = |id: &str, name: &str, status: &str| {
        format!(
            r#"{{"Cgroup":"/libpod_parent","Containers":null,"Created":"2026-11-22T05:00:00Z","Id":"{id}",
"InfraId":"","Name":"{name}","Namespace":"","Networks":null,"Status":"{status}","Labels":{{"app":"shop"}}}}"#
        )
    };
    let (web, db, old) = (
        one(WEB, "web", "Running"),
        one(DB, "db", "Degraded"),
        one(OLD, "old", "Exited"),
    );
    format!("[{web},{db},{old}]")
}

/// Those of a pod: one that holds its namespaces, and others, each with its first process.
fn containers(pod: &str, pids: &[u32]) -> String {
    let of = pids.iter().enumerate().map(|(n, pid)| {
        let (name, infra) = match n {
            0 => ("infra".to_owned(), true),
            n => (format!("app-{n}"), false),
        };
        format!(
            r#"{{"Id":"c{n}","Names":["{name}"],"Pid":{pid},"Pod":"{pod}","PodName":"web","IsInfra":{infra},
"State":"running","Labels":null,"Mounts":[]}}"#
        )
    });
    format!("[{}]", of.collect::<Vec<_>>().join(","))
}

/// A podman whose pod `web` has containers of these processes.
fn start(name: &str, pids: [u32; 2]) -> Fake {
    Fake::start(RuntimeKind::Podman, name, move |address| {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        match path {
            "/v4.0.0/libpod/pods/json" => ("200 OK", pods()),
            "/v4.0.0/libpod/containers/json" => {
                // {"pod":["3f2a..."]}
                let filter = format!("filters=%7B%22pod%22%3A%5B%22{WEB}%22%5D%7D");
                let list = if query.contains(&filter) {
                    containers(WEB, &pids)
                } else {
                    "[]".to_owned()
                };
                ("200 OK", list)
            }
            path if path.ends_with("version") => ("200 OK", VERSION.to_owned()),
            _ => ("404 Not Found", r#"{"message":"no such thing"}"#.to_owned()),
        }
    })
}

fn find(fake: &Fake, namespace: Option<&str>, name: &str) -> Result<Vec<Member>, RuntimeError> {
    let asked = Asked::Pod {
        namespace: namespace.map(ToOwned::to_owned),
        name: name.to_owned(),
    };
    Runtimes::new(fake.places()).find(&asked, None, WITHIN)
}

fn refused(fake: &Fake, namespace: Option<&str>, name: &str) -> String {
    find(fake, namespace, name).unwrap_err().to_string()
}

/// In the host's network.
fn ours() -> [u32; 2] {
    [std::process::id(); 2]
}

#[test]
fn a_pod_is_found_by_its_name_and_by_a_prefix_of_its_id() {
    let fake = start("pod-found", ours());
    for name in ["web", "3f2a"] {
        let found = find(&fake, None, name).unwrap();
        let [member] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(member.label, "pod web (podman 3f2a4b5c6d7e)");
        assert_eq!((&*member.id, &*member.runtime), ("web", "podman"));
        assert_eq!(member.pid, i32::try_from(std::process::id()).ok());
        assert!(
            member.host_network && member.labels["app"] == "shop",
            "{member:?}"
        );
    }
    let labels = [("app".to_owned(), "shop".to_owned())].into();
    let asked = Asked::Pods {
        namespace: None,
        labels,
    };
    // The others have no process.
    let found = Runtimes::new(fake.places()).find(&asked, Some("podman"), WITHIN);
    let found: Vec<String> = found.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(found, ["web"]);
}

#[test]
fn labels_of_pods_that_are_all_stopped_are_not_taken_for_gone() {
    let fake = start("pod-stopped", [0; 2]);
    let labels = [("app".to_owned(), "shop".to_owned())].into();
    let asked = Asked::Pods {
        namespace: None,
        labels,
    };
    let error = Runtimes::new(fake.places()).find(&asked, None, WITHIN);
    let error = error.unwrap_err();
    assert!(error.is_stopped(), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("none of the 3 pods with app=shop runs"),
        "{error}"
    );
}

#[test]
fn a_name_of_none_or_of_several_is_answered_with_those_that_there_are() {
    let fake = start("pod-typo", ours());
    for (namespace, name, told) in [
        (None, "webb", "there is no pod webb; did you mean web?"),
        (
            Some("default"),
            "web",
            "there is no pod default/web; did you mean web?",
        ),
        (
            None,
            "3f2",
            "3f2 may be any of 2: pod web (podman 3f2a4b5c6d7e), pod db (podman 3f2b4b5c6d7e)",
        ),
        (
            None,
            "old",
            "pod old (podman aaaa4b5c6d7e) does not run (it is exited): start it, then try again",
        ),
    ] {
        assert_eq!(refused(&fake, namespace, name), told);
    }
}

#[test]
fn a_pod_whose_containers_share_no_network_is_refused_with_their_names() {
    let mut apart = std::process::Command::new("unshare")
        .args(["--net", "sleep", "60"])
        .spawn()
        .unwrap();
    let pid = apart.id();
    let own = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    while own(pid) == own(std::process::id()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let fake = start("pod-apart", [std::process::id(), pid]);
    let told = refused(&fake, None, "web");
    apart.kill().unwrap();
    apart.wait().unwrap();
    assert_eq!(
        told,
        "the containers of pod web (podman 3f2a4b5c6d7e) have a network each: name one of them: \
         --container app-1"
    );
}

#[test]
fn what_podman_refuses_is_told_in_its_own_words() {
    let fake = Fake::start(RuntimeKind::Podman, "pod-refused", |address| {
        if address == "/_ping" {
            (
                "200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1",
                "OK".to_owned(),
            )
        } else {
            ("500 Internal Server Error", "database is locked".to_owned())
        }
    });
    let told = refused(&fake, None, "web");
    assert!(
        told.contains("failed to ask podman") && told.contains("database is locked"),
        "{told}"
    );
}
