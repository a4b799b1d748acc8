//! Names of containers are resolved with real runtimes: crun and runc bundles, podman, dockerd.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chaosd::runtime::{Asked, Member, RuntimeError, Runtimes, Watch};
use support::runtime::{Engine, Kind, Network};
use support::{is_emulated, skip, wait_until};

/// podman's service answers slowly where a processor is computed.
const WITHIN: Duration = Duration::from_secs(90);

/// What a runtime is, and how it differs.
struct Row {
    kind: Kind,
    /// What it calls itself.
    name: &'static str,
    /// How often a container is started again under a watch.
    restarts: usize,
}

const TABLE: [Row; 5] = [
    Row {
        kind: Kind::Crun,
        name: "crun",
        restarts: 10,
    },
    Row {
        kind: Kind::Runc,
        name: "runc",
        restarts: 10,
    },
    Row {
        kind: Kind::Podman,
        name: "podman",
        restarts: 3,
    },
    Row {
        kind: Kind::Docker,
        name: "docker",
        restarts: 3,
    },
    Row {
        kind: Kind::Containerd,
        name: "containerd",
        restarts: 3,
    },
];

macro_rules! with_each {
    ($($name:ident: $row:expr;)+) => {$(
        #[test]
        fn $name() -> Result<()> {
            let row = &TABLE[$row];
            if let Some(reason) = row.kind.missing() {
                skip!(Ok(()), "{reason}");
            }
            names_are_resolved(row).with_context(|| row.kind.to_string())
        }
    )+};
}

with_each! {
    containers_of_crun_are_found: 0;
    containers_of_runc_are_found: 1;
    containers_of_podman_are_found: 2;
    containers_of_docker_are_found: 3;
    containers_of_containerd_s_own_are_found: 4;
}

fn container(name: &str) -> Asked {
    Asked::Container(name.to_owned())
}

/// The only one that answers.
pub fn only(runtimes: &Runtimes, asked: &Asked) -> Result<Member> {
    let mut found = runtimes.find(asked, None, WITHIN)?;
    ensure!(found.len() == 1, "{asked}: {found:?}");
    found.pop().context("nobody")
}

/// Its first process is in its cgroup, and in the namespace that it names.
pub fn is_in_place(member: &Member) -> Result<()> {
    let pid = member.pid.context("no process")?;
    let [cgroup] = &member.cgroups[..] else {
        anyhow::bail!("not one cgroup: {member:?}");
    };
    ensure!(
        processes(cgroup)?.contains(&pid),
        "{pid} is not in {}",
        cgroup.display()
    );
    let netns = member.netns.as_ref().context("no network")?;
    let own = std::fs::metadata(netns)?.ino();
    ensure!(own == std::fs::metadata(format!("/proc/{pid}/ns/net"))?.ino());
    let host = std::fs::metadata("/proc/1/ns/net")?.ino();
    ensure!(member.host_network == (own == host), "{member:?}");
    Ok(())
}

/// Of a cgroup and those below it.
fn processes(cgroup: &Path) -> Result<Vec<i32>> {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs"))
        .with_context(|| cgroup.display().to_string())?;
    let mut found: Vec<i32> = text.lines().filter_map(|pid| pid.parse().ok()).collect();
    for entry in std::fs::read_dir(cgroup)?.flatten() {
        if entry.file_type()?.is_dir() {
            found.extend(processes(&entry.path())?);
        }
    }
    Ok(found)
}

/// The median of 21 times, said and held to `limit` where the processor is real.
pub fn takes_at_most(
    limit: Duration,
    what: &str,
    mut act: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..21 {
        let began = Instant::now();
        act()?;
        times.push(began.elapsed());
    }
    times.sort();
    let median = times[10];
    println!("{what}: {median:?} at the median, {:?} at most", times[20]);
    // Where it is computed everything takes 5 to 40 times as long.
    let limit = if is_emulated() { limit * 40 } else { limit };
    ensure!(median <= limit, "{what} takes {median:?}");
    Ok(())
}

/// Bundles of crun and runc lie where those of every test do, and all have the same names here.
static TURN: Mutex<()> = Mutex::new(());

fn names_are_resolved(row: &Row) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut engine = Engine::start(row.kind)?;
    let runtimes = Runtimes::new(engine.places());
    engine.start_container("shop-db", Network::Own)?;
    engine.start_container("shop-web", Network::Own)?;

    let db = only(&runtimes, &container("shop-db"))?;
    is_in_place(&db)?;
    let name = row.kind.full_name("shop-db");
    assert_eq!((&*db.id, &*db.runtime), (&*name, row.name), "{db:?}");
    let label = format!("container {name} (");
    assert!(db.label.starts_with(&label), "{db:?}");
    assert!(
        !db.host_network && db.shares_network_with.is_empty(),
        "{db:?}"
    );
    assert_eq!(db.labels.get("app").cloned(), Some(engine.app()));
    let web = only(&runtimes, &container("shop-web"))?;
    assert_ne!((&db.cgroups, db.pid), (&web.cgroups, web.pid));

    one_is_picked_and_mistakes_are_answered(row, &runtimes, &db)?;
    networks_are_told(&engine, &runtimes)?;
    takes_at_most(
        Duration::from_millis(50),
        &format!("{}: a name", row.name),
        || only(&runtimes, &container("shop-db")).map(drop),
    )?;
    a_restart_is_told(row, &engine, &runtimes)?;

    engine.stop("shop-web")?;
    let error = runtimes.find(&container("shop-web"), None, WITHIN);
    let error = error.expect_err("a container that ended was found");
    assert!(matches!(error, RuntimeError::NotRunning { .. }), "{error}");
    engine.stop("shop-db")?;
    let labels = [("app".to_owned(), engine.app())].into();
    let error = runtimes.find(&Asked::Containers { labels }, None, WITHIN);
    let error = error.expect_err("containers that ended were found");
    assert!(error.is_stopped(), "{error}");

    if row.kind.has_daemon() {
        engine.kill_daemon()?;
        let error = runtimes.find(&container("shop-db"), Some(row.name), WITHIN);
        let error = error.expect_err("a dead daemon answered");
        assert!(!error.is_absence(), "{error}");
    }
    Ok(())
}

