//! I/O limits of one disk: bytes and operations per second (`io.max`; v1:
//! `blkio.throttle.*_device`).
//!
//! The kernel holds bios back where they enter the disk's queue (block/blk-throttle.c), so a
//! `write()` into the page cache returns at once. Metadata of a journalling file system passes over
//! the limit and is charged to it.

use std::path::Path;

use super::{Controller, LimitError, change, descendants, read};
use crate::{
    cgroup::{Change, Place, Version, line},
    device::Number,
    plan::Cgroup,
    undo::{Field, Part},
};

const V2: &str = "io.max";
/// How v1 says that there is no limit, and the line is gone.
const V1_NONE: &str = "0";

/// Limits of one disk. None: as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes read per second, from 2.
    pub read_bps: Option<u64>,
    /// Bytes written per second, from 2.
    pub write_bps: Option<u64>,
    /// Reads per second, 2 to 4,294,967,294.
    pub read_iops: Option<u64>,
    /// Writes per second, 2 to 4,294,967,294.
    pub write_iops: Option<u64>,
}

/// One of the four, as each version calls it.
struct Dimension {
    v2: &'static str,
    v1: &'static str,
    asked: fn(&Limits) -> Option<u64>,
    set: fn(&mut Limits, u64),
    /// The greatest that is no "no limit" (block/blk-throttle.c, `tg_set_limit`, `tg_set_conf`).
    max: u64,
    range: &'static str,
}

const BPS_MAX: u64 = u64::MAX - 1;
const IOPS_MAX: u64 = u32::MAX as u64 - 1;
const BPS_RANGE: &str = "a rate is at least 2 bytes per second";
const IOPS_RANGE: &str = "2 to 4294967294 operations per second";

const DIMENSIONS: [Dimension; 4] = [
    Dimension {
        v2: "rbps",
        v1: "blkio.throttle.read_bps_device",
        asked: |limits| limits.read_bps,
        set: |limits, value| limits.read_bps = Some(value),
        max: BPS_MAX,
        range: BPS_RANGE,
    },
    Dimension {
        v2: "wbps",
        v1: "blkio.throttle.write_bps_device",
        asked: |limits| limits.write_bps,
        set: |limits, value| limits.write_bps = Some(value),
        max: BPS_MAX,
        range: BPS_RANGE,
    },
    Dimension {
        v2: "riops",
        v1: "blkio.throttle.read_iops_device",
        asked: |limits| limits.read_iops,
        set: |limits, value| limits.read_iops = Some(value),
        max: IOPS_MAX,
        range: IOPS_RANGE,
    },
    Dimension {
        v2: "wiops",
        v1: "blkio.throttle.write_iops_device",
        asked: |limits| limits.write_iops,
        set: |limits, value| limits.write_iops = Some(value),
        max: IOPS_MAX,
        range: IOPS_RANGE,
    },
];

impl Limits {
    /// Reads the line of a disk in `io.max`. A disk without a line has no limits.
    pub fn parse(io_max: &str, disk: Number) -> Self {
        let mut limits = Self::default();
        let device = disk.to_string();
        for dimension in &DIMENSIONS {
            if let Some(value) =
                line::field(io_max, &device, dimension.v2).and_then(|text| text.parse::<u64>().ok())
            {
                (dimension.set)(&mut limits, value);
            }
        }
        limits
    }

    /// Writes the line of a disk in `io.max`, with those limits that are set.
    pub fn encode(&self, disk: Number) -> String {
        let set = DIMENSIONS.iter().filter_map(|dimension| {
            let value = (dimension.asked)(self)?;
            Some((dimension.v2, value.to_string()))
        });
        let set: Vec<_> = set.collect();
        let fields = set.iter().map(|(name, value)| (*name, value.as_str()));
        line::of(&disk.to_string(), fields)
    }

    fn check(&self) -> Result<(), LimitError> {
        for dimension in &DIMENSIONS {
            if let Some(value) = (dimension.asked)(self)
                && !(2..=dimension.max).contains(&value)
            {
                return Err(LimitError::Range {
                    asked: value.to_string(),
                    range: dimension.range,
                });
            }
        }
        Ok(())
    }
}

/// The limits that a cgroup itself has on a disk.
pub fn limits_of(cgroup: &Cgroup, disk: Number) -> Result<Limits, LimitError> {
    let place = Controller::Io.place(cgroup)?;
    if place.version == Version::V2 {
        let text = read(&place.directory, V2)?.unwrap_or_default();
        return Ok(Limits::parse(&text, disk));
    }
    let mut limits = Limits::default();
    for dimension in &DIMENSIONS {
        if let Some(value) = v1(&place.directory, dimension, disk)?.parse().ok()
            && value != 0
        {
            (dimension.set)(&mut limits, value);
        }
    }
    Ok(limits)
}

