//! Where the command line meets the engine, the planner and the machine.

use std::{error::Error, time::Duration};

use crate::{
    api::Refusal,
    engine::Handle,
    instance::Instance,
    netlink,
    plan::Plan,
    profile::Profile,
    undo::{Real, System},
};

/// Binds a profile to this host.
pub(crate) fn make_plan(_name: &str, _profile: &Profile) -> Result<Plan, Refusal> {
    Err(Refusal::Host("this build has no planner".to_owned()))
}

/// The engine's thread.
pub(crate) struct Engine;

impl Engine {
    /// Starts the watchdog, then the thread.
    pub(crate) fn start(
        _instance: Instance,
        _linger: Duration,
        _warm: bool,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Err("this build has no engine".into())
    }

    /// Speaks to it.
    pub(crate) fn handle(&self) -> Handle {
        Handle {}
    }

    /// Ends every run; returns what could not be put back, and how to do it by hand.
    pub(crate) fn stop(self) -> Vec<String> {
        Vec::new()
    }
}

/// The machine, for whoever undoes something.
pub(crate) fn system() -> impl System {
    Real::new(
        |netns, name, alias| Ok(netlink::delete_link(netns, name, alias)?),
        |id, _| Err(format!("this build cannot fence map {id}").into()),
    )
}
