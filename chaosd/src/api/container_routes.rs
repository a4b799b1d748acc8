//! What hooks of container runtimes ask for.

use axum::{
    Json,
    extract::{FromRequestParts, Path, Query, State},
    http::{StatusCode, request::Parts},
    response::IntoResponse,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    body::Document,
    containers::{ContainerKey, ContainerRequest},
    error::{ApiError, ErrorBody},
    routes::{Reply, Shared},
};
use crate::report::RunReport;

/// Longer ones are no container's: runtimes make directories of them (`NAME_MAX`, limits.h).
const LONGEST_ID: usize = 255;

/// A longer one is no path's (`PATH_MAX`, limits.h).
const LONGEST_BUNDLE: usize = 4096;

/// What tells containers of one id apart.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Bundle {
    /// The container's bundle, as its state has it. A run is known by the id and this; without one, `DELETE`
    /// ends the runs of all containers of the id.
    bundle: Option<String>,
}

/// Arms a profile on a container that is being made, in the place of what it asked for before. What is told
/// to nobody, because whoever asked is gone, is ended.
#[utoipa::path(post, path = "/v1/containers/{id}", request_body = ContainerRequest,
    params(("id" = String, Path, description = "the container's id"), Bundle), responses(
    (status = 201, body = RunReport, description = "armed"),
    (status = 400, body = ErrorBody, description = "not the JSON asked for"),
    (status = 409, body = ErrorBody, description = "the container is not there, or chaosd is full"),
    (status = 422, body = ErrorBody, description = "the profile has problems: all of them"),
    (status = 501, body = ErrorBody, description = "this host cannot do it"),
    (status = 504, body = ErrorBody, description = "it was called off, or `until-ns` is past"),
))]
pub(super) async fn begin(
    State(runs): Shared,
    Key(key): Key,
    Document(request): Document<ContainerRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let report = runs.begin_container(key, request).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

/// Ends what a container asked for, also what is on its way. Returns the runs that it ended; nothing, when
/// there was none.
#[utoipa::path(delete, path = "/v1/containers/{id}",
    params(("id" = String, Path, description = "the container's id"), Bundle),
    responses((status = 200, body = Vec<RunReport>)))]
pub(super) async fn end(State(runs): Shared, Key(key): Key) -> Reply<Vec<RunReport>> {
    Ok(Json(runs.end_container(key).await?))
}

/// What a container is known by, from the path and the query.
#[derive(Debug)]
pub(super) struct Key(ContainerKey);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let bad = |why: String| ApiError::request(StatusCode::BAD_REQUEST, why);
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| bad(error.body_text()))?;
        if id.len() > LONGEST_ID || id.contains(|c: char| c == '/' || c.is_control()) {
            return Err(bad("no container has such an id".to_owned()));
        }
        let Query(Bundle { bundle }) = Query::<Bundle>::from_request_parts(parts, state)
            .await
            .map_err(|error| bad(error.body_text()))?;
        if bundle.as_ref().is_some_and(|b| b.len() > LONGEST_BUNDLE) {
            return Err(bad("no container has such a bundle".to_owned()));
        }
        Ok(Self(ContainerKey { id, bundle }))
    }
}
