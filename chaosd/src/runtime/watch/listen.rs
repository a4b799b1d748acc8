//! Hears what runtimes say of their containers, pods and units, for as long as somebody watches.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use nix::sys::eventfd::EventFd;
use tokio::sync::oneshot::Receiver;

use crate::runtime::{
    ANSWERS_WITHIN, Asked,
    hub::{Api, Hub, Picked},
};

/// How long a runtime that stopped talking is left alone.
const AGAIN: Duration = Duration::from_millis(500);

/// Why a runtime says nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Ended {
    /// It never tells of events.
    NeverWas,
    /// It ended, or is not there.
    Lost,
}

/// Rung when anything was heard.
#[derive(Debug)]
pub(in crate::runtime) struct Bell {
    hears: Weak<EventFd>,
    until: Receiver<()>,
}

impl Bell {
    pub(super) fn new(bell: &Arc<EventFd>, until: Receiver<()>) -> Self {
        Self {
            hears: Arc::downgrade(bell),
            until,
        }
    }
}

fn ring(bell: &Weak<EventFd>) {
    if let Some(bell) = bell.upgrade() {
        // Full, it has been rung often enough.
        let _ = bell.write(1);
    }
}

/// Listens until the watch is dropped.
pub(in crate::runtime) async fn listen(
    hub: Arc<Hub>,
    asked: Asked,
    only: Option<String>,
    bell: Bell,
) {
    let Bell { hears, until } = bell;
    let Ok(picked) = hub.pick(only.as_deref()) else {
        return;
    };
    let listening = async {
        if matches!(asked, Asked::Unit(_)) {
            to_systemd(&hub, &hears).await;
        } else {
            to_containers(&hub, &picked, &hears).await;
        }
    };
    tokio::select! {
        () = listening => {}
        // The other end is dropped, never used.
        _ = until => {}
    }
}

/// Never returns.
async fn to_systemd(hub: &Hub, bell: &Weak<EventFd>) {
    loop {
        let began = Instant::now();
        if let Ok(systemd) = hub.systemd(ANSWERS_WITHIN).await {
            drop(systemd.events(|| ring(bell)).await);
        }
        rest(began, bell).await;
    }
}

/// Never returns.
async fn to_containers(hub: &Hub, picked: &Picked, bell: &Weak<EventFd>) {
    // Who is not there now is heard of by the tree of cgroups.
    let (apis, _) = hub.apis(picked, ANSWERS_WITHIN).await.unwrap_or_default();
    let talking = apis.iter().map(async |api| {
        loop {
            let began = Instant::now();
            let ended = match api {
                Api::Docker(docker) => docker.events(|| ring(bell)).await,
                Api::Cri(cri) => cri.events(|| ring(bell)).await,
                Api::Containerd(containerd) => containerd.events(|| ring(bell)).await,
            };
            if ended == Ended::NeverWas {
                return;
            }
            rest(began, bell).await;
        }
    });
    join_all(talking).await;
    std::future::pending::<()>().await;
}

/// Lets a runtime that stopped talking alone. What happened since it did is not known.
async fn rest(began: Instant, bell: &Weak<EventFd>) {
    if began.elapsed() > AGAIN {
        ring(bell);
    }
    tokio::time::sleep(AGAIN).await;
}
