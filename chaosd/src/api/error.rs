//! Errors as the API tells them: always JSON, whatever went wrong.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::refusal::Refusal;
use crate::{engine::EngineError, plan::PlanError};

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong, for people; one line for each problem.
    pub error: String,
    /// What sort of thing it is, for programs.
    pub kind: ErrorKind,
    /// What is wrong with the profile: `{origin, line, column, what, instead}` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Value>,
}

/// What sort of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// 400, 404, 405, 413: the request itself.
    Request,
    /// 404: the id names no run.
    NoSuchRun,
    /// 422: the profile.
    Profile,
    /// 409: what it targets is not there.
    Target,
    /// 409: chaosd holds as many faults as it can.
    Full,
    /// 501: this host cannot do it.
    Host,
    /// 500: a defect of chaosd.
    Defect,
    /// 408, 504: it took too long.
    TooSlow,
    /// 503: the daemon is ending.
    Stopping,
}

/// An error on its way out.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, kind: ErrorKind, error: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody {
                error: error.into(),
                kind,
                problems: Vec::new(),
            },
        }
    }

    /// The request itself is wrong.
    pub(super) fn request(status: StatusCode, error: impl Into<String>) -> Self {
        Self::new(status, ErrorKind::Request, error)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let text = crate::undo::chain(&refusal);
        match refusal {
            Refusal::Invalid(problems) => {
                let mut error =
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, ErrorKind::Profile, text);
                if let Ok(Value::Array(list)) = serde_json::to_value(&problems) {
                    error.body.problems = list;
                }
                error
            }
            Refusal::Broken(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Defect, text)
            }
            Refusal::Host(_)
            | Refusal::Target(PlanError::NoEthernet { .. })
            | Refusal::Engine(EngineError::Refused(_)) => {
                Self::new(StatusCode::NOT_IMPLEMENTED, ErrorKind::Host, text)
            }
            Refusal::Late => Self::new(StatusCode::GATEWAY_TIMEOUT, ErrorKind::TooSlow, text),
            Refusal::Target(_) => Self::new(StatusCode::CONFLICT, ErrorKind::Target, text),
            Refusal::Engine(EngineError::NoSuchRun(_)) => Self::new(
                StatusCode::NOT_FOUND,
                ErrorKind::NoSuchRun,
                format!("{text}; `chaosd status` lists those there are"),
            ),
            Refusal::Engine(EngineError::Full(_)) => {
                Self::new(StatusCode::CONFLICT, ErrorKind::Full, text)
            }
            Refusal::Engine(EngineError::Stopped) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Stopping, text)
            }
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        Refusal::Engine(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
