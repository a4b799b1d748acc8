//! What containerd answers by its own API, from a socket of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use prost::Message as _;

use super::super::{Asked, RuntimeError, RuntimeKind, Runtimes, fake::Fake};
use super::interface::{
    CONTAINERS, Container, Containers, Filters, NAMESPACES, Namespace, Namespaces, Process, Status,
    TASK, Task, TaskOf,
};

const WITHIN: Duration = Duration::from_secs(5);
const ID: &str = "3f2a4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778a";

/// The answer of its CRI plug-in to `Version`.
#[derive(Clone, PartialEq, ::prost::Message)]
struct Version {
    #[prost(string, tag = "2")]
    runtime_name: String,
}

/// A container: its namespace, its id, its name by nerdctl, its process (0: it does not run).
type Row = (&'static str, &'static str, &'static str, u32);

fn labels(name: &str) -> BTreeMap<String, String> {
    let name = (!name.is_empty()).then(|| ("nerdctl/name".to_owned(), name.to_owned()));
    let app = ("app".to_owned(), "shop".to_owned());
    name.into_iter().chain([app]).collect()
}

/// Answers as containerd 1.7 did, without its CRI plug-in unless that is called something. What is asked
/// of containers is noted down.
fn start_noting(
    name: &str,
    rows: &[Row],
    cri: Option<&'static str>,
    asked: Arc<Mutex<Vec<String>>>,
) -> Fake {
    let rows = rows.to_vec();
    Fake::grpc(
        RuntimeKind::Cri,
        name,
        move |method, namespace, message| match method {
            "/runtime.v1.RuntimeService/Version" => cri.map(|name| {
                let runtime_name = name.to_owned();
                Version { runtime_name }.encode_to_vec()
            }),
            // Nobody is listed.
            method if method.starts_with("/runtime.v1.RuntimeService/List") => {
                cri.map(|_| Vec::new())
            }
            NAMESPACES => {
                let mut names: Vec<&str> = rows.iter().map(|row| row.0).collect();
                names.dedup();
                let namespaces = names.into_iter().map(|name| Namespace {
                    name: name.to_owned(),
                });
                let namespaces = namespaces.collect();
                Some(Namespaces { namespaces }.encode_to_vec())
            }
            CONTAINERS => {
                let filters = Filters::decode(message).unwrap().filters;
                asked.lock().unwrap().extend(filters);
                let own = rows.iter().filter(|row| row.0 == namespace);
                let containers = own.map(|row| Container {
                    id: row.1.to_owned(),
                    labels: labels(row.2),
                });
                let containers = containers.collect();
                Some(Containers { containers }.encode_to_vec())
            }
            TASK => {
                let id = TaskOf::decode(message).unwrap().container_id;
                let row = rows.iter().find(|row| (row.0, row.1) == (namespace, &*id));
                let pid = row.unwrap().3;
                let status = if pid == 0 {
                    Status::Stopped
                } else {
                    Status::Running
                };
                let status = status.into();
                let process = Some(Process { pid, status });
                Some(Task { process }.encode_to_vec())
            }
            _ => None,
        },
    )
}

/// The same, where nobody wants to know what was asked.
pub(in crate::runtime) fn start(name: &str, rows: &[Row], cri: Option<&'static str>) -> Fake {
    start_noting(name, rows, cri, Arc::default())
}

fn container(name: &str) -> Asked {
    Asked::Container(name.to_owned())
}

#[test]
fn a_container_is_known_by_its_names_and_its_id_in_every_namespace() {
    let pid = std::process::id();
    let rows = [
        ("default", ID, "shop-db", pid),
        ("default", "old", "", 0),
        ("lab", "web", "", pid),
        ("stage", "web", "", pid),
    ];
    let fake = start("names", &rows, None);
    let runtimes = Runtimes::new(fake.places());
    let find = |name: &str| runtimes.find(&container(name), Some("containerd"), WITHIN);
    for name in [
        "shop-db",
        "default/shop-db",
        "3f2a4b",
        &format!("default/{ID}"),
    ] {
        let found = find(name).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        let one = &found[0];
        assert_eq!((&*one.id, &*one.runtime), ("default/shop-db", "containerd"));
        assert_eq!(
            one.label,
            "container default/shop-db (containerd 3f2a4b5c6d7e)"
        );
        assert_eq!(one.pid, i32::try_from(pid).ok());
    }
    assert_eq!(find("stage/web").unwrap()[0].id, "stage/web");
    let error = find("web").unwrap_err().to_string();
    assert!(
        error.contains("lab/web") && error.contains("stage/web"),
        "{error}"
    );
    let error = find("old").unwrap_err();
    assert!(matches!(error, RuntimeError::NotRunning { .. }), "{error}");
    let error = find("shop-dc").unwrap_err().to_string();
    assert!(error.contains("did you mean shop-db?"), "{error}");
}

#[test]
fn labels_select_those_that_run() {
    let pid = std::process::id();
    let rows = [("lab", "web", "", pid), ("lab", "old", "", 0)];
    let fake = start("labels", &rows, None);
    let runtimes = Runtimes::new(fake.places());
    let labels = labels("");
    let found = runtimes.find(&Asked::Containers { labels }, None, WITHIN);
    let ids: Vec<String> = found.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids, ["lab/web"]);
}

#[test]
fn labels_of_those_that_are_all_stopped_are_not_taken_for_gone() {
    let fake = start("labels-stopped", &[("lab", "old", "", 0)], None);
    let runtimes = Runtimes::new(fake.places());
    let labels = labels("");
    let error = runtimes.find(&Asked::Containers { labels }, None, WITHIN);
    let error = error.unwrap_err();
    assert!(error.is_stopped(), "{error}");
}

#[test]
fn pods_are_left_to_the_interface_that_knows_them() {
    let rows = [("lab", "web", "", std::process::id())];
    for (cri, expected) in [(None, &[][..]), (Some("containerd"), &[super::NOT_OF_PODS])] {
        let asked = Arc::default();
        let fake = start_noting("pods", &rows, cri, Arc::clone(&asked));
        let runtimes = Runtimes::new(fake.places());
        let find = |only| runtimes.find(&container("web"), only, WITHIN);
        assert_eq!(find(None).unwrap().len(), 1, "{cri:?}");
        assert_eq!(*asked.lock().unwrap(), expected);
        assert!(find(Some("cri")).is_err(), "{cri:?}");
    }
}

#[test]
fn another_that_serves_pods_is_not_taken_for_it() {
    let rows = [("lab", "web", "", std::process::id())];
    let fake = start("other", &rows, Some("cri-o"));
    let runtimes = Runtimes::new(fake.places());
    let error = runtimes.find(&container("web"), None, WITHIN).unwrap_err();
    assert!(error.is_absence(), "{error}");
}
