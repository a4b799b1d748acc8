//! Where a run lives: in the daemon, or in this very process.

use std::{sync::Arc, time::Duration};

use crate::{
    api::{Client, ClientError, Containers, Refusal, Runs, Service},
    engine::{Engine, Options},
    instance::{Instance, Kind, revert_abandoned},
    plan::Limits,
    report::{Ended, RunReport},
};

use super::{Global, ask::Checked, failure::CliError, machine::machine, out, render};

pub(super) enum Side {
    Daemon(Client),
    Here(Service),
}

impl Side {
    /// Side `Here`, and its engine, whose end is the caller's to see to. What dead instances left is
    /// reverted first. `linger`, `spares`: see [`Options`].
    pub(super) fn here(
        global: &Global,
        linger: Duration,
        spares: u32,
    ) -> Result<(Self, Engine), CliError> {
        let state = global.state();
        let left = revert_abandoned(&state, &machine());
        render::reverted(&left).into_iter().for_each(out::tell);
        let engine = Engine::start(Options {
            instance: Instance::claim(&state, Kind::Run)?,
            system: Arc::new(machine()),
            linger,
            spares,
            mechanism: global.mechanism(),
        })?;
        let service = Service {
            engine: engine.handle(),
            limits: Limits::default(),
            state,
            containers: Containers::default(),
            store: None,
        };
        Ok((Self::Here(service), engine))
    }

    /// Arms it.
    pub(super) async fn start(&self, asked: &Checked) -> Result<RunReport, CliError> {
        match self {
            Self::Daemon(client) => Ok(client.start(&asked.request).await?),
            Self::Here(service) => {
                let plan = asked.plan(service.limits)?;
                let report = service.engine.arm(plan).await;
                Ok(report.map_err(Refusal::from)?)
            }
        }
    }

    /// How it stands.
    pub(super) async fn report(&self, id: &str) -> Result<RunReport, CliError> {
        match self {
            Self::Daemon(client) => Ok(client.report(id).await?),
            Self::Here(service) => here(service.report(id.to_owned()).await),
        }
    }

    /// Resolves when it is over; of one that is [`crate::report::Phase::Draining`], when that is.
    pub(super) async fn wait(&self, id: &str) -> Result<RunReport, CliError> {
        match self {
            Self::Daemon(client) => client.wait(id).await.map_err(|source| match source {
                ClientError::Refused(_) => source.into(),
                source => CliError::DaemonLost {
                    id: id.to_owned(),
                    reverted: false,
                    source,
                },
            }),
            Self::Here(service) => here(service.wait(id.to_owned()).await),
        }
    }

    /// Ends it now.
    pub(super) async fn revert(&self, id: &str, why: Ended) -> Result<RunReport, CliError> {
        match self {
            Self::Daemon(client) => Ok(client.revert(id, why).await?),
            Self::Here(service) => here(service.revert(id.to_owned(), why).await),
        }
    }
}

fn here(report: Result<RunReport, crate::engine::EngineError>) -> Result<RunReport, CliError> {
    Ok(report.map_err(Refusal::from)?)
}
