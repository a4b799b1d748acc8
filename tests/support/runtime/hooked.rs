//! Bundles of crun and runc whose configuration names hooks and annotations, in a network namespace that is
//! there before them, as podman and CNI have it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Engine, Kind, bundle, image};
use crate::{Mount, run};

/// A root that bundles share. Dropped, it is taken away.
#[derive(Debug)]
pub struct Bundles {
    kind: Kind,
    place: Mount,
}

/// A container to be.
#[derive(Clone, Debug, Default)]
pub struct Spec<'a> {
    /// A file to open its network namespace by; none: the host's.
    pub netns: Option<String>,
    /// What it runs.
    pub args: &'a [&'a str],
    /// Its annotations.
    pub annotations: Vec<(String, String)>,
    /// The program and the arguments of its hook, the first of which is the program's name.
    pub hook: Option<(PathBuf, Vec<String>)>,
}

/// One that may run; deleted on drop.
#[derive(Debug)]
pub struct Container {
    kind: Kind,
    id: String,
    dir: PathBuf,
}

/// What a runtime said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it did what it was to do.
    pub done: bool,
    /// What it, its hooks and its container wrote.
    pub text: String,
}

impl Bundles {
    /// A root with a busybox.
    pub fn new(kind: Kind) -> Result<Self> {
        let place = Mount::tmpfs()?;
        image::root(&place.path().join("root"))?;
        Ok(Self { kind, place })
    }

    /// A bundle of that.
    pub fn bundle(&self, id: &str, spec: &Spec<'_>) -> Result<Container> {
        let dir = self.place.path().join(id);
        std::fs::create_dir_all(&dir)?;
        let path = dir.display().to_string();
        let config = dir.join("config.json");
        if !config.exists() {
            run(bundle::program(self.kind), &["spec", "--bundle", &path])?;
        }
        let mut document: Value = serde_json::from_str(&std::fs::read_to_string(&config)?)?;
        document["process"]["terminal"] = json!(false);
        document["process"]["args"] = json!(spec.args);
        // Pings take raw sockets.
        let raw = json!(["CAP_NET_RAW", "CAP_KILL"]);
        document["process"]["capabilities"] =
            json!({ "bounding": raw, "effective": raw, "permitted": raw });
        document["root"] = json!({ "path": self.place.path().join("root"), "readonly": true });
        document["annotations"] = spec.annotations.iter().cloned().collect();
        document["linux"]["cgroupsPath"] = json!(format!("/lab-{id}"));
        let namespaces = document["linux"]["namespaces"]
            .as_array_mut()
            .context("a specification without namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
        if let Some(netns) = &spec.netns {
            namespaces.push(json!({ "type": "network", "path": netns }));
        }
        if let Some((program, args)) = &spec.hook {
            let hook = json!([{ "path": program, "args": args, "timeout": 60 }]);
            document["hooks"] = json!({ "createRuntime": hook, "poststop": hook });
        }
        std::fs::write(&config, document.to_string())?;
        Ok(Container {
            kind: self.kind,
            id: id.to_owned(),
            dir,
        })
    }
}

impl Container {
    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs it to its end, and deletes it.
    pub fn run(&self) -> Result<Said> {
        self.say(&["run", "--bundle", &self.path(), &self.id])
    }

    /// Makes it: its first process is there and does not run yet.
    pub fn create(&self) -> Result<Said> {
        self.say(&["create", "--bundle", &self.path(), &self.id])
    }

    /// Lets it run.
    pub fn start(&self) -> Result<Said> {
        self.say(&["start", &self.id])
    }

    /// Forgets it, ended or not.
    pub fn delete(&self) -> Result<Said> {
        self.say(&["delete", "--force", &self.id])
    }

    /// Its first process.
    pub fn pid(&self) -> Result<i32> {
        i32::try_from(bundle::pid(self.kind, &self.id)?).context("no process id")
    }

    fn path(&self) -> String {
        self.dir.display().to_string()
    }

    /// Its container keeps the output open: a file.
    fn say(&self, args: &[&str]) -> Result<Said> {
        let log = self.dir.join("said");
        let out = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
        let status = Command::new(bundle::program(self.kind))
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .status()
            .with_context(|| format!("failed to start {}", self.kind))?;
        Ok(Said {
            done: status.success(),
            text: text(&log),
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Most are gone by then.
        self.delete().ok();
    }
}

impl Engine {
    /// Runs a container of podman to its end, with the hooks of a directory and these annotations.
    pub fn run_hooked(
        &self,
        name: &str,
        hooks: &Path,
        annotations: &[(&str, &str)],
        args: &[&str],
    ) -> Result<Said> {
        let mut podman = self.podman();
        podman.arg("--hooks-dir").arg(hooks);
        podman.args(["run", "--rm", "--name", name, "--network", "bridge"]);
        podman.args([
            "--cap-add",
            "net_raw",
            "--security-opt",
            "apparmor=unconfined",
        ]);
        for (key, value) in annotations {
            podman.arg("--annotation").arg(format!("{key}={value}"));
        }
        let log = self.place.path().join("said-hooked");
        let out = std::fs::File::create(&log).with_context(|| log.display().to_string())?;
        let status = podman
            .arg(image::NAME)
            .args(args)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .status()
            .context("failed to start podman")?;
        Ok(Said {
            done: status.success(),
            text: text(&log),
        })
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
