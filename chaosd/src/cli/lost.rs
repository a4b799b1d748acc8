//! What is left when the daemon of a run has died.

use tokio::task::spawn_blocking;

use super::{Global, machine::machine, out, render};
use crate::{
    api::Client,
    instance::{Kind, revert_abandoned},
};

/// Sees to it that nothing is left: waits for the dead daemon's watchdog, and does its work where that died
/// too. False: something may be left.
pub(super) async fn nothing_left(global: &Global) -> bool {
    let state = global.state();
    let place = state.clone();
    let Ok(left) = spawn_blocking(move || revert_abandoned(&place, &machine())).await else {
        return false;
    };
    render::reverted(&left).into_iter().for_each(out::tell);
    // One that holds its place and does not answer has undone nothing; one that answers is another, which has
    // begun by undoing all.
    let is_daemon = |kind| kind == Some(Kind::Daemon);
    let stuck = state.live().is_ok_and(|live| {
        let mut owners = live.iter().filter_map(|instance| instance.owner.as_ref());
        owners.any(|owner| is_daemon(owner.kind))
    });
    left.failed.is_empty() && (!stuck || Client::new(&global.socket()).status().await.is_ok())
}
