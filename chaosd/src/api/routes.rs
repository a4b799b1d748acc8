//! The routes and their handlers.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRequestParts, Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    body::Document,
    container_routes,
    error::{ApiError, ErrorBody, ErrorKind},
    metrics, openapi,
    request::RunRequest,
    service::Runs,
    tied,
};
use crate::{
    engine::EngineError,
    host::Doctor,
    report::{Ended, RunId, RunReport, Status},
};

pub(super) type Shared = State<Arc<dyn Runs>>;
pub(super) type Reply<T> = Result<Json<T>, ApiError>;

/// Every path and its methods: the only list of them.
pub(super) fn table() -> Vec<(&'static str, MethodRouter<Arc<dyn Runs>>)> {
    vec![
        ("/v1/runs", get(list).post(start).delete(revert_all)),
        ("/v1/runs/{id}", get(show).delete(revert)),
        (
            "/v1/containers/{id}",
            post(container_routes::begin).delete(container_routes::end),
        ),
        ("/v1/plan", post(plan)),
        ("/v1/status", get(status)),
        ("/v1/doctor", get(doctor)),
        ("/metrics", get(metrics)),
        ("/openapi.json", get(openapi)),
    ]
}

/// The API over an engine.
pub(super) fn router(runs: Arc<dyn Runs>) -> Router {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(|| async {
            ApiError::request(
                StatusCode::NOT_FOUND,
                "there is no such path; GET /openapi.json lists them",
            )
        })
        .method_not_allowed_fallback(|| async {
            ApiError::request(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method; GET /openapi.json lists them",
            )
        })
        .with_state(runs)
}

/// How to answer for one run.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
pub(super) struct Wait {
    /// Answers only when the run is over; of one that is draining, when that is.
    #[serde(default)]
    wait: bool,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
pub(super) struct Because {
    /// The command that it was to accompany is over, and the run ends for that: `command-ended`
    /// rather than `reverted`.
    #[serde(default)]
    command_ended: bool,
}

/// Runs alive, then the last ones that are over, newest first.
#[utoipa::path(get, path = "/v1/runs", responses((status = 200, body = Vec<RunReport>)))]
pub(super) async fn list(State(runs): Shared) -> Reply<Vec<RunReport>> {
    Ok(Json(runs.reports().await?))
}

/// Arms a profile. Nothing is changed unless the answer is 201. With `while-connected` the answer is one line,
/// and ends when the run does, and the run with its connection.
#[utoipa::path(post, path = "/v1/runs", request_body = RunRequest, responses(
    (status = 201, body = RunReport, description = "armed"),
    (status = 400, body = ErrorBody, description = "not the JSON asked for"),
    (status = 409, body = ErrorBody, description = "the target is not there, or chaosd is full"),
    (status = 413, body = ErrorBody, description = "more than 1 MiB"),
    (status = 422, body = ErrorBody, description = "the profile has problems: all of them"),
    (status = 501, body = ErrorBody, description = "this host cannot do it"),
))]
pub(super) async fn start(
    State(runs): Shared,
    Document(request): Document<RunRequest>,
) -> Result<Response, ApiError> {
    if request.while_connected {
        return tied::start(runs, request).await;
    }
    Ok((StatusCode::CREATED, Json(runs.start(request).await?)).into_response())
}

/// The panic button: ends every run now and, once everything is as before, returns those it ended.
#[utoipa::path(delete, path = "/v1/runs", responses((status = 200, body = Vec<RunReport>)))]
pub(super) async fn revert_all(State(runs): Shared) -> Reply<Vec<RunReport>> {
    Ok(Json(runs.revert_all(Ended::Reverted).await?))
}

/// One run; with `wait=true`, when it is over, or, if it is draining, reverted.
#[utoipa::path(get, path = "/v1/runs/{id}", params(("id" = String, Path, description = "the run's id"), Wait), responses(
    (status = 200, body = RunReport),
    (status = 404, body = ErrorBody, description = "no such run"),
))]
pub(super) async fn show(
    State(runs): Shared,
    Id(id): Id,
    wait: Result<Query<Wait>, QueryRejection>,
) -> Reply<RunReport> {
    let Query(Wait { wait }) = wait.map_err(|error| {
        ApiError::request(
            StatusCode::BAD_REQUEST,
            format!("{}; wait is true or false", error.body_text()),
        )
    })?;
    let report = if wait {
        runs.wait(id).await?
    } else {
        runs.report(id).await?
    };
    Ok(Json(report))
}

/// Ends a run now. One that held packets is draining for a moment. A run that is over is returned as
/// it is.
#[utoipa::path(delete, path = "/v1/runs/{id}", params(("id" = String, Path, description = "the run's id"), Because), responses(
    (status = 200, body = RunReport),
    (status = 404, body = ErrorBody, description = "no such run"),
))]
pub(super) async fn revert(
    State(runs): Shared,
    Id(id): Id,
    because: Result<Query<Because>, QueryRejection>,
) -> Reply<RunReport> {
    let Query(Because { command_ended }) = because.map_err(|error| {
        ApiError::request(
            StatusCode::BAD_REQUEST,
            format!("{}; command_ended is true or false", error.body_text()),
        )
    })?;
    let ended = if command_ended {
        Ended::CommandEnded
    } else {
        Ended::Reverted
    };
    Ok(Json(runs.revert(id, ended).await?))
}

/// What a run would change, where, by which mechanism, and how it would be undone. Changes nothing.
#[utoipa::path(post, path = "/v1/plan", request_body = RunRequest, responses(
    (status = 200, body = Value, description = "the plan"),
    (status = 409, body = ErrorBody, description = "the target is not there"),
    (status = 422, body = ErrorBody, description = "the profile has problems: all of them"),
    (status = 501, body = ErrorBody, description = "this host cannot do it"),
))]
pub(super) async fn plan(
    State(runs): Shared,
    Document(request): Document<RunRequest>,
) -> Reply<crate::plan::Plans> {
    Ok(Json(runs.plan(request).await?))
}

/// The daemon and its runs.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(State(runs): Shared) -> Reply<Status> {
    Ok(Json(runs.status().await?))
}

/// What this host can do, what is missing, what is left over.
#[utoipa::path(get, path = "/v1/doctor", responses((status = 200, body = Doctor)))]
pub(super) async fn doctor(State(runs): Shared) -> Reply<Doctor> {
    Ok(Json(runs.doctor().await?))
}

/// Prometheus text, version 0.0.4.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, content_type = "text/plain", body = String),
))]
pub(super) async fn metrics(State(runs): Shared) -> Result<impl IntoResponse, ApiError> {
    let status = runs.status().await?;
    let content_type = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    Ok((content_type, metrics::text(&status)))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Value)))]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi::document())
}

/// The id of a run, from the path. What cannot be one names no run.
#[derive(Debug)]
pub(super) struct Id(RunId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::request(StatusCode::BAD_REQUEST, error.body_text()))?;
        // One of several that a run is on: r-0123abcd.2.
        let (run, member) = id.split_once('.').unwrap_or((&id, "1"));
        let digits = run.strip_prefix("r-").unwrap_or_default();
        let is_run = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if is_run && member.parse::<u32>().is_ok() {
            return Ok(Self(id));
        }
        Err(ApiError::new(
            StatusCode::NOT_FOUND,
            ErrorKind::NoSuchRun,
            format!("{}; ids look like r-0123abcd", EngineError::NoSuchRun(id)),
        ))
    }
}
