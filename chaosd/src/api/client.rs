//! The command line's end of the API: one connection for each request.

use std::{
    io,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{Method, Request, StatusCode, header},
};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use super::{
    containers::{ContainerKey, ContainerRequest},
    error::{ErrorBody, ErrorKind},
    request::RunRequest,
};
use crate::{
    http::{escaped, exchange},
    report::{Ended, RunReport, Status},
};

/// A daemon that does not answer a plain request by then is wedged.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// A daemon that does not answer the first greeting by then is as good as none. Nothing that
/// it does meanwhile takes as long: a device costs the kernel some milliseconds.
const GREET_WITHIN: Duration = Duration::from_secs(10);
/// The answers of chaosd are far smaller.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Speaks to the daemon behind a socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why the daemon did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no daemon answers on {socket}; start one with `chaosd serve`")]
    NoDaemon {
        /// Where.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// We may not connect.
    #[error(
        "failed to connect to {socket}; run as root, or as a member of the group of `chaosd serve --group`"
    )]
    Denied {
        /// Where.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or what came is not an answer of chaosd.
    #[error("the daemon on {socket} broke off")]
    Broken {
        /// Where.
        socket: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon lives and says nothing.
    #[error("the daemon on {socket} did not answer within {seconds} s")]
    Silent {
        /// Where.
        socket: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// The daemon said no.
    #[error("{}", .0.error)]
    Refused(ErrorBody),
}

impl ClientError {
    /// True when there is nobody to speak to (rather than somebody who says no).
    pub fn is_no_daemon(&self) -> bool {
        matches!(self, Self::NoDaemon { .. })
    }
}

impl Client {
    /// Speaks to whoever listens on `socket`.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon and its runs; soon answered, or an error.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.within(GREET_WITHIN, Method::GET, "/v1/status", None::<&()>)
            .await
    }

    /// Arms a run. One that is to last while we are connected ends when this process does, or its runtime.
    /// Waits for as long as the daemon is at it.
    pub async fn start(&self, request: &RunRequest) -> Result<RunReport, ClientError> {
        if request.while_connected {
            return self.at_length(self.start_tied(request)).await;
        }
        let path = "/v1/runs";
        self.at_length(self.send(Method::POST, path, Some(request)))
            .await
    }

    /// What a run would do; changes nothing. Waits for as long as the daemon is at it.
    pub async fn plan(&self, request: &RunRequest) -> Result<serde_json::Value, ClientError> {
        let path = "/v1/plan";
        self.at_length(self.send(Method::POST, path, Some(request)))
            .await
    }

    /// One run.
    pub async fn report(&self, id: &str) -> Result<RunReport, ClientError> {
        self.ask(Method::GET, &format!("/v1/runs/{id}"), None::<&()>)
            .await
    }

    /// One run, when it is over; of one that is draining, when that is.
    pub async fn wait(&self, id: &str) -> Result<RunReport, ClientError> {
        let path = format!("/v1/runs/{id}?wait=true");
        self.send(Method::GET, &path, None::<&()>).await
    }

    /// Ends a run now.
    pub async fn revert(&self, id: &str, why: Ended) -> Result<RunReport, ClientError> {
        let because = if why == Ended::CommandEnded {
            "?command_ended=true"
        } else {
            ""
        };
        let path = format!("/v1/runs/{id}{because}");
        self.ask(Method::DELETE, &path, None::<&()>).await
    }

    /// Ends every run now.
    pub async fn revert_all(&self) -> Result<Vec<RunReport>, ClientError> {
        self.ask(Method::DELETE, "/v1/runs", None::<&()>).await
    }

    /// Arms what a container that is being made asks for.
    pub async fn begin_container(
        &self,
        key: &ContainerKey,
        request: &ContainerRequest,
    ) -> Result<RunReport, ClientError> {
        self.ask(Method::POST, &of_container(key), Some(request))
            .await
    }

    /// Ends what a container asked for, also what is on its way; returns the runs that were ended.
    pub async fn end_container(&self, key: &ContainerKey) -> Result<Vec<RunReport>, ClientError> {
        self.ask(Method::DELETE, &of_container(key), None::<&()>)
            .await
    }

    /// What asks container runtimes takes as long as those are given, which the daemon alone knows. One that
    /// is wedged does not answer a greeting either.
    async fn at_length<T>(
        &self,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let mut answer = pin!(answer);
        loop {
            match timeout(ANSWER_WITHIN, answer.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) => drop(self.status().await?),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        self.within(ANSWER_WITHIN, method, path, body).await
    }

    async fn within<T: DeserializeOwned>(
        &self,
        limit: Duration,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let answer = timeout(limit, self.send(method, path, body)).await;
        answer.unwrap_or_else(|_| {
            Err(ClientError::Silent {
                socket: self.socket.clone(),
                seconds: limit.as_secs(),
            })
        })
    }

    /// The run's report is the first line of an answer that ends with the run.
    async fn start_tied(&self, request: &RunRequest) -> Result<RunReport, ClientError> {
        let request = self.request(Method::POST, "/v1/runs", Some(request))?;
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.broken(e))?;
        // It ends when the other end closes, or nobody here wants an answer any more.
        tokio::spawn(connection);
        let response = sender.send_request(request).await;
        let response = response.map_err(|e| self.broken(e))?;
        let status = response.status();
        let mut body = response.into_body();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            match body.frame().await {
                Some(frame) => {
                    let data = frame.map_err(|e| self.broken(e))?.into_data();
                    line.extend(data.unwrap_or_default());
                }
                None => break,
            }
        }
        let report = self.read(status, &line)?;
        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        Ok(report)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let request = self.request(method, path, body)?;
        let stream = self.connect().await?;
        let answer = exchange(stream, request, MAX_ANSWER_BYTES)
            .await
            .map_err(|e| self.broken(e))?;
        let (status, bytes) = (answer.status(), answer.into_body());
        self.read(status, &bytes)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|e| self.broken(e))?,
            None => Vec::new(),
        };
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "chaosd")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|e| self.broken(e))
    }

    fn read<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        bytes: &[u8],
    ) -> Result<T, ClientError> {
        if status.is_success() {
            return serde_json::from_slice(bytes).map_err(|e| self.broken(e));
        }
        let body = serde_json::from_slice(bytes).unwrap_or_else(|_| ErrorBody {
            error: format!("the daemon answered {status}"),
            kind: ErrorKind::Request,
            problems: Vec::new(),
        });
        Err(ClientError::Refused(body))
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = self.socket.clone();
        loop {
            match UnixStream::connect(&self.socket).await {
                Ok(stream) => return Ok(stream),
                // The backlog is full (unix(7)): the daemon is busy, not gone.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(ClientError::Denied { socket, source });
                }
                Err(source) => return Err(ClientError::NoDaemon { socket, source }),
            }
        }
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken {
            socket: self.socket.clone(),
            source: source.into(),
        }
    }
}

/// What names a container may hold anything (RFC 3986 §2.1).
fn of_container(key: &ContainerKey) -> String {
    let bundle = key.bundle.as_deref();
    let bundle = bundle.map(|bundle| format!("?bundle={}", escaped(bundle)));
    let id = escaped(&key.id);
    format!("/v1/containers/{id}{}", bundle.unwrap_or_default())
}
