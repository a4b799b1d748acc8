//! HTTP/1.1 and JSON over a unix socket, as docker does it.
//!
//! Every answer is JSON, errors too; `/openapi.json` is made from the handlers. The API decides
//! nothing: it asks `Runs`, which the engine answers. It keeps its own limits (body, header,
//! time, connections), so that no client can take the daemon along.

mod body;
mod client;
mod container_routes;
mod containers;
mod error;
mod examine;
mod metrics;
mod openapi;
mod peer;
mod refusal;
mod request;
mod routes;
mod server;
mod service;
mod socket;
mod stall;
#[cfg(test)]
mod tests;
mod tied;

pub use client::{Client, ClientError};
pub use containers::{ContainerKey, ContainerRequest, Containers};
pub use error::{ErrorBody, ErrorKind};
pub use examine::examine;
pub use refusal::Refusal;
pub use request::RunRequest;
pub use server::serve;
pub use service::{Answer, Runs, Service, all_kept, bind};
pub use socket::{Socket, SocketError};
