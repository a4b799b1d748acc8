//! Offloads of the detours: off, so that each wire segment crosses alone and with a real checksum,
//! or on, so that a packet crosses as it is.

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

/// What must be on at a sending end that packets cross as they are: a device that lacks one of
/// these has the packet split, or its checksum made, before it is handed over
/// (`net/core/dev.c`: `validate_xmit_skb`).
const STAY_WHOLE: [&str; 7] = [
    "tx-scatter-gather",
    "tx-checksum-ip-generic",
    "tx-generic-segmentation",
    "tx-tcp-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp6-segmentation",
    "tx-udp-segmentation",
];

/// Those of [`STAY_WHOLE`] that are not in force on `device`.
pub(super) fn missing_to_stay_whole(
    ethtool: &Ethtool,
    device: &str,
) -> io::Result<Vec<&'static str>> {
    let on = active(ethtool, device)?;
    let missing = STAY_WHOLE.into_iter();
    Ok(missing
        .filter(|name| !on.iter().any(|feature| feature == name))
        .collect())
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
