//! `chaosd serve`: the daemon.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::sync::oneshot;

use super::{
    Exit, Global, failure::CliError, machine::machine, notify::notify, out, render, runtime,
    signals::Signals,
};
use crate::{
    api::{self, Containers, Runs, Service, Socket, all_kept},
    engine::{Engine, Options},
    experiment::store::Store,
    instance::{DaemonLock, Instance, Kind, revert_abandoned},
    plan::Limits,
    profile::units::Percent,
    report::Ended,
    undo::RevertReport,
};

#[derive(Args, Debug)]
pub(super) struct Serve {
    /// Let the members of this group use the socket (mode 0660 instead of 0600)
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// No run lasts longer
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    max_for: Duration,
    /// No run hits a larger share of those that answer to a name, of which at least one
    #[arg(long, value_name = "SHARE", default_value = "100%", value_parser = share)]
    max_share: Percent,
    /// Stay attached, inert, for this long after the last fault, so that the next one is in force
    /// in milliseconds
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    linger: Duration,
}

impl Serve {
    pub(super) fn run(self, global: &Global) -> Result<Exit, CliError> {
        if self.max_for.is_zero() {
            return Err(CliError::Usage(
                "--max-for: 0 allows no run at all: give more, or leave it out".into(),
            ));
        }
        let state = global.state();
        // In this order: there is one daemon, it starts from a clean machine, and who can connect
        // can be served.
        let lock = DaemonLock::take(&state)?;
        let left = revert_abandoned(&state, &machine());
        for line in render::reverted(&left) {
            tracing::warn!("{line}");
        }
        keep_lost(&global.runs.store(), &left);
        let exit = runtime()?.block_on(async {
            let signals = Signals::catch()?;
            let (socket, listener) = Socket::bind(&global.socket(), self.group.as_deref())?;
            let instance = Instance::claim(&state, Kind::Daemon)?;
            let engine = Engine::start(Options {
                instance,
                system: Arc::new(machine()),
                linger: self.linger,
                warm: true,
                mechanism: global.mechanism(),
            })?;
            let service = Arc::new(Service {
                engine: engine.handle(),
                limits: Limits {
                    max_for: self.max_for,
                    max_share: self.max_share,
                },
                state,
                containers: Containers::default(),
                store: Some(global.runs.store()),
            });
            tracing::info!(socket = %socket.path().display(), "serving");
            notify("READY=1");
            serve(listener, service, socket.has_group(), signals).await;
            all_kept().await;
            let problems = engine.stop();
            for problem in &problems {
                out::tell(out::paint(out::BAD, problem));
            }
            tracing::info!("ended");
            Ok::<_, CliError>(if problems.is_empty() {
                Exit::Done
            } else {
                Exit::NotReverted
            })
        });
        drop(lock);
        exit
    }
}

/// Keeps what a daemon that died had in force. `left`: what has become of that.
fn keep_lost(store: &Store, left: &RevertReport) {
    let problems: Vec<String> = left.failed.iter().map(ToString::to_string).collect();
    match store.keep_lost(&problems) {
        Ok(kept) => {
            for run in kept {
                let page = run.page();
                tracing::warn!(
                    "a run was in force when its daemon died: {}",
                    page.display()
                );
            }
        }
        Err(error) => tracing::warn!("a run is not kept: {}", out::chain(&error)),
    }
}

fn share(text: &str) -> Result<Percent, String> {
    match text.parse::<Percent>() {
        Ok(share) if share.get() > 0.0 => Ok(share),
        Ok(_) => Err("0% allows no run on those that answer to a name".to_owned()),
        Err(mistake) => Err(mistake.to_string()),
    }
}

/// Serves until a signal comes; then reverts at once, while the requests under way are answered.
async fn serve(
    listener: tokio::net::UnixListener,
    service: Arc<Service>,
    by_group: bool,
    mut signals: Signals,
) {
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = api::serve(listener, service.clone(), by_group, async {
        stopped.await.ok();
    });
    let ending = async {
        let signal = signals.next().await;
        tracing::info!("{signal}: reverting all");
        notify("STOPPING=1");
        drop(stop);
        if let Err(error) = service.revert_all(Ended::Shutdown).await {
            tracing::error!("failed to revert all: {error}");
        }
    };
    tokio::join!(serving, ending);
}
