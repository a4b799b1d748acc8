//! Devices of chaosd that no live chaosd owns.

use std::{
    fs::{self, File},
    os::fd::AsFd,
};

use super::{Leftover, LiveInstance};
use crate::netlink;

/// Looks in the network namespace of this process and in all that have a name. One that has no
/// name and no process but a forgotten descriptor cannot be found; its devices are as forgotten.
pub(super) fn devices(live: &[LiveInstance]) -> Vec<Leftover> {
    let mut places = vec![(String::new(), "/proc/thread-self/ns/net".to_owned())];
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path().display().to_string();
        places.push((name, path));
    }
    places
        .iter()
        .flat_map(|(name, path)| in_namespace(name, path, live))
        .collect()
}

fn in_namespace(name: &str, path: &str, live: &[LiveInstance]) -> Vec<Leftover> {
    // A name may go, or name no namespace, which is not for chaosd to mend.
    let Ok(file) = File::open(path) else {
        return Vec::new();
    };
    let Ok(mut devices) = netlink::leftovers(file.as_fd()) else {
        return Vec::new();
    };
    devices.retain(|(_, alias)| {
        let number = netlink::detour::instance_of(alias);
        !live.iter().any(|instance| Some(instance.number) == number)
    });
    let option = if name.is_empty() {
        String::new()
    } else {
        format!(" -n {name}")
    };
    devices
        .into_iter()
        .map(|(device, alias)| Leftover {
            what: format!("the device {device} ({alias})"),
            place: if name.is_empty() {
                "the network namespace of chaosd".to_owned()
            } else {
                format!("netns {name}")
            },
            fix: format!("chaosd revert --all, or: ip{option} link delete {device}"),
        })
        .collect()
}
