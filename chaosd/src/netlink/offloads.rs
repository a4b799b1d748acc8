//! Switches offloads of the detour off, so that each wire segment crosses it alone and with a
//! real checksum.

use std::{io, sync::OnceLock};

use crate::sys::ioctl::Ethtool;

/// The names of this kernel's features, by bit: constant while it runs.
static NAMES: OnceLock<Vec<String>> = OnceLock::new();

/// True for what must be off at the sending end: every segmentation offload, or a super-packet
/// would cross whole; every checksum offload, or a packet would cross without its checksum.
///
/// Names are those of `net/ethtool/common.c` (`netdev_features_strings`).
pub(super) fn sends_whole(feature: &str) -> bool {
    feature.starts_with("tx-checksum-")
        || feature.starts_with("tx-gso-")
        || (feature.starts_with("tx-") && feature.ends_with("-segmentation"))
}

/// True for what must be off at the receiving end: whatever merges packets again.
pub(super) fn merges(feature: &str) -> bool {
    feature.starts_with("rx-gro") || feature == "rx-lro" || feature == "rx-udp-gro-forwarding"
}

/// Switches off every feature of `device` that `unwanted` names, and returns those that are still
/// on. Works in the calling thread's network namespace.
pub(super) fn switch_off(
    ethtool: &Ethtool,
    device: &str,
    unwanted: fn(&str) -> bool,
) -> io::Result<Vec<String>> {
    let names = names(ethtool, device)?;
    let blocks = names.len().div_ceil(32);
    let mut changes = vec![(0u32, 0u32); blocks];
    for (bit, _) in names.iter().enumerate().filter(|(_, n)| unwanted(n)) {
        changes[bit / 32].0 |= 1 << (bit % 32);
    }
    ethtool.set_features(device, &changes)?;
    let mut on = active(ethtool, device)?;
    on.retain(|name| unwanted(name));
    Ok(on)
}

/// The features of `device` that are in force.
pub(super) fn active(ethtool: &Ethtool, device: &str) -> io::Result<Vec<String>> {
    let names = names(ethtool, device)?;
    let features = ethtool.features(device, names.len().div_ceil(32))?;
    Ok(names
        .iter()
        .enumerate()
        .filter(|(bit, _)| features[bit / 32].active & 1 << (bit % 32) != 0)
        .map(|(_, name)| name.clone())
        .collect())
}

fn names(ethtool: &Ethtool, device: &str) -> io::Result<&'static [String]> {
    if let Some(names) = NAMES.get() {
        return Ok(names);
    }
    let names = ethtool.feature_names(device)?;
    Ok(NAMES.get_or_init(|| names))
}
