//! The one page of `chaosd doctor`, which is also `GET /v1/doctor`: what the host can do, beside who
//! lives and what the dead have left in the state directory.

use crate::{
    host::{Doctor, Host, Leftover, LiveInstance},
    instance::{Abandoned, InstanceError, Kind, Live, Owner, StateDir},
};

/// This host: what is probed once is known to all that ask.
pub(super) static HOST: Host = Host::new();

/// Probes the host; may block. Changes nothing.
pub fn examine(state: &StateDir) -> Doctor {
    let here = state.path().display().to_string();
    let mut left = Vec::new();
    let live = state.live().unwrap_or_else(|error| {
        left.push(unreadable(&here, &error));
        Vec::new()
    });
    // What could not be read is said already.
    let abandoned = state.abandoned().unwrap_or_default();
    left.extend(abandoned.iter().map(|dead| leftover(&here, dead)));
    let live = live.iter().filter_map(|live| instance(&here, live));
    HOST.doctor(live.collect(), left)
}

fn instance(state_dir: &str, live: &Live) -> Option<LiveInstance> {
    let owner = live.owner.as_ref()?;
    Some(LiveInstance {
        number: live.number,
        pid: owner.pid,
        kind: kind(owner).to_owned(),
        state_dir: state_dir.to_owned(),
    })
}

fn kind(owner: &Owner) -> &'static str {
    match owner.kind {
        Some(Kind::Daemon) => "serve",
        Some(Kind::Run) => "run",
        None => "watchdog",
    }
}

fn leftover(state_dir: &str, dead: &Abandoned) -> Leftover {
    let who = match &dead.owner {
        Some(owner) => format!("chaosd {} (pid {}), which died", kind(owner), owner.pid),
        None => "a chaosd that died".to_owned(),
    };
    Leftover {
        what: format!("{} journal(s) of {who}", dead.journals.len()),
        place: format!("{state_dir}/instances/{}", dead.number),
        fix: "chaosd revert --all".to_owned(),
    }
}

fn unreadable(state_dir: &str, error: &InstanceError) -> Leftover {
    let cause = std::error::Error::source(error).map_or(String::new(), |e| format!(": {e}"));
    Leftover {
        what: format!("cannot look for what was left: {error}{cause}"),
        place: state_dir.to_owned(),
        fix: "run chaosd as root".to_owned(),
    }
}
