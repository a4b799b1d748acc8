//! The containers of crun and runc, by the files that these keep of them: whoever started them, and also
//! while the daemon that did is dead.
//!
//! crun keeps `ROOT/ID/status` (`src/libcrun/status.c`), runc `ROOT/ID/state.json`
//! (`libcontainer/container_linux.go`).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::process::{Identity, Stat};

use super::{
    Member, RuntimeError,
    choose::{Choice, Found, Listed, choose, shown},
    placing::{self, Networks},
};

/// What either file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// `crun`, `runc`
    runtime: &'static str,
    id: String,
    pid: u32,
    /// In clock ticks since boot: a later process of that number is another.
    started: Option<u64>,
    /// Below the tree, or an absolute path into it.
    cgroup: PathBuf,
    bundle: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Crun {
    pid: u32,
    process_start_time: Option<u64>,
    #[serde(default)]
    cgroup_path: PathBuf,
    bundle: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Runc {
    init_process_pid: u32,
    init_process_start: Option<u64>,
    #[serde(default)]
    cgroup_paths: BTreeMap<String, PathBuf>,
    #[serde(default)]
    config: RuncConfig,
}

#[derive(Default, Deserialize)]
struct RuncConfig {
    /// `bundle=/path`, `org.systemd.property.x=y`, and annotations.
    #[serde(default)]
    labels: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl State {
    fn crun(id: &str, text: &str) -> Option<Self> {
        let file: Crun = serde_json::from_str(text).ok()?;
        Some(Self {
            runtime: "crun",
            id: id.to_owned(),
            pid: file.pid,
            started: file.process_start_time,
            cgroup: file.cgroup_path,
            bundle: file.bundle,
        })
    }

    fn runc(id: &str, text: &str) -> Option<Self> {
        let file: Runc = serde_json::from_str(text).ok()?;
        let labels = file.config.labels.unwrap_or_default();
        let bundle = labels
            .iter()
            .find_map(|label| label.strip_prefix("bundle="));
        Some(Self {
            runtime: "runc",
            id: id.to_owned(),
            pid: file.init_process_pid,
            started: file.init_process_start,
            // The unified hierarchy has no controller's name.
            cgroup: file.cgroup_paths.get("").cloned().unwrap_or_default(),
            bundle: bundle.map(Into::into),
        })
    }

    fn read(dir: &Path) -> Option<Self> {
        let id = dir.file_name()?.to_str()?;
        if let Ok(text) = fs::read_to_string(dir.join("status")) {
            return Self::crun(id, &text);
        }
        Self::runc(id, &fs::read_to_string(dir.join("state.json")).ok()?)
    }

    /// Its process is there, and is the one that was meant.
    fn runs(&self) -> bool {
        let Ok(stat) = Stat::read(self.pid) else {
            return false;
        };
        let who = Identity {
            started: self.started.unwrap_or(stat.who.started),
            ..stat.who
        };
        who.stat().is_some()
    }

    fn label(&self) -> String {
        format!("container {} ({})", shown(&self.id), self.runtime)
    }

    /// The annotations of its bundle, which is where labels are for whoever makes bundles.
    fn annotations(&self) -> BTreeMap<String, String> {
        self.bundle
            .as_ref()
            .and_then(|bundle| fs::read(bundle.join("config.json")).ok())
            .and_then(|text| serde_json::from_slice::<Config>(&text).ok())
            .unwrap_or_default()
            .annotations
    }

    /// Below the unified tree, checked to be there and to be no one else's.
    fn own_cgroup(&self, tree: &Path) -> Option<PathBuf> {
        let below = self.cgroup.strip_prefix(tree).unwrap_or(&self.cgroup);
        let below = below.strip_prefix("/").unwrap_or(below);
        let dir = tree.join(below);
        let plain = below
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let pid = i32::try_from(self.pid).ok()?;
        let line = placing::unified_line(pid)?;
        let at = tree.join(line.trim_start_matches('/'));
        // With the systemd driver crun writes down what it asked systemd for; the process is below it.
        (plain && below.iter().next().is_some() && dir.is_dir() && at.starts_with(&dir))
            .then_some(dir)
    }

    fn member(&self, networks: &Networks) -> Result<Member, RuntimeError> {
        let ended = || RuntimeError::Ended {
            label: self.label(),
        };
        let pid = i32::try_from(self.pid).map_err(|_| ended())?;
        let mut member = Member {
            label: self.label(),
            id: self.id.clone(),
            runtime: self.runtime.to_owned(),
            labels: self.annotations(),
            ..Member::default()
        };
        let tree = placing::tree()?;
        if let Some(dir) = tree.and_then(|tree| self.own_cgroup(&tree)) {
            member.cgroups = vec![dir];
            placing::network(&mut member, pid);
        } else if !placing::place(&mut member, pid, &self.id)? {
            return Err(ended());
        }
        member.shares_network_with = networks.neighbours(&member, &self.id);
        Ok(member)
    }
}

/// Those whose name or prefix of an id fits; whether they run is known of one alone. `only`: `crun`, `runc`.
pub(super) fn containers(roots: &[PathBuf], typed: &str, only: Option<&str>) -> Vec<Found> {
    let states = all(roots, only);
    let listed: Vec<Listed> = states.iter().map(State::listed).collect();
    let fit: Vec<&Listed> = match choose(typed, &listed) {
        Choice::One(one) => vec![one],
        Choice::Several(several) => several,
        Choice::None => Vec::new(),
    };
    let fits = |state: &&State| fit.iter().any(|one| one.id == state.id);
    let networks = Networks::default();
    let found = states.iter().filter(fits).map(|state| {
        let mut found = state.found(&networks);
        found.named = state.id == typed;
        found
    });
    found.collect()
}

/// Those that have all of these annotations.
pub(super) fn labelled(
    roots: &[PathBuf],
    labels: &BTreeMap<String, String>,
    only: Option<&str>,
) -> Vec<Found> {
    let has = |state: &State| {
        let own = state.annotations();
        labels
            .iter()
            .all(|(name, value)| own.get(name) == Some(value))
    };
    let networks = Networks::default();
    all(roots, only)
        .iter()
        .filter(|state| has(state))
        .map(|state| state.found(&networks))
        .collect()
}

/// Their ids, for whoever mistyped one.
pub(super) fn names(roots: &[PathBuf], only: Option<&str>) -> Vec<String> {
    all(roots, only).into_iter().map(|state| state.id).collect()
}

fn all(roots: &[PathBuf], only: Option<&str>) -> Vec<State> {
    roots
        .iter()
        .filter_map(|root| fs::read_dir(root).ok())
        .flatten()
        .filter_map(|entry| State::read(&entry.ok()?.path()))
        .filter(|state| only.is_none_or(|only| only == state.runtime))
        .collect()
}

impl State {
    fn listed(&self) -> Listed {
        Listed {
            id: self.id.clone(),
            names: vec![self.id.clone()],
            runs: self.runs(),
        }
    }

    fn found(&self, networks: &Networks) -> Found {
        let member = if self.runs() {
            self.member(networks)
        } else {
            Err(RuntimeError::NotRunning {
                label: self.label(),
                state: "stopped".to_owned(),
            })
        };
        Found {
            id: self.id.clone(),
            named: false,
            member,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Asked, Places, RuntimeKind, Runtimes, fake::Fake},
        *,
    };

    /// crun 1.8.1, of a bundle.
    const CRUN: &str = r#"{
    "pid": 4711,
    "process-start-time": 12345,
    "cgroup-path": "/lab/one",
    "scope": "",
    "intelrdt": "",
    "rootfs": "/tmp/b/rootfs",
    "systemd-cgroup": false,
    "bundle": "/tmp/b",
    "created": "2026-11-20T10:11:12.000000Z",
    "detached": true,
    "external_descriptors": "[\"/dev/null\",\"/dev/null\",\"/dev/null\"]"
}"#;
    /// runc 1.1.5, shortened.
    const RUNC: &str = r#"{"id":"two","init_process_pid":4712,"init_process_start":12346,
"created":"2026-11-20T10:11:12Z","config":{"rootfs":"/tmp/b/rootfs","labels":["x=y","bundle=/tmp/b"]},
"rootless":false,"cgroup_paths":{"":"/sys/fs/cgroup/lab/two"},
"namespace_paths":{"NEWNET":"/proc/4712/ns/net"},"external_descriptors":["/dev/null"]}"#;

    #[test]
    fn both_kinds_of_files_are_read() {
        let crun = State::crun("one", CRUN).unwrap();
        assert_eq!((crun.pid, crun.started), (4711, Some(12345)));
        assert_eq!(crun.cgroup, Path::new("/lab/one"));
        let runc = State::runc("two", RUNC).unwrap();
        assert_eq!((runc.pid, runc.started), (4712, Some(12346)));
        assert_eq!(runc.cgroup, Path::new("/sys/fs/cgroup/lab/two"));
        assert_eq!(runc.bundle.as_deref(), Some(Path::new("/tmp/b")));
        assert_eq!(State::crun("x", "{}"), None);
    }

    /// A root with one container of each, of which crun's is this very process.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("chaosd-oci-{}-{name}", std::process::id()));
            let me = Stat::read(std::process::id()).unwrap();
            let status = CRUN
                .replace("4711", &me.who.pid.to_string())
                .replace("12345", &me.who.started.to_string())
                .replace("/tmp/b", root.to_str().unwrap());
            fs::create_dir_all(root.join("shop-db")).unwrap();
            fs::write(root.join("shop-db/status"), status).unwrap();
            fs::create_dir_all(root.join("shop-web")).unwrap();
            let gone = RUNC
                .replace("4712", &i32::MAX.to_string())
                .replace("/tmp/b", root.to_str().unwrap());
            fs::write(root.join("shop-web/state.json"), gone).unwrap();
            let config = r#"{"ociVersion":"1.0.0","annotations":{"app":"shop"}}"#;
            fs::write(root.join("config.json"), config).unwrap();
            Self(root)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_container_is_found_by_its_name_or_a_prefix_of_it() {
        let root = Root::new("found");
        let roots = [root.0.clone()];
        let found = containers(&roots, "shop-d", None);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, "shop-db");
        assert!(containers(&roots, "shop-db", Some("runc")).is_empty());
        // Of the two one runs, which is then meant.
        assert_eq!(containers(&roots, "shop", None).len(), 1);
        let mut names = names(&roots, None);
        names.sort();
        assert_eq!(names, ["shop-db", "shop-web"]);
    }

    #[test]
    fn a_name_that_moves_the_cursor_is_found_and_not_shown() {
        let root = Root::new("printable");
        let name = "shop\x1b[2J";
        fs::rename(root.0.join("shop-db"), root.0.join(name)).unwrap();
        let runtimes = Runtimes::new(Places {
            oci: vec![root.0.clone()],
            ..Places::default()
        });
        let asked = Asked::Container(name.to_owned());
        let found = runtimes.find(&asked, None, Duration::from_secs(20));
        let found = found.unwrap();
        assert_eq!(found[0].id, name);
        assert!(found[0].label.contains("shop?[2J"), "{}", found[0].label);
    }

    #[test]
    fn a_prefix_means_nobody_while_one_who_is_silent_may_know_that_very_name() {
        let root = Root::new("silent");
        let mute = Fake::mute(RuntimeKind::Docker, "oci");
        let runtimes = Runtimes::new(Places {
            oci: vec![root.0.clone()],
            ..mute.places()
        });
        let find = |name: &str| {
            let asked = Asked::Container(name.to_owned());
            runtimes.find(&asked, None, Duration::from_millis(300))
        };
        for prefix in ["shop", "shop-d", "shop-w"] {
            let error = find(prefix).unwrap_err();
            assert!(matches!(error, RuntimeError::Doubtful { .. }), "{error}");
        }
        assert_eq!(find("shop-db").unwrap()[0].id, "shop-db");
    }

    #[test]
    fn one_whose_process_is_gone_or_another_does_not_run() {
        let root = Root::new("gone");
        let found = containers(std::slice::from_ref(&root.0), "shop-web", None);
        let error = found.into_iter().next().unwrap().member.unwrap_err();
        assert!(matches!(error, RuntimeError::NotRunning { .. }), "{error}");
        let me = std::process::id();
        let other = State {
            pid: me,
            started: Some(1),
            ..State::crun("x", CRUN).unwrap()
        };
        assert!(!other.runs());
    }

    #[test]
    fn annotations_of_the_bundle_are_its_labels() {
        let root = Root::new("labels");
        let wanted = |value: &str| BTreeMap::from([("app".to_owned(), value.to_owned())]);
        let roots = [root.0.clone()];
        let mut found = labelled(&roots, &wanted("shop"), None);
        found.sort_by(|a, b| a.id.cmp(&b.id));
        let found = found
            .iter()
            .map(|one| (one.id.as_str(), one.member.is_ok()));
        assert!(found.eq([("shop-db", true), ("shop-web", false)]));
        assert!(labelled(&roots, &wanted("other"), None).is_empty());
    }
}
