//! `disk`: slower I/O for a cgroup on the disks of a path.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use crate::{
    cgroup::{
        Change, Controller, Version,
        limits::{LimitError, io},
    },
    device::{self, Location, Number},
    plan::{Cgroup, Scope},
    profile::{Disk, units::Size},
    report::Verdict,
};

use super::{
    BindError, Bound, Effect, ResourceFault,
    limit::{self, Limit, Watch},
};

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
        let place = Controller::Io.place(&self.cgroup).ok();
        let mut bytes = Bytes {
            stat: place.map(|place| {
                let file = match place.version {
                    Version::V2 => "io.stat",
                    Version::V1 => "blkio.throttle.io_service_bytes_recursive",
                };
                place.directory.join(file)
            }),
            disks: self.location.disks.iter().map(|disk| disk.number).collect(),
            before: 0,
        };
        bytes.before = bytes.read();
        Box::new(bytes)
    }
}

/// Bytes that the cgroup read and wrote on the disks.
struct Bytes {
    stat: Option<PathBuf>,
    disks: Vec<Number>,
    before: u64,
}

impl Bytes {
    fn read(&self) -> u64 {
        let text = self
            .stat
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok());
        let by_disk = transferred(&text.unwrap_or_default());
        let of = |disk: &Number| by_disk.get(&disk.to_string()).copied();
        self.disks.iter().filter_map(of).sum()
    }
}

/// By disk: of `8:0 rbytes=1 wbytes=2 ...` (io.stat), or of `8:0 Read 1` and `8:0 Write 2` (v1).
fn transferred(text: &str) -> BTreeMap<String, u64> {
    let mut by_disk: BTreeMap<String, u64> = BTreeMap::new();
    for line in text.lines() {
        let Some((disk, rest)) = line.split_once(' ') else {
            continue;
        };
        let v2 = rest.split(' ').filter_map(|word| {
            word.strip_prefix("rbytes=")
                .or(word.strip_prefix("wbytes="))
        });
        let v1 = [rest.strip_prefix("Read "), rest.strip_prefix("Write ")];
        let bytes = v2.chain(v1.into_iter().flatten());
        let bytes: u64 = bytes.filter_map(|bytes| bytes.parse::<u64>().ok()).sum();
        *by_disk.entry(disk.to_owned()).or_default() += bytes;
    }
    by_disk
}

impl Watch for Bytes {
    fn effect(&mut self, _: bool, ever: bool) -> (Effect, Verdict) {
        let bytes = self.read().saturating_sub(self.before);
        let effect = Effect {
            told: format!("let {bytes} bytes of the target pass"),
            asked: None,
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            reached: Some(bytes as f64),
            unit: "bytes".into(),
        };
        let verdict = if ever && bytes > 0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_both_forms() {
        let v2 = transferred("8:0 rbytes=10 wbytes=3 rios=1 wios=1 dbytes=7\n7:1 rbytes=1\n");
        assert_eq!((v2["8:0"], v2["7:1"]), (13, 1));
        let v1 = transferred("8:0 Read 10\n8:0 Write 3\n8:0 Sync 13\n8:0 Total 13\nTotal 13\n");
        assert_eq!(v1["8:0"], 13);
    }
}
