//! Where the command line meets the planner, the engine and the machine.

use std::{error::Error, sync::Arc, time::Duration};

use crate::{
    api::Refusal,
    bpf,
    engine::{Engine, Options, StartError},
    host::Host,
    instance::Instance,
    netlink,
    plan::{Plan, PlanError},
    profile::Profile,
    undo::{Real, System},
};

/// What this host can do, probed once.
static HOST: Host = Host::new();

/// Binds a profile to this host.
pub(crate) fn make_plan(name: &str, profile: &Profile) -> Result<Plan, Refusal> {
    let cannot = |e: &dyn Error| Refusal::Host(e.to_string());
    HOST.require_packet_faults().map_err(|e| cannot(&e))?;
    let plan = Plan::make(name, profile).map_err(|e| match e {
        PlanError::NoEthernet { .. } => cannot(&e),
        e => Refusal::Target(e.to_string()),
    })?;
    if plan.faults.iter().any(|f| f.detour) {
        HOST.require_detour().map_err(|e| cannot(&e))?;
    }
    Ok(plan)
}

/// Starts an engine on this machine.
pub(crate) fn start_engine(
    instance: Instance,
    linger: Duration,
    warm: bool,
) -> Result<Engine, StartError> {
    let system = Arc::new(system());
    Engine::start(Options {
        instance,
        system,
        linger,
        warm,
    })
}

/// The machine, for whoever undoes something.
pub(crate) fn system() -> impl System {
    Real::new(
        |netns, name, alias| Ok(netlink::delete_link(netns, name, alias)?),
        |id, _| Ok(bpf::fence(id)?),
    )
}
