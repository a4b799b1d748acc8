//! What the stack needs changed to take packets back that left `lo` for a device of chaosd's.

use std::{os::fd::AsFd, sync::Arc};

use crate::{
    bpf::{Plane, PlaneError},
    instance::Instance,
    txn::{Applied, Txn},
    undo::{NetnsId, Sysctl, System, Undo},
};

use super::planes::OpenError;

/// What the stack needs to take loopback packets that come without a route, as they do from the
/// detour (`net/ipv4/fib_frontend.c`, `fib_validate_source`; `net/ipv4/route.c`). Both speak of
/// packets that arrive on lo, which only this namespace can send.
const LOOPBACK_SYSCTLS: [&str; 2] = [
    "net/ipv4/conf/lo/accept_local",
    "net/ipv4/conf/lo/route_localnet",
];

/// Changes them, until what it returns is reverted.
pub(super) fn open(
    plane: &Plane,
    instance: &Instance,
    system: &Arc<dyn System>,
) -> Result<Applied, OpenError> {
    let netns = plane.netns().clone();
    let journal = instance.journal(&format!("plane-{}-lo", plane.number()))?;
    let mut txn = Txn::begin(journal, Arc::clone(system));
    for key in LOOPBACK_SYSCTLS {
        let fd = netns.fd.as_fd();
        let prior = system
            .read_sysctl(fd, key)
            .map_err(|e| PlaneError::Netns(std::io::Error::other(format!("{key}: {e}"))))?
            .unwrap_or_default();
        if prior == "1" {
            continue;
        }
        let undo = Sysctl {
            netns: NetnsId::from(&netns),
            key: key.into(),
            prior,
            ours: "1".into(),
        };
        txn.step(
            Undo::Sysctl(undo),
            || Ok(system.write_sysctl(fd, key, "1")?),
            |()| match system.read_sysctl(fd, key)? {
                Some(v) if v == "1" => Ok(()),
                found => Err(format!("{key} reads {found:?}").into()),
            },
        )?;
    }
    Ok(txn.commit()?)
}
