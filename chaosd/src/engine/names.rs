//! Host names of peers, asked for again while a run is armed.

use std::{sync::mpsc::Sender, time::Duration};

use crate::{
    fault,
    profile::{FaultSpec, Peer},
};

use super::{Command, run::Run};

/// How often host names are asked for again.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Asks for the names of a run in a thread of its own: a resolver may take its time.
pub(super) fn resolve_again(run: &Run, commands: &Sender<Command>) {
    let named: Vec<(usize, FaultSpec)> = run
        .plan
        .faults
        .iter()
        .enumerate()
        .map(|(i, f)| (i, &f.spec))
        .filter(|(_, spec)| {
            let m = &spec.matching;
            m.peers
                .iter()
                .chain(&m.not_peers)
                .any(|p| matches!(p, Peer::Name(_)))
        })
        .map(|(i, spec)| (i, spec.clone()))
        .collect();
    if named.is_empty() {
        return;
    }
    let (id, commands) = (run.id.clone(), commands.clone());
    let work = move || {
        for (i, spec) in named {
            match fault::resolve(&spec) {
                Ok(Some(peers)) => {
                    commands.send(Command::Peers(id.clone(), i, peers)).ok();
                }
                Ok(None) => {}
                Err(e) => tracing::warn!(run = id, "the addresses found before stay: {e}"),
            }
        }
    };
    if let Err(e) = std::thread::Builder::new()
        .name("resolver".into())
        .spawn(work)
    {
        tracing::warn!("names are not asked for again: {e}");
    }
}
