//! `chaosd serve`: the daemon.

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::sync::oneshot;

use super::{
    Exit, Global, failure::CliError, machine::machine, notify::notify, out, render, runtime,
    signals::Signals,
};
use crate::{
    api::{self, Containers, Runs, Service, Socket},
    bpf,
    engine::{Engine, Options, SPARES},
    instance::{DaemonLock, Instance, Kind, revert_abandoned},
    plan::Limits,
    profile::units::Percent,
    report::Ended,
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
    /// Keep so many sets of programs loaded: that many containers may start at once, or network namespaces
    /// be hit, and none waits for the verifier. Each takes 7 MiB of the kernel's memory
    #[arg(long, value_name = "NUMBER", default_value_t = SPARES, value_parser = clap::value_parser!(u32).range(..=64))]
    spares: u32,
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
        let exit = runtime()?.block_on(async {
            let signals = Signals::catch()?;
            let (socket, listener) = Socket::bind(&global.socket(), self.group.as_deref())?;
            let instance = Instance::claim(&state, Kind::Daemon)?;
            if let Err(error) = bpf::allow_many() {
                tracing::warn!("the limit of open files stays as it is: {error}");
            }
            let engine = Engine::start(Options {
                instance,
                system: Arc::new(machine()),
                linger: self.linger,
                spares: self.spares,
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
