//! containerd with its CRI plug-in and CNI's bridge: real pods, with the labels and the cgroups that a
//! kubelet gives them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use tonic::transport::{Channel, Endpoint};

use super::cri::runtime_service_client::RuntimeServiceClient;
use super::cri::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ImageSpec, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption, PodSandboxConfig,
    PodSandboxMetadata, RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest, VersionRequest,
};
use super::daemon::Daemon;
use super::{SLEEP, image, lacking, quietly};
use crate::{Mount, wait_until};

/// Where Debian keeps CNI's plug-ins.
const PLUGINS: &str = "/usr/lib/cni";
/// How long its plug-ins take to be ready.
const READY: std::time::Duration = std::time::Duration::from_mins(2);

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A pod to be.
#[derive(Clone, Debug)]
pub struct PodSpec {
    config: PodSandboxConfig,
}

impl PodSpec {
    /// With a cgroup as kubelet's driver for cgroupfs names it, and the label `app=NAME`.
    pub fn new(namespace: &str, name: &str) -> Self {
        let labels = [
            ("app", name),
            ("io.kubernetes.pod.name", name),
            ("io.kubernetes.pod.namespace", namespace),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            config: PodSandboxConfig {
                labels: BTreeMap::from(labels),
                hostname: name.to_owned(),
                linux: Some(LinuxPodSandboxConfig::default()),
                metadata: Some(PodSandboxMetadata {
                    name: name.to_owned(),
                    namespace: namespace.to_owned(),
                    ..PodSandboxMetadata::default()
                }),
                ..PodSandboxConfig::default()
            },
        }
    }

    /// `metadata.annotations`
    #[must_use]
    pub fn annotated(mut self, annotations: &[(&str, &str)]) -> Self {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        self.config.annotations = annotations.iter().map(own).collect();
        self
    }

    /// Of the containerd of this number: two of them have no cgroup in common.
    fn is_of(&mut self, number: u32) {
        let metadata = self.config.metadata.get_or_insert_default();
        let (pid, name) = (std::process::id() & 0xffff, &metadata.name);
        let uid = format!("0a1b2c3d-{pid:04x}-{number:04x}-{name}");
        let linux = self.config.linux.get_or_insert_default();
        linux.cgroup_parent = format!("/kubepods/burstable/pod{uid}");
        let labels = &mut self.config.labels;
        labels.insert("io.kubernetes.pod.uid".to_owned(), uid.clone());
        metadata.uid = uid;
    }

    /// `hostNetwork: true`
    #[must_use]
    pub fn on_host(mut self) -> Self {
        let options = NamespaceOption {
            network: NamespaceMode::Node.into(),
            pid: NamespaceMode::Container.into(),
        };
        if let Some(linux) = &mut self.config.linux {
            linux.security_context = Some(LinuxSandboxSecurityContext {
                namespace_options: Some(options),
            });
        }
        self.config.hostname.clear();
        self
    }
}

/// A containerd of its own. Dropped, its pods end, and then it.
#[derive(Debug)]
pub struct Pods {
    runtime: tokio::runtime::Runtime,
    client: RuntimeServiceClient<Channel>,
    number: u32,
    /// What was made, by sandbox.
    made: Vec<(String, PodSpec)>,
    daemon: Option<Daemon>,
    // Last: everything above has files there.
    place: Mount,
}

impl Pods {
    /// Why it cannot be started here.
    pub fn missing() -> Option<String> {
        lacking(&[
            "/usr/bin/containerd",
            "/usr/bin/containerd-shim-runc-v2",
            "/usr/bin/ctr",
            "/usr/sbin/runc",
            "/usr/lib/cni/bridge",
        ])
    }

    /// Starts it with an image, and waits until it can make pods.
    pub fn start() -> Result<Self> {
        Self::start_as("", |_| Ok(()))
    }

    /// The same, where every container has this hook, and annotations of ours reach it.
    pub fn start_hooked(hook: &serde_json::Value) -> Result<Self> {
        let settings =
            "    pod_annotations = [\"chaosd.*\"]\n    base_runtime_spec = \"PLACE/spec.json\"\n";
        Self::start_as(settings, |place| {
            let spec = crate::run("/usr/bin/ctr", &["oci", "spec"])?;
            let mut spec: serde_json::Value = serde_json::from_str(&spec)?;
            spec["hooks"] = serde_json::json!({ "createRuntime": [hook], "poststop": [hook] });
            place.file("spec.json", &spec.to_string()).map(drop)
        })
    }

