//! Reads a request's JSON body within limits: of size, and of time for a client that trickles.

use std::{error::Error, time::Duration};

use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::error::{ApiError, ErrorKind};

/// Larger bodies are refused: no profile is that long.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;
/// A body that is not here by then is refused.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// A JSON body; the content type is not asked for, since `curl -d` sends another.
#[derive(Debug)]
pub(super) struct Document<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Document<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            ApiError::request(
                StatusCode::BAD_REQUEST,
                format!(
                    "the body is not the JSON asked for: {error}; GET /openapi.json describes it"
                ),
            )
        })
    }
}

async fn read(request: Request) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    let read = to_bytes(request.into_body(), MAX_BODY_BYTES);
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => Err(too_large()),
        Ok(Err(error)) => Err(ApiError::request(
            StatusCode::BAD_REQUEST,
            format!("the body broke off: {error}"),
        )),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorKind::TooSlow,
            format!("the body was not here within {} s", BODY_WITHIN.as_secs()),
        )),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<LengthLimitError>())
        .is_some()
}

fn too_large() -> ApiError {
    ApiError::request(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body has more than {MAX_BODY_BYTES} bytes"),
    )
}
