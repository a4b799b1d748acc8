//! A run that is tied to the connection of who asked for it.
//!
//! Whoever wants to stay to the end of a run may be killed in the middle of it. Its connection is what the
//! kernel closes then, so the run ends with that: also one that was on its way to being armed.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use tokio::sync::oneshot;

use super::{Refusal, RunRequest, error::ApiError, service::Runs};
use crate::{
    engine::EngineError,
    report::{Ended, RunReport},
};

/// Arms it. The answer is one line of JSON, as soon as it is armed, and ends when the run does.
pub(super) async fn start(runs: Arc<dyn Runs>, request: RunRequest) -> Result<Response, ApiError> {
    let (tell, told) = oneshot::channel();
    let (held, gone) = oneshot::channel();
    let (over, ends) = oneshot::channel();
    // Nobody may wait for the answer any more when it is there: this future goes with its connection.
    tokio::spawn(async move {
        let started = runs.start(request).await;
        let id = started.as_ref().ok().map(|report| report.id.clone());
        // Where nobody hears it, `held` is gone too.
        tell.send(started).ok();
        if let Some(id) = id {
            see_to_its_end(&*runs, id, gone).await;
        }
        drop(over);
    });
    let stopped = |_| Refusal::from(EngineError::Stopped);
    let report = told.await.map_err(stopped)??;
    let answer = Tied {
        line: Some(line(&report)?),
        ends,
        _held: held,
    };
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::CREATED, content_type, Body::new(answer)).into_response())
}

/// `gone`: resolves when the connection is.
async fn see_to_its_end(runs: &dyn Runs, id: String, gone: oneshot::Receiver<Infallible>) {
    tokio::select! {
        _ = runs.wait(id.clone()) => {}
        _ = gone => {
            tracing::warn!(run = id, "who asked for it is gone: reverting");
            if let Err(error) = runs.revert(id, Ended::AskerGone).await {
                tracing::error!("failed to revert: {error}");
            }
        }
    }
}

fn line(report: &RunReport) -> Result<Bytes, Refusal> {
    let mut line = serde_json::to_vec(report).map_err(|e| Refusal::Broken(e.to_string()))?;
    line.push(b'\n');
    Ok(line.into())
}

/// The answer. The server drops it with the connection.
struct Tied {
    line: Option<Bytes>,
    ends: oneshot::Receiver<Infallible>,
    _held: oneshot::Sender<Infallible>,
}

impl HttpBody for Tied {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(line) = self.line.take() {
            return Poll::Ready(Some(Ok(Frame::data(line))));
        }
        Pin::new(&mut self.ends).poll(cx).map(|_| None)
    }
}
