//! What Docker and podman answer, from a socket of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

use super::super::{
    Asked, Places, RuntimeError, RuntimeKind, Runtimes, containerd::tests as containerd, fake::Fake,
};

const WITHIN: Duration = Duration::from_secs(5);
const DB: &str = "3f2a4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778a";
const WEB: &str = "3f2b4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778b";

/// Answers as Docker 20.10 did. `pid` is the first process of `shop-db`.
fn start(name: &str, pid: u32) -> Fake {
    Fake::start(RuntimeKind::Docker, name, move |address| {
        if address == "/_ping" {
            return ("200 OK\r\nApi-Version: 1.41", "OK".to_owned());
        }
        let path = address.split('?').next().unwrap_or_default();
        // `/v1.41/...`
        let path = path.trim_start_matches(|c: char| c != 'c' && c != 'v' && c != 'j');
        let path = path.rsplit("v1.41/").next().unwrap_or_default();
        match path.trim_start_matches('/') {
            // Docker takes any prefix that fits one.
            "containers/shop-db/json" | "containers/3f2a/json" | "containers/3/json" => {
                ("200 OK", inspect("running", pid))
            }
            path if path == format!("containers/{DB}/json") => ("200 OK", inspect("running", pid)),
            "containers/shop-old/json" => ("200 OK", inspect("exited", 0)),
            "containers/3f2/json" => ("400 Bad Request", MULTIPLE.to_owned()),
            "containers/json" => ("200 OK", list()),
            path if path.ends_with("version") => ("200 OK", VERSION.to_owned()),
            _ => (
                "404 Not Found",
                r#"{"message":"No such container"}"#.to_owned(),
            ),
        }
    })
}

fn find(fake: &Fake, name: &str) -> Result<Vec<super::Member>, RuntimeError> {
    Runtimes::new(fake.places()).find(&Asked::Container(name.to_owned()), None, WITHIN)
}

#[test]
fn what_its_containerd_knows_too_counts_once() {
    let pid = std::process::id();
    let docker = start("twice", pid);
    let moby = [("moby", DB, "", pid), ("moby", WEB, "", pid)];
    let containerd = containerd::start("twice", &moby, None);
    let runtimes = Runtimes::new(Places {
        sockets: [docker.places().sockets, containerd.places().sockets].concat(),
        ..Places::default()
    });
    let find = |name: &str| runtimes.find(&Asked::Container(name.to_owned()), None, WITHIN);
    let found = find("3f2a").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id, "shop-db");
    let error = find("3f2").unwrap_err();
    let RuntimeError::Ambiguous { candidates, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(candidates.len(), 2, "{candidates:?}");
    assert!(candidates.iter().all(|one| one.contains("(docker ")));
}

const VERSION: &str = r#"{"Platform":{"Name":""},"Components":[{"Name":"Engine","Version":"20.10.24+dfsg1",
"Details":{"ApiVersion":"1.41","Os":"linux"}}],"Version":"20.10.24+dfsg1","ApiVersion":"1.41",
"MinAPIVersion":"1.12","GitCommit":"5d6db84","GoVersion":"go1.19.8","Os":"linux","Arch":"amd64"}"#;

const MULTIPLE: &str = r#"{"message":"Multiple IDs found with provided prefix: 3f2"}"#;

fn inspect(state: &str, pid: u32) -> String {
    format!(
        r#"{{"Id":"{DB}","Created":"2026-11-20T10:11:12.13Z","Path":"sleep","Args":["600"],
"State":{{"Status":"{state}","Running":{},"Paused":false,"Restarting":false,"OOMKilled":false,
"Dead":false,"Pid":{pid},"ExitCode":0,"Error":"","StartedAt":"2026-11-20T10:11:13Z",
"FinishedAt":"0001-01-01T00:00:00Z"}},"Name":"/shop-db","RestartCount":0,
"HostConfig":{{"NetworkMode":"default","CgroupParent":""}},
"Config":{{"Hostname":"3f2a4b5c6d7e","Labels":{{"app":"shop"}}}},
"NetworkSettings":{{"SandboxKey":"/var/run/docker/netns/0123456789ab"}}}}"#,
        state == "running"
    )
}

fn list() -> String {
    let one = |id: &str, name: &str| {
        format!(
            r#"{{"Id":"{id}","Names":["/{name}","/shop-lb/{name}"],"Image":"busybox","ImageID":"sha256:1",
"Command":"sleep 600","Created":1763633472,"Ports":[],"Labels":{{"app":"shop"}},"State":"running",
"Status":"Up 2 minutes","HostConfig":{{"NetworkMode":"default"}},"Mounts":[]}}"#
        )
    };
    format!("[{},{}]", one(DB, "shop-db"), one(WEB, "shop-web"))
}

