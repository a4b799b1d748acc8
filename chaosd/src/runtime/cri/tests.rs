//! What a runtime answers by Kubernetes' interface, from a socket of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use prost::Message as _;

use super::{
    super::{Asked, RuntimeKind, Runtimes, fake::Fake, is_named},
    interface::{
        Container, ContainerMetadata, ContainerState, ContainerStatusResponse,
        ListContainersResponse, ListPodSandboxResponse, PodSandbox, PodSandboxMetadata,
        PodSandboxState, PodSandboxStatusResponse, VersionResponse,
    },
    *,
};

const WITHIN: Duration = Duration::from_secs(5);
const POD: &str = "3f2a4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778a";
const APP: &str = "3f2b4b5c6d7e8f90112233445566778899aabbccddeeff00112233445566778b";

/// A pod, `shop/web-0`, with one container, `app`, which are this very process if they run.
fn start(runtime: &'static str, name: &str, runs: bool) -> Fake {
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let pod = PodSandbox {
        id: POD.to_owned(),
        metadata: Some(PodSandboxMetadata {
            name: "web-0".to_owned(),
            uid: "u1".to_owned(),
            namespace: "shop".to_owned(),
            attempt: 0,
        }),
        state: i32::from(if runs {
            PodSandboxState::SandboxReady
        } else {
            PodSandboxState::SandboxNotready
        }),
        created_at: 1,
        labels: labels.clone(),
    };
    let app = Container {
        id: APP.to_owned(),
        pod_sandbox_id: POD.to_owned(),
        metadata: Some(ContainerMetadata {
            name: "app".to_owned(),
            attempt: 0,
        }),
        state: i32::from(if runs {
            ContainerState::ContainerRunning
        } else {
            ContainerState::ContainerExited
        }),
        created_at: 1,
        labels,
    };
    let pid = format!(r#"{{"pid":{}}}"#, std::process::id());
    let info = BTreeMap::from([("info".to_owned(), pid)]);
    Fake::grpc(RuntimeKind::Cri, name, move |method, _, _| {
        let method = method.strip_prefix("/runtime.v1.RuntimeService/")?;
        let (pod, app, info) = (pod.clone(), app.clone(), info.clone());
        Some(match method {
            "Version" => VersionResponse {
                runtime_name: runtime.to_owned(),
                ..VersionResponse::default()
            }
            .encode_to_vec(),
            "ListPodSandbox" => ListPodSandboxResponse { items: vec![pod] }.encode_to_vec(),
            "ListContainers" => ListContainersResponse {
                containers: vec![app],
            }
            .encode_to_vec(),
            "PodSandboxStatus" => PodSandboxStatusResponse { status: None, info }.encode_to_vec(),
            "ContainerStatus" => ContainerStatusResponse { info }.encode_to_vec(),
            _ => return None,
        })
    })
}

fn selected(app: &str) -> [Asked; 2] {
    let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
    let pods = Asked::Pods {
        namespace: Some("shop".to_owned()),
        labels: labels.clone(),
    };
    [pods, Asked::Containers { labels }]
}

#[test]
fn who_is_selected_and_waits_for_a_restart_is_stopped_and_who_is_not_there_is_absent() {
    for runs in [true, false] {
        let fake = start("cri-o", if runs { "up" } else { "down" }, runs);
        let runtimes = Runtimes::new(fake.places());
        for asked in selected("web") {
            match runtimes.find(&asked, None, WITHIN) {
                Ok(found) => assert!(runs && found.len() == 1, "{found:?}"),
                Err(error) => {
                    assert!(!runs && error.is_stopped(), "{error}");
                    let told = format!("none of the 1 {asked} runs: start one, then try again");
                    assert_eq!(error.to_string(), told);
                }
            }
        }
        for asked in selected("other") {
            let error = runtimes.find(&asked, None, WITHIN).unwrap_err();
            assert!(error.is_absence(), "{error}");
        }
    }
}

#[test]
fn what_cri_dockerd_knows_is_found_again_by_the_runtime_that_it_is_told_to_be_of() {
    let fake = start("docker", "dockerd", true);
    let runtimes = Runtimes::new(fake.places());
    for asked in [
        Asked::Pod {
            namespace: Some("shop".to_owned()),
            name: "web-0".to_owned(),
        },
        Asked::Container("shop/web-0/app".to_owned()),
    ] {
        let found = runtimes.find(&asked, None, WITHIN).unwrap();
        let runtime = &*found[0].runtime;
        assert!(is_named(runtime), "{runtime}");
        assert_eq!(runtimes.find(&asked, Some(runtime), WITHIN).unwrap(), found);
    }
}

#[test]
fn a_pod_s_cgroup_is_known_by_its_uid_with_either_driver() {
    for (line, expected) in [
        (
            "/kubepods/burstable/pod1a-2b/0123",
            Some("kubepods/burstable/pod1a-2b"),
        ),
        (
            "/kubepods.slice/kubepods-pod1a_2b.slice/cri-containerd-0123.scope",
            Some("kubepods.slice/kubepods-pod1a_2b.slice"),
        ),
        ("/k8s.io/0123", None),
        ("/kubepods/pod1a-2b9/0123", None),
    ] {
        let found = pod_dir(line, "1a-2b");
        assert_eq!(found, expected.map(PathBuf::from), "{line}");
    }
    assert_eq!(pod_dir("/kubepods/pod/0123", ""), None);
}