/// What holds a cgroup's I/O on a whole disk to `limits`.
///
/// In v1 the limits of a cgroup do not hold for those below it (block/blk-throttle.c,
/// `throtl_pd_init`): each of them, and the cgroup itself, gets the limits for itself. One that is
/// made later gets none.
///
/// # Errors
/// [`LimitError::NotLower`] when nothing of it would be lower than what is there.
pub fn prepare(cgroup: &Cgroup, disk: Number, limits: &Limits) -> Result<Vec<Change>, LimitError> {
    limits.check()?;
    let place = Controller::Io.place(cgroup)?;
    let mut changes = match place.version {
        Version::V2 => v2(&place, disk, limits)?.into_iter().collect(),
        Version::V1 => {
            let mut changes = Vec::new();
            let mut directories = descendants(&place.directory);
            directories.push(place.directory.clone());
            for directory in &directories {
                changes.extend(all_v1(directory, disk, limits)?);
            }
            changes
        }
    };
    if changes.is_empty() {
        return Err(LimitError::NotLower {
            path: place.directory.clone(),
            found: limits_of(cgroup, disk)?.encode(disk),
            asked: limits.encode(disk),
        });
    }
    changes.splice(0..0, place.enable);
    Ok(changes)
}

/// File systems that charge the writeback of a page to the cgroup that dirtied it
/// (Documentation/admin-guide/cgroup-v2.rst, "Writeback").
const CHARGES_WRITEBACK: [&str; 5] = ["ext2", "ext4", "xfs", "btrfs", "f2fs"];

/// What escapes the limits of this cgroup on a file system (none: a device node), in words for
/// whoever plans them.
pub fn escapes(
    cgroup: &Cgroup,
    file_system: Option<&str>,
) -> Result<Vec<&'static str>, LimitError> {
    let place = Controller::Io.place(cgroup)?;
    let mut escapes = Vec::new();
    if file_system.is_some() {
        escapes.push("metadata of the file system is charged, and does not wait");
    }
    if place.version == Version::V1 {
        escapes.push("writes that the page cache takes are not limited (blkio of v1)");
        escapes.push("each cgroup below gets the limits for itself, those made later none (v1)");
        return Ok(escapes);
    }
    // Where both are in the unified tree, io brings memory with it (block/blk-cgroup.c,
    // `io_cgrp_subsys.depends_on`), which is what tells whose a page is.
    let available = read(&place.root, "cgroup.controllers")?.unwrap_or_default();
    let whose = available.split_whitespace().any(|word| word == "memory");
    let charged = file_system.is_none_or(|kind| CHARGES_WRITEBACK.contains(&kind));
    escapes.extend(match (whose, charged) {
        (false, _) => vec![
            "writes that the page cache takes are not limited, for the memory controller, which \
             knows whose they are, is not in the unified tree",
        ],
        (true, false) => vec![
            "writes that the page cache takes are not limited: this file system does not charge \
             them to a cgroup",
        ],
        (true, true) => vec![
            "write() into the page cache returns at once: writeback and fsync wait",
            "writeback of a file that another cgroup dirtied first is charged to that one",
        ],
    });
    Ok(escapes)
}

fn v2(place: &Place, disk: Number, limits: &Limits) -> Result<Option<Change>, LimitError> {
    let found = read(&place.directory, V2)?;
    if found.is_none() && place.enable.is_empty() {
        return Err(not_built(&place.directory, V2));
    }
    let found = Limits::parse(&found.unwrap_or_default(), disk);
    let fields: Vec<_> = DIMENSIONS
        .iter()
        .filter_map(|dimension| {
            let (prior, ours) = ((dimension.asked)(&found), (dimension.asked)(limits)?);
            prior.is_none_or(|prior| ours < prior).then(|| Field {
                name: dimension.v2.to_owned(),
                prior: prior.map_or(line::NO_LIMIT.to_owned(), |prior| prior.to_string()),
                ours: ours.to_string(),
            })
        })
        .collect();
    if fields.is_empty() {
        return Ok(None);
    }
    let device = disk.to_string();
    change(&place.directory, V2, Part::Fields { device, fields }).map(Some)
}

fn all_v1(directory: &Path, disk: Number, limits: &Limits) -> Result<Vec<Change>, LimitError> {
    let mut changes = Vec::new();
    for dimension in &DIMENSIONS {
        let Some(ours) = (dimension.asked)(limits) else {
            continue;
        };
        let prior = v1(directory, dimension, disk)?;
        let lower = prior.parse::<u64>().is_ok_and(|p| p == 0 || ours < p);
        if lower {
            let part = Part::Device {
                device: disk.to_string(),
                prior,
                ours: ours.to_string(),
            };
            changes.push(change(directory, dimension.v1, part)?);
        }
    }
    Ok(changes)
}

fn v1(directory: &Path, dimension: &Dimension, disk: Number) -> Result<String, LimitError> {
    let text = read(directory, dimension.v1)?;
    let text = text.ok_or_else(|| not_built(directory, dimension.v1))?;
    let value = line::value(&text, &disk.to_string());
    Ok(value.unwrap_or(V1_NONE).to_owned())
}

fn not_built(directory: &Path, file: &str) -> LimitError {
    LimitError::NotBuilt {
        path: directory.join(file),
        option: "CONFIG_BLK_DEV_THROTTLING",
    }
}

#[cfg(test)]
#[path = "io_tests.rs"]
mod tests;
