//! The connections to runtimes, and which of them `--runtime` leaves.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;

use super::{
    Places, RuntimeError, RuntimeKind,
    choose::{Found, Heard},
    containerd::{self, Containerd},
    cri::{Cri, DOCKERS},
    docker::Docker,
    places::{Socket, identity},
    systemd::Systemd,
};

/// Whoever serves Kubernetes' interface, by `--runtime`.
const CRI: &str = "cri";

/// The connections.
#[derive(Debug, Default)]
pub(super) struct Hub {
    pub(super) places: Places,
    dockers: Mutex<HashMap<PathBuf, Docker>>,
    cris: Mutex<HashMap<PathBuf, Cri>>,
    containerds: Mutex<HashMap<PathBuf, Containerd>>,
    systemd: Mutex<Option<Systemd>>,
}

/// A runtime that has a socket.
#[derive(Clone, Debug)]
pub(super) enum Api {
    Docker(Docker),
    Cri(Cri),
    Containerd(Containerd),
}

/// Whom `only` leaves.
pub(super) enum Picked {
    /// Everybody.
    All,
    /// Those at sockets, with the name that they must have by their own word.
    Sockets(Vec<Socket>, Option<String>),
    /// crun or runc, or both.
    Oci(Option<&'static str>),
    Systemd,
}

impl Api {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Docker(docker) => docker.name(),
            Self::Cri(cri) => cri.name(),
            Self::Containerd(_) => containerd::NAME,
        }
    }

    /// Of two that know the same container, the one that knows more of it comes first: its pod, its name.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Cri(_) => 0,
            Self::Docker(_) => 1,
            Self::Containerd(_) => 2,
        }
    }

    fn is_called(&self, name: &str) -> bool {
        name == self.name() || name == CRI && matches!(self, Self::Cri(_))
    }

    pub(super) async fn container(&self, name: &str) -> Result<Heard, RuntimeError> {
        match self {
            Self::Docker(docker) => Box::pin(docker.container(name)).await,
            Self::Cri(cri) => cri.container(name).await,
            Self::Containerd(containerd) => containerd.container(name).await,
        }
    }

    pub(super) async fn labelled(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        match self {
            Self::Docker(docker) => Box::pin(docker.labelled(labels)).await,
            Self::Cri(cri) => cri.labelled(labels).await,
            Self::Containerd(containerd) => containerd.labelled(labels).await,
        }
    }

    /// Docker itself has none, nor has containerd but by Kubernetes' interface.
    pub(super) fn knows_pods(&self) -> bool {
        match self {
            Self::Docker(docker) => docker.is_podman(),
            Self::Cri(_) => true,
            Self::Containerd(_) => false,
        }
    }

    pub(super) async fn pod(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Heard, RuntimeError> {
        match self {
            Self::Docker(podman) => podman.pod(namespace, name).await,
            Self::Cri(cri) => cri.pod(namespace, name).await,
            Self::Containerd(_) => Ok(Heard::Nobody(Vec::new())),
        }
    }

    pub(super) async fn pods(
        &self,
        namespace: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        match self {
            Self::Docker(podman) => podman.pods(namespace, labels).await,
            Self::Cri(cri) => cri.pods(namespace, labels).await,
            Self::Containerd(_) => Ok(Vec::new()),
        }
    }
}

