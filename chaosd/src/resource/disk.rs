//! `disk`: slower I/O for a cgroup on the disks of a path.

mod passed;

use std::sync::Arc;

use crate::{
    cgroup::{
        Change, Controller, Version,
        limits::{LimitError, io},
    },
    device::{self, Location},
    plan::{Cgroup, Scope},
    profile::{Disk, units::Size},
};

use super::{
    BindError, Bound, ResourceFault,
    limit::{self, Limit, Watch},
};
use passed::Passed;

impl ResourceFault for Disk {
    fn what(&self) -> String {
        let limits = [
            (self.read_bps, "reads", "/s"),
            (self.write_bps, "writes", "/s"),
        ];
        let rates = limits
            .into_iter()
            .filter_map(|(size, what, per)| Some(format!("{what} to {}{per}", size?)));
        let counts = [(self.read_iops, "reads"), (self.write_iops, "writes")];
        let counts = counts
            .into_iter()
            .filter_map(|(count, what)| Some(format!("{what} to {} per second", count?)));
        let all: Vec<String> = rates.chain(counts).collect();
        format!(
            "holds {} on the disk of {}",
            all.join(" and "),
            self.path.display()
        )
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        let Some(cgroup) = &scope.cgroup else {
            return Err(BindError(
                "disk holds the I/O of a cgroup: target one (--cgroup), or a process of one (--pid)".into(),
            ));
        };
        let location = device::of(&self.path).map_err(|e| BindError(crate::undo::chain(&e)))?;
        limit::bind(Rates {
            cgroup: cgroup.clone(),
            location,
            limits: io::Limits {
                read_bps: self.read_bps.map(Size::bytes),
                write_bps: self.write_bps.map(Size::bytes),
                read_iops: self.read_iops.map(u64::from),
                write_iops: self.write_iops.map(u64::from),
            },
        })
    }
}

#[derive(Debug)]
struct Rates {
    cgroup: Cgroup,
    location: Location,
    limits: io::Limits,
}

impl Limit for Rates {
    fn changes(&self) -> Result<Vec<Change>, LimitError> {
        let mut changes: Vec<Change> = Vec::new();
        for disk in &self.location.disks {
            for change in io::prepare(&self.cgroup, disk.number, &self.limits)? {
                // Each disk wants the same controller.
                if !changes.contains(&change) {
                    changes.push(change);
                }
            }
        }
        Ok(changes)
    }

    fn mechanism(&self) -> String {
        format!("the block layer's throttle, {}", self.location)
    }

    fn notes(&self) -> Vec<String> {
        let file_system = self.location.file_system.as_deref();
        let escapes = io::escapes(&self.cgroup, file_system).unwrap_or_default();
        let mut notes: Vec<String> = escapes.into_iter().map(str::to_owned).collect();
        if self.limits.write_iops.is_some() {
            notes.push(
                "counts flushes as writes, as the kernel does: a write with fsync takes two".into(),
            );
        }
        notes
    }

    fn watch(&self) -> Box<dyn Watch> {
        let place = Controller::Io.place(&self.cgroup);
        let (version, directory) = match place {
            Ok(place) => (place.version, place.directory),
            Err(_) => (Version::V2, self.cgroup.path.clone()),
        };
        let disks = self.location.disks.iter().map(|disk| disk.number);
        Box::new(Passed::new(version, &directory, disks, self.limits))
    }
}
