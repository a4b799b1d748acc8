//! Where a run lives: in the daemon, or in this very process.

use crate::{
    api::{Client, ClientError, Refusal, Runs, Service},
    report::{Ended, RunReport},
};

use super::{ask::Ask, failure::CliError};

pub(super) enum Side {
    Daemon(Client),
    Here(Service),
}

impl Side {
    /// Arms it.
    pub(super) async fn start(&self, ask: &Ask) -> Result<RunReport, CliError> {
        match self {
            Self::Daemon(client) => Ok(client.start(&ask.request).await?),
            Self::Here(service) => {
                let plan = ask.plan(service.limits)?;
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
