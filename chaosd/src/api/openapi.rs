//! The API's description, made from the handlers so that it cannot drift.

use utoipa::OpenApi;

use super::{container_routes, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "chaosd",
        description = "Fault injection over a unix socket. Every error is `{error, kind, problems?}`."
    ),
    paths(
        routes::list,
        routes::start,
        routes::revert_all,
        routes::show,
        routes::revert,
        container_routes::begin,
        container_routes::end,
        routes::plan,
        routes::status,
        routes::doctor,
        routes::metrics,
        routes::openapi,
    )
)]
struct Api;

/// The description.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}