impl Hub {
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            ..Self::default()
        }
    }

    /// Whom `--runtime` leaves.
    pub(super) fn pick(&self, only: Option<&str>) -> Result<Picked, RuntimeError> {
        let Some(only) = only else {
            return Ok(Picked::All);
        };
        let of = |kinds: &[RuntimeKind]| {
            let sockets = self.places.present().into_iter();
            sockets
                .filter(|socket| kinds.contains(&socket.kind))
                .collect()
        };
        let api = [RuntimeKind::Docker, RuntimeKind::Podman];
        let (sockets, named): (Vec<Socket>, _) = match only {
            "oci" => return Ok(Picked::Oci(None)),
            "crun" => return Ok(Picked::Oci(Some("crun"))),
            "runc" => return Ok(Picked::Oci(Some("runc"))),
            "systemd" => return Ok(Picked::Systemd),
            // Either may be at the other's socket: what it says of itself counts.
            "docker" | "podman" => (of(&api), Some(only.to_owned())),
            CRI | containerd::NAME | "cri-o" | DOCKERS => {
                (of(&[RuntimeKind::Cri]), Some(only.to_owned()))
            }
            path if path.starts_with('/') || path.starts_with("unix://") => {
                (self.at(path).into_iter().collect(), None)
            }
            _ => return Err(self.unknown(only)),
        };
        if sockets.is_empty() {
            return Err(self.unknown(only));
        }
        Ok(Picked::Sockets(sockets, named))
    }

    /// The socket of a path; of what kind, its name tells where it is none of the usual.
    fn at(&self, path: &str) -> Option<Socket> {
        let path = PathBuf::from(path.strip_prefix("unix://").unwrap_or(path));
        let wanted = identity(&path)?;
        let known = self.places.present().into_iter();
        let known = known
            .into_iter()
            .find(|socket| identity(&socket.path) == Some(wanted));
        Some(known.unwrap_or_else(|| Socket {
            kind: kind_by_name(&path),
            path,
        }))
    }

    fn unknown(&self, name: &str) -> RuntimeError {
        let sockets = self.places.present().into_iter();
        let sockets = sockets.map(|socket| format!("{} ({})", socket.kind, socket.path.display()));
        let dirs = self.places.oci_roots().into_iter();
        let dirs = dirs.map(|dir| format!("oci ({})", dir.display()));
        RuntimeError::UnknownRuntime {
            name: name.to_owned(),
            found: sockets.chain(dirs).collect(),
            looked: self.places.looked(),
        }
    }

    /// Those at sockets that answer, and why others do not.
    pub(super) async fn apis(
        &self,
        picked: &Picked,
        within: Duration,
    ) -> Result<(Vec<Api>, Vec<RuntimeError>), RuntimeError> {
        let (sockets, named) = match picked {
            Picked::All => (self.places.present(), None),
            Picked::Sockets(sockets, named) => (sockets.clone(), named.as_deref()),
            Picked::Oci(_) | Picked::Systemd => return Ok((Vec::new(), Vec::new())),
        };
        let asking = sockets.iter().map(|socket| self.connect(socket, within));
        let (mut apis, mut trouble) = (Vec::new(), Vec::new());
        for (found, errors) in join_all(asking).await {
            apis.extend(found);
            trouble.extend(errors);
        }
        apis.retain(|api| named.is_none_or(|named| api.is_called(named)));
        if apis.is_empty()
            && trouble.is_empty()
            && let Picked::Sockets(sockets, named) = picked
        {
            return Err(match (named.as_deref(), sockets.first()) {
                (None | Some(CRI), Some(socket)) => RuntimeError::Tongue(socket.path.clone()),
                (named, _) => self.unknown(named.unwrap_or_default()),
            });
        }
        Ok((apis, trouble))
    }

    /// Who is at a socket, and why somebody there does not say.
    async fn connect(&self, socket: &Socket, within: Duration) -> (Vec<Api>, Option<RuntimeError>) {
        let first = match socket.kind {
            RuntimeKind::Docker | RuntimeKind::Podman => {
                self.docker(socket, within).await.map(Some)
            }
            _ => self.cri(socket, within).await,
        };
        let first = match first {
            Ok(first) => first,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let serves_pods = matches!(first, Some(Api::Cri(_)));
        let mut apis: Vec<Api> = first.into_iter().collect();
        if apis.iter().any(|api| api.name() != containerd::NAME) {
            return (apis, None);
        }
        match self.containerd(socket, within, serves_pods).await {
            Ok(own) => {
                apis.extend(own);
                (apis, None)
            }
            Err(error) => (apis, Some(error)),
        }
    }

    async fn docker(&self, socket: &Socket, within: Duration) -> Result<Api, RuntimeError> {
        if let Some(known) = get(&self.dockers, &socket.path) {
            return Ok(Api::Docker(known.within(within)));
        }
        let docker = Docker::connect(socket, within).await?;
        put(&self.dockers, &socket.path, docker.clone());
        Ok(Api::Docker(docker))
    }

    async fn cri(&self, socket: &Socket, within: Duration) -> Result<Option<Api>, RuntimeError> {
        if let Some(known) = get(&self.cris, &socket.path) {
            return Ok(Some(Api::Cri(known.within(within))));
        }
        let cri = Cri::connect(socket, within).await?;
        Ok(cri.map(|cri| {
            put(&self.cris, &socket.path, cri.clone());
            Api::Cri(cri)
        }))
    }

    async fn containerd(
        &self,
        socket: &Socket,
        within: Duration,
        serves_pods: bool,
    ) -> Result<Option<Api>, RuntimeError> {
        let with = |own: &Containerd| Api::Containerd(own.with(within, serves_pods));
        if let Some(known) = get(&self.containerds, &socket.path) {
            return Ok(Some(with(&known)));
        }
        let own = Containerd::connect(socket, within).await?;
        Ok(own.map(|own| {
            let api = with(&own);
            put(&self.containerds, &socket.path, own);
            api
        }))
    }

    pub(super) async fn systemd(&self, within: Duration) -> Result<Systemd, RuntimeError> {
        let known = self
            .systemd
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(known) = known.filter(|known| !known.is_closed()) {
            return Ok(known.within(within));
        }
        let address = self.places.systemd.as_str();
        let systemd = Systemd::connect(address, within).await?;
        *self.systemd.lock().unwrap_or_else(PoisonError::into_inner) = Some(systemd.clone());
        Ok(systemd)
    }
}

fn get<T: Clone>(map: &Mutex<HashMap<PathBuf, T>>, key: &Path) -> Option<T> {
    let map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.get(key).cloned()
}

fn put<T>(map: &Mutex<HashMap<PathBuf, T>>, key: &Path, value: T) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.insert(key.to_owned(), value);
}

fn kind_by_name(path: &Path) -> RuntimeKind {
    let path = path.to_string_lossy();
    if path.contains("podman") {
        RuntimeKind::Podman
    } else if path.contains("containerd") || path.contains("cri") {
        RuntimeKind::Cri
    } else {
        RuntimeKind::Docker
    }
}
