//! Docker's API at its socket, and at podman's.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, ClientVersion,
    errors::Error,
    models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum},
    query_parameters::{
        EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    },
};
use futures_util::{StreamExt as _, future::try_join_all};
use tokio::sync::OnceCell;

use crate::http;

use super::{
    Member, RuntimeError,
    choose::{Candidate, Choice, Found, Heard, Listed, MIN_PREFIX, choose, short},
    places::Socket,
    placing::{self, Networks},
    watch::Ended,
};

/// An answer that says that there is no such container, or that several fit: the API's own refusals of a
/// name (404, 409, 400), and podman's (500).
const NAME_REFUSED: [u16; 4] = [400, 404, 409, 500];

/// What podman's service calls itself.
const PODMAN: &str = "podman";

/// Events that leave a container what and where it is, by how they begin: commands in it, checks of its
/// health, who looks at it.
const NO_CHANGES: [&str; 6] = ["exec", "health_status", "attach", "top", "resize", "update"];
/// `OK`.
const MAX_PONG: usize = 4 << 10;
/// How long nothing may happen: podman answers at the first event.
const FOR_EVENTS: Duration = Duration::from_hours(24);

/// What a list is narrowed by.
type Filters = HashMap<&'static str, Vec<String>>;

/// A connection, which asks anew each time: a daemon that was started again is the same to it.
#[derive(Clone, Debug)]
pub(super) struct Docker {
    client: bollard::Docker,
    name: String,
    socket: PathBuf,
    within: Duration,
}

/// Fails with the words of `runtime` at `socket`.
fn failed(name: &str, socket: &Socket, message: &impl ToString) -> RuntimeError {
    RuntimeError::Ask {
        runtime: name.to_owned(),
        socket: socket.path.clone(),
        message: message.to_string(),
    }
}

/// Who is at a socket, by the headers of its answer to a ping.
struct Met {
    /// The newest version of the API that both speak.
    version: ClientVersion,
    is_podman: bool,
}

/// Asks for no more than that: for its version podman asks dpkg about each of its helpers, which takes a fifth
/// of a second. `None`: it does not say.
async fn greet(socket: &Path) -> Option<Met> {
    let answer = http::get(socket, "/_ping", MAX_PONG).await.ok()?;
    let (major, minor) = answer
        .headers()
        .get("api-version")?
        .to_str()
        .ok()?
        .split_once('.')?;
    let theirs = ClientVersion {
        major_version: major.parse().ok()?,
        minor_version: minor.parse().ok()?,
    };
    let ours = *API_DEFAULT_VERSION;
    Some(Met {
        version: if theirs < ours { theirs } else { ours },
        is_podman: answer.headers().contains_key("libpod-api-version"),
    })
}