#[test]
fn a_container_is_found_by_its_name_and_by_a_prefix_of_its_id() {
    let fake = start("found", std::process::id());
    for name in ["shop-db", "3f2a"] {
        let found = find(&fake, name).unwrap();
        let [member] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(member.label, "container shop-db (docker 3f2a4b5c6d7e)");
        assert_eq!((&*member.id, &*member.runtime), ("shop-db", "docker"));
        assert_eq!(member.labels["app"], "shop");
        assert_eq!(member.pid, i32::try_from(std::process::id()).ok());
        // This very process is in no container, so nothing may be said to be its cgroup.
        assert!(
            member.cgroups.is_empty() && !member.notes.is_empty(),
            "{member:?}"
        );
    }
}

#[test]
fn one_letter_of_an_id_means_nobody() {
    let fake = start("letter", std::process::id());
    let error = find(&fake, "3").unwrap_err();
    assert!(error.is_absence(), "{error}");
}

#[test]
fn labels_whose_containers_are_all_stopped_are_not_taken_for_gone() {
    let state = |name: &str, state: &'static str| {
        let list = list().replace("running", state);
        Fake::start(RuntimeKind::Docker, name, move |address| match address {
            "/_ping" => ("200 OK\r\nApi-Version: 1.41", "OK".to_owned()),
            address if address.contains("/containers/json") => {
                // As Docker does: all that there are, for those who ask for all of them.
                let all = address.contains("all=true");
                ("200 OK", if all { list.clone() } else { "[]".to_owned() })
            }
            _ => ("200 OK", inspect("running", std::process::id())),
        })
    };
    let labels = [("app".to_owned(), "shop".to_owned())].into();
    let asked = Asked::Containers { labels };
    let find = |fake: &Fake| Runtimes::new(fake.places()).find(&asked, None, WITHIN);
    let error = find(&state("labels-stopped", "exited")).unwrap_err();
    assert!(error.is_stopped(), "{error}");
    let told = "none of the 2 containers with app=shop runs: start one, then try again";
    assert_eq!(error.to_string(), told);
    // One that has both names of the list.
    assert_eq!(find(&state("labels-up", "running")).unwrap().len(), 1);
}

#[test]
fn those_of_labels_are_asked_for_side_by_side() {
    let both = Barrier::new(2);
    let fake = Fake::start(RuntimeKind::Docker, "beside-each-other", move |address| {
        let of = [(DB, "shop-db"), (WEB, "shop-web")];
        let of = of.into_iter().find(|(id, _)| address.contains(id));
        match (address, of) {
            ("/_ping", _) => ("200 OK\r\nApi-Version: 1.41", "OK".to_owned()),
            (_, None) => ("200 OK", list()),
            (_, Some((id, name))) => {
                // Not before the other was asked for, too.
                both.wait();
                let one = inspect("running", std::process::id()).replace(DB, id);
                ("200 OK", one.replace("/shop-db", &format!("/{name}")))
            }
        }
    });
    let labels = [("app".to_owned(), "shop".to_owned())].into();
    let asked = Asked::Containers { labels };
    let found = Runtimes::new(fake.places()).find(&asked, None, WITHIN);
    let ids: Vec<String> = found.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids, ["shop-db", "shop-web"]);
}

#[test]
fn a_typo_is_answered_with_the_nearest_names() {
    let fake = start("typo", std::process::id());
    let error = find(&fake, "shop-bd").unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no container shop-bd; the nearest are shop-db, shop-web"
    );
}

#[test]
fn a_prefix_that_fits_several_lists_them() {
    let fake = start("several", std::process::id());
    let error = find(&fake, "3f2").unwrap_err().to_string();
    assert_eq!(
        error,
        "3f2 may be any of 2: container shop-db (docker 3f2a4b5c6d7e), container shop-web (docker \
         3f2b4b5c6d7e)"
    );
}

#[test]
fn a_container_that_ended_is_told_to_be_started() {
    let fake = start("ended", std::process::id());
    let error = find(&fake, "shop-old").unwrap_err();
    assert!(error.is_stopped());
    assert_eq!(
        error.to_string(),
        "container shop-db (docker 3f2a4b5c6d7e) does not run (it is exited): start it, then try again"
    );
}

#[test]
fn what_is_no_name_never_becomes_a_part_of_an_address() {
    let fake = start("address", std::process::id());
    for name in ["../images", "shop-db/json?x=", "", "a b", "-x"] {
        let error = find(&fake, name).unwrap_err();
        assert!(matches!(error, RuntimeError::NoContainer { .. }), "{error}");
    }
}

