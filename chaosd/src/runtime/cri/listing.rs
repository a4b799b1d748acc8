//! The pods and containers of a runtime, of which one name may have several: a container that was started
//! again is a new one to the runtime, and so is the sandbox of a pod.

use std::collections::BTreeMap;

use super::{
    super::choose::Listed,
    interface::{Container, ContainerState, PodSandbox, PodSandboxState},
};

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pod {
    pub(super) sandbox: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ready: bool,
    pub(super) created: i64,
    pub(super) labels: BTreeMap<String, String>,
}

impl Pod {
    fn new(one: PodSandbox) -> Self {
        let metadata = one.metadata.unwrap_or_default();
        Self {
            sandbox: one.id,
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            ready: one.state == i32::from(PodSandboxState::SandboxReady),
            created: one.created_at,
            labels: one.labels,
        }
    }

    /// `shop/web-0`
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(super) fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(k, v)| self.labels.get(k) == Some(v))
    }

    pub(super) fn listed(&self) -> Listed {
        Listed {
            id: self.sandbox.clone(),
            names: vec![self.name.clone()],
            runs: self.ready,
        }
    }
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InPod {
    pub(super) id: String,
    pub(super) sandbox: String,
    pub(super) name: String,
    /// That of its pod.
    pub(super) pod: String,
    /// Its pod's, with the namespace; of a pod that is not listed the sandbox's id.
    pub(super) of_pod: String,
    /// `shop/web-0/app`
    pub(super) full_name: String,
    pub(super) state: i32,
    pub(super) created: i64,
    /// Its own, and those of its pod.
    pub(super) labels: BTreeMap<String, String>,
}

impl InPod {
    fn new(one: Container, pods: &[Pod]) -> Self {
        let name = one.metadata.unwrap_or_default().name;
        let pod = pods.iter().find(|pod| pod.sandbox == one.pod_sandbox_id);
        let mut labels = pod.map(|pod| pod.labels.clone()).unwrap_or_default();
        labels.extend(one.labels);
        let of_pod = pod.map_or_else(|| one.pod_sandbox_id.clone(), Pod::full_name);
        Self {
            id: one.id,
            full_name: format!("{of_pod}/{name}"),
            of_pod,
            pod: pod.map(|pod| pod.name.clone()).unwrap_or_default(),
            sandbox: one.pod_sandbox_id,
            name,
            state: one.state,
            created: one.created_at,
            labels,
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.state == i32::from(ContainerState::ContainerRunning)
    }

    /// For people.
    pub(super) fn state(&self) -> &'static str {
        match ContainerState::try_from(self.state) {
            Ok(ContainerState::ContainerCreated) => "created",
            Ok(ContainerState::ContainerRunning) => "running",
            Ok(ContainerState::ContainerExited) => "exited",
            _ => "in no known state",
        }
    }

    pub(super) fn has(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(k, v)| self.labels.get(k) == Some(v))
    }

    pub(super) fn listed(&self) -> Listed {
        Listed {
            id: self.id.clone(),
            names: vec![
                self.full_name.clone(),
                format!("{}/{}", self.pod, self.name),
                self.name.clone(),
            ],
            runs: self.runs(),
        }
    }
}

/// One for each name: that which is ready, else the newest.
pub(super) fn pods(all: Vec<PodSandbox>) -> Vec<Pod> {
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    for pod in all.into_iter().map(Pod::new) {
        let name = pod.full_name();
        let better = |old: &Pod| (old.ready, old.created) < (pod.ready, pod.created);
        if pods.get(&name).is_none_or(better) {
            pods.insert(name, pod);
        }
    }
    pods.into_values().collect()
}

/// One for each name within a pod: that which runs, else the newest.
pub(super) fn containers(all: Vec<Container>, pods: &[Pod]) -> Vec<InPod> {
    let mut containers: BTreeMap<String, InPod> = BTreeMap::new();
    for one in all.into_iter().map(|one| InPod::new(one, pods)) {
        let better = |old: &InPod| (old.runs(), old.created) < (one.runs(), one.created);
        if containers.get(&one.full_name).is_none_or(better) {
            containers.insert(one.full_name.clone(), one);
        }
    }
    containers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::interface::{ContainerMetadata, PodSandboxMetadata},
        *,
    };

    fn sandbox(id: &str, name: &str, ready: bool, created: i64) -> PodSandbox {
        PodSandbox {
            id: id.to_owned(),
            metadata: Some(PodSandboxMetadata {
                name: name.to_owned(),
                uid: "u1".to_owned(),
                namespace: "shop".to_owned(),
                attempt: 0,
            }),
            state: i32::from(!ready),
            created_at: created,
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
        }
    }

    fn container(id: &str, of: &str, state: ContainerState, created: i64) -> Container {
        Container {
            id: id.to_owned(),
            pod_sandbox_id: of.to_owned(),
            metadata: Some(ContainerMetadata {
                name: "app".to_owned(),
                attempt: 0,
            }),
            state: state.into(),
            created_at: created,
            labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        }
    }

    #[test]
    fn of_a_pod_s_sandboxes_the_ready_one_counts() {
        let all = vec![
            sandbox("old", "web", false, 1),
            sandbox("live", "web", true, 2),
            sandbox("odd", "web", false, 3),
            sandbox("gone", "db", false, 1),
            sandbox("newer", "db", false, 2),
        ];
        let pods = pods(all);
        let found: Vec<_> = pods.iter().map(|p| (&*p.sandbox, p.full_name())).collect();
        assert_eq!(
            found,
            [
                ("newer", "shop/db".to_owned()),
                ("live", "shop/web".to_owned())
            ]
        );
    }

    #[test]
    fn of_a_container_s_attempts_the_running_one_counts_and_it_has_its_pod_s_labels() {
        let pods = pods(vec![sandbox("s", "web", true, 1)]);
        let all = vec![
            container("a1", "s", ContainerState::ContainerExited, 1),
            container("a2", "s", ContainerState::ContainerRunning, 2),
            container("a3", "s", ContainerState::ContainerExited, 3),
        ];
        let found = containers(all, &pods);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].id, "a2");
        let names = found[0].listed().names;
        assert_eq!(names, ["shop/web/app", "web/app", "app"]);
        let wanted = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
        assert!(found[0].has(&wanted("app", "web")) && found[0].has(&wanted("tier", "front")));
        assert!(!found[0].has(&wanted("tier", "back")));
    }
}