impl Docker {
    /// Agrees on a version of the API, and learns who it is.
    pub(super) async fn connect(socket: &Socket, within: Duration) -> Result<Self, RuntimeError> {
        let kind = socket.kind.to_string();
        let path = socket.path.to_string_lossy();
        // The client's own time-out is one of whole seconds; what is waited for has `within`.
        let seconds = within.as_secs() + 1;
        let wrong = |error: Error| failed(&kind, socket, &error);
        let client =
            |version: &ClientVersion| bollard::Docker::connect_with_unix(&path, seconds, version);
        let meet = async {
            if let Some(met) = greet(&socket.path).await {
                return Ok((client(&met.version)?, met.is_podman));
            }
            let client = client(API_DEFAULT_VERSION)?.negotiate_version().await?;
            let components = client.version().await?.components.unwrap_or_default();
            let is_podman = components.iter().any(|part| part.name.contains("Podman"));
            Ok((client, is_podman))
        };
        let (client, is_podman) = tokio::time::timeout(within, meet)
            .await
            .map_err(|_| RuntimeError::Silent {
                runtime: kind.clone(),
                socket: socket.path.clone(),
                after: within,
            })?
            .map_err(wrong)?;
        Ok(Self {
            client,
            name: if is_podman { PODMAN } else { "docker" }.to_owned(),
            socket: socket.path.clone(),
            within,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_podman(&self) -> bool {
        self.name == PODMAN
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// How long it has for an answer.
    pub(super) fn patience(&self) -> Duration {
        self.within
    }

    pub(super) fn silent(&self) -> RuntimeError {
        RuntimeError::Silent {
            runtime: self.name.clone(),
            socket: self.socket.clone(),
            after: self.within,
        }
    }

    /// With its own words, or its client's.
    pub(super) fn failed(&self, message: &impl ToString) -> RuntimeError {
        RuntimeError::Ask {
            runtime: self.name.clone(),
            socket: self.socket.clone(),
            message: message.to_string(),
        }
    }

    /// The same, with another patience.
    pub(super) fn within(&self, within: Duration) -> Self {
        let seconds = within.as_secs() + 1;
        Self {
            client: self
                .client
                .clone()
                .with_timeout(Duration::from_secs(seconds)),
            within,
            ..self.clone()
        }
    }

    async fn ask<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Refused> {
        match tokio::time::timeout(self.within, answer).await {
            Err(_) | Ok(Err(Error::RequestTimeoutError)) => Err(Refused::Failed(self.silent())),
            Ok(Err(Error::DockerResponseServerError { status_code, .. }))
                if NAME_REFUSED.contains(&status_code) =>
            {
                Err(Refused::Name)
            }
            Ok(Err(error)) => Err(Refused::Failed(self.failed(&error))),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// The container of a name or a prefix of an id.
    pub(super) async fn container(&self, typed: &str) -> Result<Heard, RuntimeError> {
        if !is_name(typed) {
            return Ok(Heard::Nobody(Vec::new()));
        }
        let around = Around::default();
        match self.inspect(typed).await {
            Ok(answer) if answer.is_called(typed) || typed.len() >= MIN_PREFIX => Ok(Heard::One(
                Box::new(self.found(typed, answer, &around).await),
            )),
            Err(Refused::Failed(error)) => Err(error),
            Ok(_) | Err(Refused::Name) => {
                let all = self.all(Filters::new()).await?;
                let listed: Vec<Listed> = all.into_iter().map(listed).collect();
                match choose(typed, &listed) {
                    // It appeared just now, or the prefix is shorter than this runtime takes.
                    Choice::One(one) => match self.inspect(&one.id).await {
                        Ok(answer) => Ok(Heard::One(Box::new(
                            self.found(typed, answer, &around).await,
                        ))),
                        Err(Refused::Name) => Ok(Heard::Nobody(Vec::new())),
                        Err(Refused::Failed(error)) => Err(error),
                    },
                    Choice::None => {
                        let names = listed.into_iter().flat_map(|one| one.names);
                        Ok(Heard::Nobody(names.collect()))
                    }
                    Choice::Several(several) => {
                        let several = several
                            .iter()
                            .map(|one| Candidate::new(&one.id, self.label(&one.id, &one.names)));
                        Ok(Heard::Several(several.collect()))
                    }
                }
            }
        }
    }

    /// Every container with these labels. Those that run are asked for side by side.
    pub(super) async fn labelled(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Found>, RuntimeError> {
        let wanted: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let all = self.all(Filters::from([("label", wanted)])).await?;
        let around = Around::default();
        let found = all.into_iter().map(async |one| {
            let state = one.state.map(|state| state.to_string());
            let listed = listed(one);
            if !listed.runs {
                return Ok(Some(Found {
                    member: Err(RuntimeError::NotRunning {
                        label: self.label(&listed.id, &listed.names),
                        state: state.unwrap_or_default(),
                    }),
                    id: listed.id,
                    named: true,
                }));
            }
            match self.inspect(&listed.id).await {
                Ok(answer) => Ok(Some(self.found(&listed.id, answer, &around).await)),
                // It is gone already.
                Err(Refused::Name) => Ok(None),
                Err(Refused::Failed(error)) => Err(error),
            }
        });
        Ok(try_join_all(found).await?.into_iter().flatten().collect())
    }

    async fn inspect(&self, name: &str) -> Result<Inspected, Refused> {
        let options = None::<InspectContainerOptions>;
        // The answer has hundreds of fields, which would lie in every future around this one.
        Box::pin(self.ask(self.client.inspect_container(name, options)))
            .await
            .map(Inspected::of)
    }

    /// All that the filters leave. A state that the client does not know makes a list unreadable: then those
    /// that run.
    async fn all(&self, filters: Filters) -> Result<Vec<ContainerSummary>, RuntimeError> {
        match self.list(&filters, true).await {
            Ok(all) => Ok(all),
            Err(error @ RuntimeError::Silent { .. }) => Err(error),
            Err(_) => self.running(filters).await,
        }
    }

    async fn running(&self, mut filters: Filters) -> Result<Vec<ContainerSummary>, RuntimeError> {
        filters.insert("status", vec!["running".to_owned()]);
        self.list(&filters, false).await
    }

    async fn list(
        &self,
        filters: &Filters,
        all: bool,
    ) -> Result<Vec<ContainerSummary>, RuntimeError> {
        let options = ListContainersOptionsBuilder::default()
            .all(all)
            .filters(filters)
            .build();
        match self.ask(self.client.list_containers(Some(options))).await {
            Ok(list) => Ok(list),
            Err(Refused::Failed(error)) => Err(error),
            Err(Refused::Name) => Err(self.failed(&"it refused to list its containers")),
        }
    }

    /// Says so each time a container starts, ends, or gets another name.
    pub(super) async fn events(&self, mut changed: impl FnMut()) -> Ended {
        let filters = HashMap::from([("type", vec!["container"])]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let client = self.client.clone().with_timeout(FOR_EVENTS);
        let mut events = pin!(client.events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            let action = event.action.unwrap_or_default();
            if !NO_CHANGES.iter().any(|begin| action.starts_with(begin)) {
                changed();
            }
        }
        Ended::Lost
    }

    async fn found(&self, typed: &str, one: Inspected, around: &Around) -> Found {
        Found {
            named: one.is_called(typed),
            id: one.id.clone(),
            member: self.member(one, around).await,
        }
    }

    async fn member(&self, one: Inspected, around: &Around) -> Result<Member, RuntimeError> {
        let label = self.label(&one.id, std::slice::from_ref(&one.name));
        let Some(pid) = one.pid else {
            return Err(RuntimeError::NotRunning {
                label,
                state: one.state,
            });
        };
        let mut member = Member {
            label: label.clone(),
            id: one.name,
            runtime: self.name.clone(),
            labels: one.labels,
            ..Member::default()
        };
        if !placing::place(&mut member, pid, &one.id)? {
            return Err(RuntimeError::Ended { label });
        }
        member.shares_network_with = self.neighbours(&member, &one.id, around).await;
        Ok(member)
    }

    /// Who else is in its network namespace, by name where this runtime has one.
    async fn neighbours(&self, member: &Member, id: &str, around: &Around) -> Vec<String> {
        let lines = around.networks.neighbours(member, id);
        if lines.is_empty() {
            return lines;
        }
        let ask = async || {
            let running = self.running(Filters::new()).await.unwrap_or_default();
            running.into_iter().map(listed).collect()
        };
        let known: &Vec<Listed> = around.running.get_or_init(ask).await;
        let mut names: Vec<String> = lines.iter().map(|line| name_of(line, known)).collect();
        names.sort();
        names.dedup();
        names
    }

    fn label(&self, id: &str, names: &[String]) -> String {
        let name = names.first().map_or_else(|| short(id), String::as_str);
        format!("container {name} ({} {})", self.name, short(id))
    }
}

/// What is beside those of one answer, asked for once.
#[derive(Default)]
struct Around {
    networks: Networks,
    running: OnceCell<Vec<Listed>>,
}

/// What is wanted of a container's inspection.
struct Inspected {
    id: String,
    name: String,
    /// `None`: it does not run.
    pid: Option<i32>,
    state: String,
    labels: BTreeMap<String, String>,
}

impl Inspected {
    fn is_called(&self, typed: &str) -> bool {
        typed == self.name || typed == self.id
    }

    fn of(answer: ContainerInspectResponse) -> Self {
        let state = answer.state.unwrap_or_default();
        let word = state.status.map(|status| status.to_string());
        let labels = answer.config.and_then(|config| config.labels);
        let pid = state.pid.and_then(|pid| i32::try_from(pid).ok());
        Self {
            id: answer.id.unwrap_or_default(),
            name: plain(&answer.name.unwrap_or_default()).to_owned(),
            pid: pid.filter(|pid| *pid > 0),
            state: word
                .filter(|word| !word.is_empty())
                .unwrap_or_else(|| "stopped".to_owned()),
            labels: labels.unwrap_or_default().into_iter().collect(),
        }
    }
}

/// Why an answer is none.
enum Refused {
    /// Of the name.
    Name,
    Failed(RuntimeError),
}

/// A name or an id as Docker allows it (`RestrictedNameChars` of daemon/names/names.go); nothing else
/// may become a part of an address.
fn is_name(typed: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    typed.bytes().all(plain) && typed.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Docker puts a slash before names.
fn plain(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

fn listed(one: ContainerSummary) -> Listed {
    let names = one.names.unwrap_or_default();
    Listed {
        id: one.id.unwrap_or_default(),
        // `/web/db` is a link's name of another container.
        names: names
            .iter()
            .map(|name| plain(name).to_owned())
            .filter(|name| !name.contains('/'))
            .collect(),
        runs: matches!(
            one.state,
            Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED)
        ),
    }
}

/// Of a container by its cgroup; else the cgroup.
fn name_of(line: &str, known: &[Listed]) -> String {
    placing::id_within(line)
        .and_then(|id| known.iter().find(|one| one.id == id))
        .and_then(|one| one.names.first())
        .cloned()
        .unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