    fn start_as(settings: &str, prepare: impl FnOnce(&Mount) -> Result<()>) -> Result<Self> {
        super::names_of_namespaces()?;
        let place = Mount::tmpfs()?;
        prepare(&place)?;
        image::root(&place.path().join("root"))?;
        let archive = image::archive(place.path())?;
        let socket = place.path().join("containerd.sock");
        let settings = settings.replace("PLACE", &place.path().display().to_string());
        let config = configuration(place.path(), &socket) + &settings;
        let config = place.file("config.toml", &config)?;
        place.file("cni/10-lab.conflist", NETWORK)?;
        let mut command = Command::new("/usr/bin/containerd");
        let daemon = Daemon::start(command.arg("--config").arg(&config), &socket, place.path())?;
        let mut ctr = Command::new("/usr/bin/ctr");
        ctr.arg("--address")
            .arg(&socket)
            .args(["-n", "k8s.io", "images", "import"]);
        quietly(ctr.arg(archive), place.path()).with_context(|| daemon.said())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let address = format!("unix://{}", socket.display());
        let entered = runtime.enter();
        let channel = Endpoint::from_shared(address)?.connect_lazy();
        drop(entered);
        let pods = Self {
            runtime,
            client: RuntimeServiceClient::new(channel),
            number: STARTED.fetch_add(1, Ordering::Relaxed),
            made: Vec::new(),
            daemon: Some(daemon),
            place,
        };
        let ready = wait_until(READY, || {
            let mut client = pods.client.clone();
            pods.runtime
                .block_on(client.version(VersionRequest {}))
                .is_ok()
        });
        if !ready {
            let said = pods.daemon.as_ref().map(Daemon::said);
            bail!("containerd serves no pods: {}", said.unwrap_or_default());
        }
        Ok(pods)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.place.path().join("containerd.sock")
    }

    /// Where chaosd finds it, and nothing else of this machine.
    pub fn places(&self) -> chaosd::runtime::Places {
        use chaosd::runtime::{Places, RuntimeKind};
        Places {
            sockets: vec![(RuntimeKind::Cri, self.socket())],
            // Where its shim has runc write, whatever its own directories are.
            oci_namespaced: vec!["/run/containerd/runc".into()],
            ..Places::default()
        }
    }

    /// Makes a pod; returns its sandbox. One of the same name has the same cgroup.
    pub fn run(&mut self, mut pod: PodSpec) -> Result<String> {
        pod.is_of(self.number);
        let request = RunPodSandboxRequest {
            config: Some(pod.config.clone()),
        };
        let answer = self.runtime.block_on(self.client.run_pod_sandbox(request));
        let sandbox = answer
            .with_context(|| self.daemon.as_ref().map(Daemon::said).unwrap_or_default())?
            .into_inner()
            .pod_sandbox_id;
        self.made.push((sandbox.clone(), pod));
        Ok(sandbox)
    }

    /// Starts a container that sleeps in a pod; returns its id.
    pub fn start_container(&mut self, sandbox: &str, name: &str, attempt: u32) -> Result<String> {
        let pod = self.made.iter().find(|(id, _)| id == sandbox);
        let (_, pod) = pod.context("no such pod")?;
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata {
                name: name.to_owned(),
                attempt,
            }),
            image: Some(ImageSpec {
                image: image::NAME.to_owned(),
            }),
            command: SLEEP.map(ToOwned::to_owned).into(),
            ..ContainerConfig::default()
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        let client = &mut self.client;
        self.runtime.block_on(async {
            let id = client
                .create_container(request)
                .await?
                .into_inner()
                .container_id;
            let container_id = id.clone();
            client
                .start_container(StartContainerRequest { container_id })
                .await?;
            Ok(id)
        })
    }

    /// Ends a container and forgets it, as kubelet does before the next attempt.
    pub fn remove_container(&mut self, id: &str) -> Result<()> {
        let stop = StopContainerRequest {
            container_id: id.to_owned(),
            timeout: 0,
        };
        let remove = RemoveContainerRequest {
            container_id: id.to_owned(),
        };
        let client = &mut self.client;
        self.runtime.block_on(async {
            client.stop_container(stop).await?;
            client.remove_container(remove).await?;
            Ok(())
        })
    }

    /// Takes its network away and ends its containers; it is still listed.
    pub fn stop(&mut self, sandbox: &str) -> Result<()> {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: sandbox.to_owned(),
        };
        self.runtime
            .block_on(self.client.stop_pod_sandbox(request))?;
        Ok(())
    }

    /// Ends it and forgets it.
    pub fn remove(&mut self, sandbox: &str) -> Result<()> {
        self.stop(sandbox)?;
        let request = RemovePodSandboxRequest {
            pod_sandbox_id: sandbox.to_owned(),
        };
        self.runtime
            .block_on(self.client.remove_pod_sandbox(request))?;
        self.made.retain(|(id, _)| id != sandbox);
        Ok(())
    }

    /// SIGKILL to containerd; its pods go on.
    pub fn kill_daemon(&mut self) -> Result<()> {
        self.daemon.take().context("it is dead already")?.kill()
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            for (sandbox, _) in std::mem::take(&mut self.made) {
                if let Err(error) = self.remove(&sandbox) {
                    eprintln!("pod {sandbox} is left over: {error:#}");
                }
            }
        }
    }
}

/// containerd without what the tests do not use, which each takes its time to start.
fn configuration(place: &Path, socket: &Path) -> String {
    let (place, socket, image) = (place.display(), socket.display(), image::NAME);
    format!(
        r#"version = 2
root = "{place}/store"
state = "{place}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{place}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#
    )
}

/// Two pods on a bridge, which reach each other and nobody else.
const NETWORK: &str = r#"{ "cniVersion": "0.4.0", "name": "lab", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": false,
    "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.213.7.0/24" }]] } },
  { "type": "loopback" } ] }
"#;
