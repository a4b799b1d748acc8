//! What a runtime says of a container or a pod when asked to be verbose: JSON of its own making, of which
//! containerd and CRI-O have these fields in common.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// See the module's page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    /// The first process on the host; `None`: it has none.
    pub(super) pid: Option<i32>,
    /// The file of its network namespace, where its specification names one.
    pub(super) netns: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Verbose {
    #[serde(default)]
    pid: i64,
    #[serde(default, rename = "runtimeSpec")]
    spec: Option<Spec>,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    linux: Option<Linux>,
}

#[derive(Default, Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Vec<Namespace>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: PathBuf,
}

impl Info {
    /// Reads `info["info"]` of a verbose answer; what cannot be read is not known.
    pub(super) fn read(info: &BTreeMap<String, String>) -> Self {
        let verbose: Verbose = info
            .get("info")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let linux = verbose.spec.unwrap_or_default().linux.unwrap_or_default();
        let network = linux.namespaces.into_iter().find(|ns| ns.kind == "network");
        Self {
            pid: i32::try_from(verbose.pid).ok().filter(|pid| *pid > 0),
            netns: network
                .map(|ns| ns.path)
                .filter(|path| !path.as_os_str().is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Info {
        Info::read(&BTreeMap::from([("info".to_owned(), text.to_owned())]))
    }

    #[test]
    fn pid_and_namespace_are_read_and_nothing_else_is_asked_for() {
        // containerd 1.6, shortened.
        let info = read(
            r#"{"pid":712,"processStatus":"running","netNamespaceClosed":false,"image":"pause",
            "runtimeSpec":{"ociVersion":"1.0.2","linux":{"cgroupsPath":"/kubepods/burstable/podu1/s1",
            "namespaces":[{"type":"pid"},{"type":"network","path":"/var/run/netns/cni-1"}]}}}"#,
        );
        assert_eq!(info.pid, Some(712));
        assert_eq!(info.netns, Some("/var/run/netns/cni-1".into()));
    }

    #[test]
    fn a_container_without_a_process_or_a_namespace_of_its_own_has_none() {
        let info = read(r#"{"pid":0,"runtimeSpec":{"linux":{"namespaces":[{"type":"network"}]}}}"#);
        assert_eq!(info, Info::default());
        assert_eq!(read("nonsense"), Info::default());
        assert_eq!(Info::read(&BTreeMap::new()), Info::default());
    }
}
