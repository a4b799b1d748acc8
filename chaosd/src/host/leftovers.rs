//! Devices of chaosd that no live chaosd owns.
//!
//! Invariant: a device that is in use is none of them, whichever state directory its owner lives
//! in. A detour in use has a program at its receiving end, which dies with its owner.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::AsFd,
};

use super::{Leftover, LiveInstance};
use crate::{
    bpf,
    netlink::{self, detour},
    undo::{Link, NetnsId, RevertReport, System, Undo},
};

/// A device that is left over.
struct Orphan {
    /// The namespace's name; empty for our own.
    netns: String,
    /// A handle of the namespace.
    path: String,
    device: String,
    alias: String,
}

/// Left-over devices, for `doctor`.
pub(super) fn devices(live: &[LiveInstance]) -> Vec<Leftover> {
    let mut orphans = orphans();
    // An instance that is just making one has no program there yet.
    orphans.retain(|orphan| {
        let number = detour::instance_of(&orphan.alias);
        !live.iter().any(|instance| Some(instance.number) == number)
    });
    orphans.iter().map(leftover).collect()
}

/// Deletes every device that is left over and that no journal tells of.
///
/// To be called when no instance of this state directory lives. One of another state directory,
/// caught in the milliseconds between making its device and using it, is told by its process.
pub fn delete_orphans(system: &dyn System) -> RevertReport {
    let mut report = RevertReport::default();
    for orphan in orphans() {
        let owner = detour::process_of(&orphan.alias);
        if owner.is_some_and(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            continue;
        }
        // A namespace that has gone meanwhile has taken the device along.
        let Ok(netns) = File::open(&orphan.path).and_then(|file| NetnsId::of(&orphan.path, file))
        else {
            continue;
        };
        let undo = Undo::Link(Link {
            netns,
            name: orphan.device,
            alias: orphan.alias,
        });
        // Noted in the report; the second end of a pair is gone with the first.
        let _told: Result<_, _> = report.revert(&undo, system);
    }
    report
}

/// Looks in the network namespace of this process and in all that have a name. One that has no
/// name and no process but a forgotten descriptor cannot be found; its devices are as forgotten.
fn orphans() -> Vec<Orphan> {
    let mut places = vec![(String::new(), "/proc/thread-self/ns/net".to_owned())];
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path().display().to_string();
        places.push((name, path));
    }
    places
        .iter()
        .flat_map(|(name, path)| in_namespace(name, path))
        .collect()
}

fn in_namespace(name: &str, path: &str) -> Vec<Orphan> {
    // A name may go, or name no namespace, which is not for chaosd to mend.
    let Ok(file) = File::open(path) else {
        return Vec::new();
    };
    let Ok(devices) = netlink::leftovers(file.as_fd()) else {
        return Vec::new();
    };
    if devices.is_empty() {
        return Vec::new();
    }
    let used: BTreeSet<String> = netlink::in_netns(file.as_fd(), || {
        let in_use =
            |device: &&String| bpf::probe::programs_at_ingress(device).is_ok_and(|n| n > 0);
        let devices = devices.iter().map(|(device, _)| device);
        devices
            .filter(in_use)
            .map(|device| detour::tx_of(device))
            .collect()
    })
    .unwrap_or_default();
    devices
        .into_iter()
        .filter(|(device, _)| !used.contains(&detour::tx_of(device)))
        .map(|(device, alias)| Orphan {
            netns: name.to_owned(),
            path: path.to_owned(),
            device,
            alias,
        })
        .collect()
}

fn leftover(orphan: &Orphan) -> Leftover {
    let Orphan {
        netns,
        device,
        alias,
        ..
    } = orphan;
    let option = if netns.is_empty() {
        String::new()
    } else {
        format!(" -n {netns}")
    };
    Leftover {
        what: format!("the device {device} ({alias})"),
        place: if netns.is_empty() {
            "the network namespace of chaosd".to_owned()
        } else {
            format!("netns {netns}")
        },
        fix: format!("chaosd revert --all, or: ip{option} link delete {device}"),
    }
}
