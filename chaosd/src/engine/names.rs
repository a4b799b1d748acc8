//! Host names of peers, asked for again while a run is armed.

use std::{sync::mpsc::Sender, time::Duration};

use crate::{
    fault,
    profile::{Dns, FaultSpec, Kind, Peer, units::DomainName},
};

use super::{Command, run::Run};

/// How often host names are asked for again.
pub(super) const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// Asks for the names of a run in a thread of its own: a resolver may take its time. Names that a fault
/// of ours hits are not asked for: its answer would become whom another fault hits.
pub(super) fn resolve_again(run: &Run, runs: &[Run], commands: &Sender<Command>) {
    let mut named: Vec<(usize, FaultSpec)> = run
        .plan
        .faults
        .iter()
        .enumerate()
        .map(|(i, f)| (i, &f.spec))
        .filter(|(_, spec)| names(spec).next().is_some())
        .map(|(i, spec)| (i, spec.clone()))
        .collect();
    if named.is_empty() {
        return;
    }
    let faults = runs.iter().flat_map(|run| &run.plan.faults);
    // Made once for all names: a fault may hit tens of thousands.
    let lies: Vec<_> = faults
        .filter_map(|f| of_dns(&f.spec.kind))
        .map(Dns::hits)
        .collect();
    named.retain(|(_, spec)| !is_hit(spec, &lies));
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

fn of_dns(kind: &Kind) -> Option<&Dns> {
    match kind {
        Kind::Dns(dns) if dns.answer.is_some() => Some(dns),
        _ => None,
    }
}

/// The host names among the peers of a fault.
fn names(spec: &FaultSpec) -> impl Iterator<Item = &str> {
    let m = &spec.matching;
    m.peers.iter().chain(&m.not_peers).filter_map(|p| match p {
        Peer::Name(name) => Some(name.as_str()),
        Peer::Net(_) => None,
    })
}

/// True when one of these answers in the place of a name server that a peer of the fault is asked of.
fn is_hit(spec: &FaultSpec, lies: &[impl Fn(&DomainName) -> bool]) -> bool {
    names(spec)
        .filter_map(|name| name.parse().ok())
        .any(|name| lies.iter().any(|hits| hits(&name)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::profile::{Overrides, load};

    use super::*;

    fn faults(text: &str) -> Vec<FaultSpec> {
        let text = format!("version: 1\ntarget: host\nfor: 1s\nfaults:\n{text}");
        let profile = load("t.yaml", &text, &Overrides::default());
        profile.unwrap().faults
    }

    #[test]
    fn a_name_that_a_fault_answers_is_not_asked_for() {
        let specs = faults(
            "  - dns: {names: ['*.internal'], answer: {A: 192.0.2.1}}\n  - dns: {delay: 1s}\n",
        );
        let lies: Vec<_> = specs
            .iter()
            .filter_map(|s| of_dns(&s.kind))
            .map(Dns::hits)
            .collect();
        assert_eq!(lies.len(), 1, "one that only holds queries tells no lies");
        let hit = |peer: &str| {
            let of_peer = format!("  - drop: 1%\n    match: {{peers: ['{peer}']}}\n");
            is_hit(&faults(&of_peer)[0], &lies)
        };
        assert!(hit("db.internal"));
        assert!(!hit("db.example"));
        assert!(!hit("192.0.2.1"));
    }
}
