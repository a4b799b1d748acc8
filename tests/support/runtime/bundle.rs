//! Plain bundles of crun and runc.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Kind, Network, SLEEP, quietly};
use crate::run;

/// Starts a container whose cgroup is `/lab-NAME`.
pub fn start(kind: Kind, place: &Path, name: &str, network: Network<'_>) -> Result<()> {
    let bundle = place.join(format!("bundle-{name}"));
    std::fs::create_dir_all(&bundle)?;
    let config = bundle.join("config.json");
    let dir = bundle.display().to_string();
    if !config.exists() {
        run(program(kind), &["spec", "--bundle", &dir])?;
    }
    let text = std::fs::read_to_string(&config)?;
    let mut spec: Value = serde_json::from_str(&text)?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(SLEEP);
    spec["root"] = json!({ "path": place.join("root"), "readonly": true });
    spec["annotations"] = json!({ "app": super::app(place) });
    spec["linux"]["cgroupsPath"] = json!(format!("/lab-{name}"));
    let namespaces = spec["linux"]["namespaces"]
        .as_array_mut()
        .context("a specification without namespaces")?;
    namespaces.retain(|namespace| namespace["type"] != "network");
    match network {
        Network::Own => namespaces.push(json!({ "type": "network" })),
        Network::Host => {}
        Network::Pod(pod) => bail!("there is no pod {pod} of bundles"),
        Network::Of(other) => {
            let path = format!("/proc/{}/ns/net", pid(kind, other)?);
            namespaces.push(json!({ "type": "network", "path": path }));
        }
    }
    std::fs::write(&config, spec.to_string())?;
    let mut command = Command::new(program(kind));
    quietly(command.args(["run", "-d", "--bundle", &dir, name]), place)
}

/// Ends it and forgets it.
pub fn remove(kind: Kind, name: &str) -> Result<()> {
    run(program(kind), &["delete", "-f", name]).map(drop)
}

/// Ends its process.
pub fn kill(kind: Kind, name: &str) -> Result<()> {
    run(program(kind), &["kill", name, "KILL"]).map(drop)
}

pub(super) fn pid(kind: Kind, name: &str) -> Result<u64> {
    let state: Value = serde_json::from_str(&run(program(kind), &["state", name])?)?;
    match state["pid"].as_u64() {
        Some(pid) => Ok(pid),
        None => bail!("{name} has no process"),
    }
}

pub(super) fn program(kind: Kind) -> &'static str {
    match kind {
        Kind::Runc => "/usr/sbin/runc",
        _ => "/usr/bin/crun",
    }
}