fn one_is_picked_and_mistakes_are_answered(
    row: &Row,
    runtimes: &Runtimes,
    db: &Member,
) -> Result<()> {
    let picked = runtimes.find(&container("shop-db"), Some(row.name), WITHIN)?;
    assert_eq!(&picked, std::slice::from_ref(db));
    let error = runtimes.find(&container("shop-dc"), None, WITHIN);
    let error = error.expect_err("a typo was found").to_string();
    assert!(error.contains("shop-db"), "{error}");
    let labels = db
        .labels
        .clone()
        .into_iter()
        .filter(|(key, _)| key == "app");
    let labels = labels.collect();
    let mut labelled: Vec<_> = runtimes
        .find(&Asked::Containers { labels }, None, WITHIN)?
        .into_iter()
        .map(|member| member.id)
        .collect();
    labelled.sort();
    let both = ["shop-db", "shop-web"].map(|name| row.kind.full_name(name));
    assert_eq!(labelled, both);
    if row.kind.has_daemon() {
        // `container shop-db (docker 3f2a4b5c6d7e)`
        let id = db.label.rsplit(' ').next().context("no id")?;
        let by_id = only(runtimes, &container(&id[..6]))?;
        assert_eq!(by_id.id, db.id);
    } else {
        let error = runtimes.find(&container("shop-"), None, WITHIN);
        let error = error.expect_err("a prefix of two was found");
        assert!(matches!(error, RuntimeError::Ambiguous { .. }), "{error}");
    }
    Ok(())
}

fn networks_are_told(engine: &Engine, runtimes: &Runtimes) -> Result<()> {
    engine.start_container("on-host", Network::Host)?;
    let host = only(runtimes, &container("on-host"))?;
    is_in_place(&host)?;
    assert!(
        host.host_network && host.shares_network_with.is_empty(),
        "{host:?}"
    );
    engine.remove("on-host")?;
    engine.start_container("sidecar", Network::Of("shop-db"))?;
    let sidecar = only(runtimes, &container("sidecar"))?;
    is_in_place(&sidecar)?;
    let others = &sidecar.shares_network_with;
    // A bundle has no name for another's cgroup, nor has containerd.
    assert!(
        matches!(&others[..], [one] if ["shop-db", "/lab-shop-db", "/lab/shop-db"].contains(&&**one)),
        "{sidecar:?}"
    );
    engine.remove("sidecar")
}

fn a_restart_is_told(row: &Row, engine: &Engine, runtimes: &Runtimes) -> Result<()> {
    let asked = container("shop-db");
    let mut now = only(runtimes, &asked)?;
    let mut watch = runtimes.watch(&asked, None, std::slice::from_ref(&now))?;
    for _ in 0..row.restarts {
        engine.restart("shop-db")?;
        let began = Instant::now();
        let next = follow(&mut watch, runtimes, &asked, &now)?;
        println!(
            "{}: a restart is told {:?} after it",
            row.name,
            began.elapsed()
        );
        is_in_place(&next)?;
        now = next;
    }
    Ok(())
}

/// Asks again whenever the watch says so, until somebody else answers.
pub fn follow(
    watch: &mut Watch,
    runtimes: &Runtimes,
    asked: &Asked,
    before: &Member,
) -> Result<Member> {
    let limit = Duration::from_secs(if is_emulated() { 20 } else { 1 });
    let mut next = None;
    let told = wait_until(limit, || {
        if watch.changed()
            && let Ok(found) = only(runtimes, asked)
            && found.pid != before.pid
        {
            next = Some(found);
        }
        next.is_some()
    });
    ensure!(told, "no change of {asked} was told within {limit:?}");
    let next = next.context("nobody")?;
    watch.follow(std::slice::from_ref(&next))?;
    Ok(next)
}

#[test]
fn one_of_two_hundred_containers_is_found_as_fast_as_one_of_two() -> Result<()> {
    const OTHERS: usize = 199;
    let kind = Kind::Crun;
    if let Some(reason) = kind.missing() {
        skip!(Ok(()), "{reason}");
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Engine::start(kind)?;
    let runtimes = Runtimes::new(engine.places());
    for number in 0..OTHERS {
        engine.start_container(&format!("other-{number}"), Network::Own)?;
    }
    engine.start_container("shop-db", Network::Own)?;
    takes_at_most(Duration::from_millis(200), "crun: one of 200", || {
        is_in_place(&only(&runtimes, &container("shop-db"))?)
    })?;
    // A name is no prefix of others that begin with it.
    assert_eq!(only(&runtimes, &container("other-1"))?.id, "other-1");
    Ok(())
}
