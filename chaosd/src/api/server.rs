//! Accepts, limits and answers. No client can hold more than its share: connections, headers,
//! bodies, answers and requests are all bounded in number, size or time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt;

use super::{
    error::{ApiError, ErrorKind},
    peer::Peer,
    routes,
    service::Runs,
    stall::Patient,
};

/// Connections served at once; further ones wait in the backlog.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// A connection that asks nothing for this long is closed; so is one that trickles its header.
pub(super) const HEADER_WITHIN: Duration = Duration::from_secs(10);
/// The same while more than [`CROWD`] connections stand: those who say nothing hold up the rest.
const HEADER_WITHIN_IN_A_CROWD: Duration = Duration::from_secs(1);
/// More connections than clients of good will have open.
const CROWD: usize = 32;
/// A request that may not [take its time](takes_its_time) is answered by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Requests under way when the daemon ends have this long.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// After accept(2) failed (say, no descriptors are left).
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Serves until `shutdown` resolves, then lets the requests under way finish. `by_group` says that
/// the socket's mode lets a group in.
pub async fn serve(
    listener: UnixListener,
    runs: Arc<dyn Runs>,
    by_group: bool,
    shutdown: impl Future<Output = ()>,
) {
    let router = routes::router(runs);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = async {
            // The semaphore is never closed, so that the permit is always there.
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let crowded = MAX_CONNECTIONS - slots.available_permits() > CROWD;
                let header_within = if crowded {
                    HEADER_WITHIN_IN_A_CROWD
                } else {
                    HEADER_WITHIN
                };
                let connection = connection(
                    stream,
                    router.clone(),
                    by_group,
                    header_within,
                    stopped.clone(),
                );
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!("failed to accept a connection: {error}");
                sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
    drop(listener);
    stop.send(()).ok();
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN_WITHIN, drained).await.is_err() {
        tracing::debug!(connections = connections.len(), "cut off");
    }
}

async fn connection(
    stream: UnixStream,
    router: Router,
    by_group: bool,
    header_within: Duration,
    mut stopped: watch::Receiver<()>,
) {
    let peer = match Peer::of(&stream) {
        Ok(peer) if peer.may_command(by_group) => peer,
        Ok(peer) => return tracing::warn!(%peer, "turned away"),
        Err(error) => return tracing::warn!("failed to learn who connected: {error}"),
    };
    tracing::debug!(%peer, "connected");
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_within)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "connection ended: {error}");
    }
}

async fn answer(
    router: Router,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let takes_its_time = takes_its_time(request.method(), request.uri());
    let (method, path) = (request.method(), request.uri().path());
    if method.is_safe() {
        tracing::debug!(%peer, "{method} {path}");
    } else {
        tracing::info!(%peer, "{method} {path}");
    }
    let response = router.oneshot(request.map(Body::new));
    if takes_its_time {
        return response.await;
    }
    match timeout(ANSWER_WITHIN, response).await {
        Ok(response) => response,
        Err(_) => Ok(ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::TooSlow,
            format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        )
        .into_response()),
    }
}

/// A long poll lasts as long as its run, which has an end. What makes a plan may ask container runtimes, each
/// of which is given as much time for an answer as the daemon's environment says. Either ends when whoever
/// asked is gone.
fn takes_its_time(method: &Method, uri: &Uri) -> bool {
    let waits = |query: &str| query.split('&').any(|pair| pair == "wait=true");
    let plans = method == Method::POST && matches!(uri.path(), "/v1/runs" | "/v1/plan");
    plans || uri.query().is_some_and(waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plan_and_a_request_that_asks_to_wait_may_take_their_time() {
        let may = |method, uri: &'static str| takes_its_time(&method, &Uri::from_static(uri));
        assert!(may(Method::GET, "/v1/runs/r-00000000?wait=true"));
        assert!(!may(Method::GET, "/v1/runs/r-00000000?wait=false"));
        assert!(may(Method::POST, "/v1/runs") && may(Method::POST, "/v1/plan"));
        assert!(!may(Method::GET, "/v1/runs") && !may(Method::DELETE, "/v1/runs"));
        assert!(!may(Method::POST, "/v1/containers/shop"));
    }
}