#[test]
fn a_runtime_that_says_nothing_costs_its_time_and_no_more() {
    let (mute, fake) = (
        Fake::mute(RuntimeKind::Docker, "mute"),
        start("beside", std::process::id()),
    );
    let mut places = fake.places();
    places
        .sockets
        .insert(0, (RuntimeKind::Podman, mute.path.clone()));
    let runtimes = Runtimes::new(places);
    let within = Duration::from_millis(300);
    let began = Instant::now();
    let asked = |name: &str| Asked::Container(name.to_owned());
    let found = runtimes.find(&asked("shop-db"), None, within).unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    let labels = [("app".to_owned(), "shop".to_owned())].into();
    let labelled = runtimes.find(&Asked::Containers { labels }, None, within);
    for member in [&found[0], &labelled.unwrap()[0]] {
        let told = |note: &&String| note.contains("did not answer within 300ms: whoever is meant");
        assert_eq!(member.notes.iter().filter(told).count(), 1, "{member:?}");
    }
    // The name may be that of one that the other knows.
    let error = runtimes.find(&asked("3f2a"), None, within).unwrap_err();
    let told = error.to_string();
    assert!(
        told.starts_with("3f2a is the beginning of the id 3f2a4b5c6d7e, and somebody else may")
            && told.contains("did not answer within 300ms")
            && told.ends_with("name the runtime that is meant, or its socket (--runtime)"),
        "{told}"
    );
    assert!(!error.is_absence() && !error.is_stopped());
    let path = fake.path.to_str();
    assert!(runtimes.find(&asked("3f2a"), path, within).is_ok());
    let error = runtimes.find(&asked("nobody"), None, within).unwrap_err();
    assert!(
        error.to_string().contains("did not answer within 300ms"),
        "{error}"
    );
    let error = runtimes
        .find(&asked("shop-db"), Some("podman"), within)
        .unwrap_err();
    assert!(matches!(error, RuntimeError::Silent { .. }), "{error}");
}

#[test]
fn a_runtime_is_picked_by_its_name_or_its_socket() {
    let fake = start("picked", std::process::id());
    let runtimes = Runtimes::new(fake.places());
    let asked = Asked::Container("shop-db".to_owned());
    for only in ["docker", fake.path.to_str().unwrap()] {
        assert_eq!(
            runtimes.find(&asked, Some(only), WITHIN).unwrap().len(),
            1,
            "{only}"
        );
    }
    let error = runtimes
        .find(&asked, Some("dokcer"), WITHIN)
        .unwrap_err()
        .to_string();
    let found = format!("found: docker ({})", fake.path.display());
    assert_eq!(error, format!("there is no runtime dokcer here; {found}"));
    let error = runtimes.find(&asked, Some("systemd"), WITHIN).unwrap_err();
    assert!(matches!(error, RuntimeError::Unable { .. }), "{error}");
}

#[test]
fn where_no_runtime_is_the_places_are_named() {
    let nowhere = Places {
        sockets: vec![(RuntimeKind::Docker, "/nonexistent/docker.sock".into())],
        ..Places::default()
    };
    let asked = Asked::Container("x".to_owned());
    let error = Runtimes::new(nowhere)
        .find(&asked, None, WITHIN)
        .unwrap_err();
    assert!(matches!(error, RuntimeError::NoRuntime { .. }), "{error}");
    assert!(
        error.to_string().contains("/nonexistent/docker.sock"),
        "{error}"
    );
}

#[test]
fn a_socket_that_is_not_there_is_no_runtime_and_those_that_are_get_named() {
    let fake = start("elsewhere", std::process::id());
    let runtimes = Runtimes::new(fake.places());
    let asked = Asked::Container("shop-db".to_owned());
    for only in ["/nonexistent/containerd.sock", "containerd", "podman"] {
        let error = runtimes.find(&asked, Some(only), WITHIN).unwrap_err();
        assert!(
            matches!(error, RuntimeError::UnknownRuntime { .. }),
            "{only}: {error}"
        );
        assert!(
            error.to_string().contains(fake.path.to_str().unwrap()),
            "{error}"
        );
    }
    let pod = Asked::Pod {
        namespace: Some("shop".to_owned()),
        name: "web-0".to_owned(),
    };
    let error = runtimes.find(&pod, Some("docker"), WITHIN).unwrap_err();
    assert!(matches!(error, RuntimeError::Unable { .. }), "{error}");
    let error = runtimes.find(&pod, None, WITHIN).unwrap_err();
    assert!(matches!(error, RuntimeError::NoRuntime { .. }), "{error}");
}
