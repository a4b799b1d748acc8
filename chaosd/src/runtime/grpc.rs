//! A server of gRPC at a socket: what it is asked has its time, and what goes wrong is told with where.

use std::{future::Future, path::PathBuf, time::Duration};

use tonic::{
    Code, Response, Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::{RuntimeError, places::Socket, watch::Ended};

/// The largest answer taken: a list of a thousand containers with long annotations is a few MiB.
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// Says so at each event of those that were asked for, until there are no more.
pub(super) async fn hear<T>(
    asking: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    mut changed: impl FnMut(),
) -> Ended {
    let mut events = match asking.await {
        Ok(events) => events.into_inner(),
        Err(status) if status.code() == Code::Unimplemented => return Ended::NeverWas,
        Err(_) => return Ended::Lost,
    };
    while let Ok(Some(_)) = events.message().await {
        changed();
    }
    Ended::Lost
}

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// What it calls itself.
    pub(super) name: String,
    socket: PathBuf,
    within: Duration,
}

impl Server {
    pub(super) fn new(socket: &Socket, within: Duration) -> Self {
        Self {
            name: socket.kind.to_string(),
            socket: socket.path.clone(),
            within,
        }
    }

    /// A connection, which is made when it is needed, and again by itself when the server was started again.
    pub(super) fn channel(&self) -> Result<Channel, RuntimeError> {
        let address = format!("unix://{}", self.socket.display());
        let endpoint = Endpoint::from_shared(address).map_err(|error| RuntimeError::Ask {
            runtime: self.name.clone(),
            socket: self.socket.clone(),
            message: error.to_string(),
        })?;
        Ok(endpoint.connect_timeout(self.within).connect_lazy())
    }

    /// The same, with another patience.
    pub(super) fn within(&self, within: Duration) -> Self {
        Self {
            within,
            ..self.clone()
        }
    }

    fn silent(&self) -> RuntimeError {
        RuntimeError::Silent {
            runtime: self.name.clone(),
            socket: self.socket.clone(),
            after: self.within,
        }
    }

    fn failed(&self, status: &Status) -> RuntimeError {
        // The cause of a lost connection is below a word such as "transport error".
        let mut message = status.message().to_owned();
        let mut cause = std::error::Error::source(status);
        while let Some(error) = cause {
            // Each says what the one below it does.
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        RuntimeError::Ask {
            runtime: self.name.clone(),
            socket: self.socket.clone(),
            message,
        }
    }

    pub(super) async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RuntimeError> {
        let gone = || self.failed(&Status::not_found("it has none of that"));
        self.ask_of(answer).await?.ok_or_else(gone)
    }

    /// `None`: there is no such thing, any more.
    pub(super) async fn ask_of<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, RuntimeError> {
        self.ask_unless(Code::NotFound, answer).await
    }

    /// `None`: it speaks another language.
    pub(super) async fn ask_whether<T>(
        &self,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, RuntimeError> {
        self.ask_unless(Code::Unimplemented, answer).await
    }

    async fn ask_unless<T>(
        &self,
        none: Code,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Option<T>, RuntimeError> {
        match tokio::time::timeout(self.within, answer).await {
            Err(_) => Err(self.silent()),
            Ok(Err(status)) if status.code() == none => Ok(None),
            Ok(Err(status)) => Err(self.failed(&status)),
            Ok(Ok(answer)) => Ok(Some(answer.into_inner())),
        }
    }
}
