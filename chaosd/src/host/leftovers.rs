//! Devices and filters of chaosd that no live chaosd owns.
//!
//! Invariant: what is in use is none of them, whichever state directory its owner lives in. A
//! plane in use holds its number in the namespace, an abstract socket name, which goes with its
//! owner however that dies.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::AsFd,
};

use super::{Leftover, LiveInstance};
use crate::{
    bpf,
    netlink::{self, detour},
    undo::{Filters, Link, NetnsId, RevertReport, System, Undo},
};

/// A device that is left over.
struct Orphan {
    place: Place,
    device: String,
    alias: String,
}

/// Left-over devices and filters, for `doctor`.
pub(super) fn all(live: &[LiveInstance]) -> Vec<Leftover> {
    let mut orphans = orphans();
    // An instance that is just making one has no program there yet.
    orphans.retain(|orphan| {
        let number = detour::instance_of(&orphan.alias);
        !live.iter().any(|instance| Some(instance.number) == number)
    });
    let filters = places().into_iter().flat_map(|place| filters_in(&place));
    orphans
        .iter()
        .map(leftover)
        .chain(filters.map(|(place, left)| left_filters(&place, &left)))
        .collect()
}

/// Deletes every device and filter that is left over and that no journal tells of.
///
/// To be called when no instance of this state directory lives. One of another state directory,
/// caught in the milliseconds between making its device and using it, is told by its process.
pub fn delete_orphans(system: &dyn System) -> RevertReport {
    let mut report = RevertReport::default();
    for place in places() {
        for (place, left) in filters_in(&place) {
            let Some(netns) = identity(&place.path) else {
                continue;
            };
            let undo = Undo::Filters(Filters {
                netns,
                interface: left.interface,
                index: left.index,
                clsact: left.clsact,
                filters: left.filters,
            });
            // Noted in the report.
            let _told: Result<_, _> = report.revert(&undo, system);
        }
    }
    for orphan in orphans() {
        let owner = detour::process_of(&orphan.alias);
        if owner.is_some_and(|pid| fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            continue;
        }
        // A namespace that has gone meanwhile has taken the device along.
        let Some(netns) = identity(&orphan.place.path) else {
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

fn identity(path: &str) -> Option<NetnsId> {
    let file = File::open(path).ok()?;
    NetnsId::of(path, file).ok()
}

/// A network namespace to look in.
#[derive(Clone, Debug)]
struct Place {
    /// Its name; empty for our own.
    name: String,
    /// A handle of it.
    path: String,
}

impl Place {
    fn in_words(&self) -> String {
        if self.name.is_empty() {
            "the network namespace of chaosd".to_owned()
        } else {
            format!("netns {}", self.name)
        }
    }

    /// The option of ip(8) and tc(8).
    fn option(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!(" -n {}", self.name)
        }
    }
}

/// The network namespace of this process and all that have a name. One that has no name and no
/// process but a forgotten descriptor cannot be found; what is in it is as forgotten.
fn places() -> Vec<Place> {
    let mut places = vec![Place {
        name: String::new(),
        path: "/proc/thread-self/ns/net".to_owned(),
    }];
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        places.push(Place {
            name: entry.file_name().to_string_lossy().into_owned(),
            path: entry.path().display().to_string(),
        });
    }
    places
}

fn orphans() -> Vec<Orphan> {
    let places = places();
    places.iter().flat_map(in_namespace).collect()
}

/// Filters of planes that nobody holds any more. Those on the detour go with it.
fn filters_in(place: &Place) -> Vec<(Place, netlink::filters::Left)> {
    let Ok(file) = File::open(&place.path) else {
        return Vec::new();
    };
    let Ok(mut left) = netlink::filters::left(file.as_fd()) else {
        return Vec::new();
    };
    if left.is_empty() {
        return Vec::new();
    }
    // Read after the filters: a plane is claimed before it has any.
    let Ok(claimed) = netlink::claimed_planes(file.as_fd()) else {
        return Vec::new();
    };
    let devices = netlink::leftovers(file.as_fd()).unwrap_or_default();
    left.retain(|left| {
        !claimed.contains(&left.plane) && devices.iter().all(|(name, _)| *name != left.interface)
    });
    left.into_iter().map(|left| (place.clone(), left)).collect()
}

fn left_filters(place: &Place, left: &netlink::filters::Left) -> Leftover {
    let netlink::filters::Left {
        interface,
        pid,
        filters,
        ..
    } = left;
    let option = place.option();
    let lines: Vec<String> = filters
        .iter()
        .map(|filter| {
            format!(
                "tc{option} filter del dev {interface} {} prio {} handle {:#x} bpf",
                filter.hook.name(),
                filter.priority,
                filter.handle
            )
        })
        .collect();
    Leftover {
        what: format!(
            "{} filter(s) at {interface} (of pid {pid}), inert",
            filters.len()
        ),
        place: place.in_words(),
        fix: format!("chaosd revert --all, or: {}", lines.join("; ")),
    }
}

fn in_namespace(place: &Place) -> Vec<Orphan> {
    // A name may go, or name no namespace, which is not for chaosd to mend.
    let Ok(file) = File::open(&place.path) else {
        return Vec::new();
    };
    let Ok(devices) = netlink::leftovers(file.as_fd()) else {
        return Vec::new();
    };
    if devices.is_empty() {
        return Vec::new();
    }
    let claimed = netlink::claimed_planes(file.as_fd()).unwrap_or_default();
    let used: BTreeSet<String> = netlink::in_netns(file.as_fd(), || {
        let in_use = |device: &&String| {
            plane(device).is_some_and(|plane| claimed.contains(&plane))
                || bpf::probe::programs_at_ingress(device).is_ok_and(|n| n > 0)
        };
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
            place: place.clone(),
            device,
            alias,
        })
        .collect()
}

/// The number of the plane that a device is named for: `chaosd1-6a` is of plane 70.
fn plane(device: &str) -> Option<u32> {
    let (high, low) = device.strip_prefix("chaosd")?.split_once('-')?;
    let low = &low[..low.find(|c: char| !c.is_ascii_digit())?];
    let (high, low): (u32, u32) = (high.parse().ok()?, low.parse().ok()?);
    high.checked_mul(netlink::PLANES)?.checked_add(low)
}

fn leftover(orphan: &Orphan) -> Leftover {
    let Orphan {
        place,
        device,
        alias,
    } = orphan;
    let option = place.option();
    Leftover {
        what: format!("the device {device} ({alias})"),
        place: place.in_words(),
        fix: format!("chaosd revert --all, or: ip{option} link delete {device}"),
    }
}

#[cfg(test)]
mod tests {
    use super::plane;

    #[test]
    fn a_device_tells_the_plane_it_serves() {
        assert_eq!(plane("chaosd1-6a"), Some(70));
        assert_eq!(plane("chaosd1-6b"), Some(70));
        assert_eq!(plane("chaosd1-6a12"), Some(70));
        assert_eq!(plane("chaosd9"), None);
    }
}
