//! Names of pods are resolved with a real containerd, its CRI plug-in and CNI.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chaosd::runtime::{Asked, RuntimeError, Runtimes};
use support::runtime::{PodSpec, Pods};
use support::skip;

use crate::runtimes::{follow, is_in_place, only, takes_at_most};

const WITHIN: Duration = Duration::from_mins(1);

fn pod(name: &str) -> Asked {
    Asked::Pod {
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
    }
}

fn container(name: &str) -> Asked {
    Asked::Container(name.to_owned())
}

fn refused(runtimes: &Runtimes, asked: &Asked) -> RuntimeError {
    match runtimes.find(asked, None, WITHIN) {
        Ok(found) => panic!("{asked} was found: {found:?}"),
        Err(error) => error,
    }
}

#[test]
fn pods_and_their_containers_are_found() -> Result<()> {
    if let Some(reason) = Pods::missing() {
        skip!(Ok(()), "{reason}");
    }
    let mut pods = Pods::start()?;
    let runtimes = Runtimes::new(pods.places());
    let web = pods.run(PodSpec::new("shop", "web-0"))?;
    let db = pods.run(PodSpec::new("shop", "db-0"))?;
    let node = pods.run(PodSpec::new("shop", "node-0").on_host())?;
    let app = pods.start_container(&web, "app", 0)?;
    pods.start_container(&web, "proxy", 0)?;
    pods.start_container(&db, "app", 0)?;

    // A pod is its parent cgroup and its namespace.
    let whole = only(&runtimes, &pod("web-0"))?;
    is_in_place(&whole)?;
    assert_eq!(whole.label, "pod shop/web-0 (containerd)");
    assert_eq!((&*whole.id, &*whole.runtime), ("shop/web-0", "containerd"));
    let cgroup = whole.cgroups[0].file_name().context("no name")?;
    assert!(
        cgroup.to_string_lossy().starts_with("pod0a1b2c3d-"),
        "{whole:?}"
    );
    let on_host = only(&runtimes, &pod("node-0"))?;
    assert!(on_host.host_network, "{on_host:?}");

    // A container is told apart from its sibling by cgroup, and shares its namespace.
    let one = only(&runtimes, &container("web-0/app"))?;
    is_in_place(&one)?;
    assert_eq!(one.id, "shop/web-0/app");
    assert_eq!(one.shares_network_with, ["shop/web-0", "shop/web-0/proxy"]);
    assert!(one.cgroups[0].starts_with(&whole.cgroups[0]), "{one:?}");
    let sibling = only(&runtimes, &container("shop/web-0/proxy"))?;
    assert_ne!(one.cgroups, sibling.cgroups);
    assert_eq!(only(&runtimes, &container(&app[..10]))?, one);

    mistakes_are_answered(&runtimes);
    labels_select(&runtimes)?;
    takes_at_most(Duration::from_millis(50), "containerd: a pod", || {
        only(&runtimes, &pod("web-0")).map(drop)
    })?;
    takes_at_most(Duration::from_millis(50), "containerd: a container", || {
        only(&runtimes, &container("web-0/app")).map(drop)
    })?;

    // Another attempt of a container is the same name.
    let asked = container("web-0/app");
    let mut watch = runtimes.watch(&asked, None, std::slice::from_ref(&one))?;
    let (mut id, mut before) = (app, one);
    for attempt in 1..4 {
        pods.remove_container(&id)?;
        id = pods.start_container(&web, "app", attempt)?;
        let began = Instant::now();
        let next = follow(&mut watch, &runtimes, &asked, &before)?;
        println!(
            "containerd: a restart is told {:?} after it",
            began.elapsed()
        );
        is_in_place(&next)?;
        before = next;
    }

    pods.stop(&db)?;
    let error = refused(&runtimes, &pod("db-0"));
    assert!(matches!(error, RuntimeError::NotReady { .. }), "{error}");
    let labels: BTreeMap<_, _> = [("app".to_owned(), "db-0".to_owned())].into();
    let namespace = None;
    for asked in [
        Asked::Containers {
            labels: labels.clone(),
        },
        Asked::Pods { namespace, labels },
    ] {
        let error = refused(&runtimes, &asked);
        assert!(error.is_stopped(), "{error}");
    }
    let error = refused(&runtimes, &container("db-0/app"));
    assert!(matches!(error, RuntimeError::NotRunning { .. }), "{error}");
    pods.remove(&db)?;
    let error = refused(&runtimes, &pod("db-0"));
    assert!(matches!(error, RuntimeError::NoPod { .. }), "{error}");
    pods.remove(&node)?;

    // What it wrote down is there while it is dead.
    pods.kill_daemon()?;
    let by_id = only(&runtimes, &container(&id))?;
    assert_eq!((by_id.cgroups, by_id.pid), (before.cgroups, before.pid));
    let error = refused(&runtimes, &pod("web-0"));
    assert!(matches!(error, RuntimeError::Ask { .. }), "{error}");
    Ok(())
}

fn mistakes_are_answered(runtimes: &Runtimes) {
    let error = refused(runtimes, &container("app"));
    assert!(matches!(error, RuntimeError::Ambiguous { .. }), "{error}");
    let words = error.to_string();
    assert!(
        words.contains("shop/web-0/app") && words.contains("shop/db-0/app"),
        "{words}"
    );
    let error = refused(runtimes, &pod("web-1")).to_string();
    assert!(
        error.contains("did you mean shop/web-0") || error.contains("shop/web-0"),
        "{error}"
    );
    let error = refused(runtimes, &container("web-0/ap")).to_string();
    assert!(error.contains("web-0/app"), "{error}");
}

fn labels_select(runtimes: &Runtimes) -> Result<()> {
    let pods = |namespace: Option<&str>, value: &str| Asked::Pods {
        namespace: namespace.map(ToOwned::to_owned),
        labels: [("app".to_owned(), value.to_owned())].into(),
    };
    assert_eq!(only(runtimes, &pods(None, "db-0"))?.id, "shop/db-0");
    assert_eq!(only(runtimes, &pods(Some("shop"), "db-0"))?.id, "shop/db-0");
    for nobody in [pods(Some("other"), "db-0"), pods(None, "none")] {
        let error = refused(runtimes, &nobody);
        assert!(matches!(error, RuntimeError::NoMatch { .. }), "{error}");
    }
    let labels = [("app".to_owned(), "web-0".to_owned())].into();
    let containers = runtimes.find(&Asked::Containers { labels }, None, WITHIN)?;
    assert_eq!(containers.len(), 2, "{containers:?}");
    Ok(())
}
