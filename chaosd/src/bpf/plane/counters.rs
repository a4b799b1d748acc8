//! What the programs counted.

use aya::maps::{MapData, PerCpuArray};

use super::{Plane, PlaneError, map_error};
use crate::{report::Count, sys::bpf as pod};

impl Plane {
    /// What a fault counted so far, per direction (egress, ingress); `seen` is 0.
    pub fn counts(&self, n: u8) -> Result<[Count; 2], PlaneError> {
        let mut counts = [Count::default(); 2];
        for (direction, count) in (0..).zip(&mut counts) {
            let values = self
                .object
                .counters
                .get(&(u32::from(n) * 2 + direction), 0)
                .map_err(map_error("COUNTERS"))?;
            for v in values.iter() {
                count.matched += v.0.matched;
                count.affected += v.0.affected;
                count.tail_dropped += v.0.tail_dropped;
                count.overflow += v.0.overflow;
            }
        }
        Ok(counts)
    }

    /// Packets that passed the interfaces of fault `n` while the plane was armed (egress, ingress).
    pub fn seen(&self, n: u8) -> Result<[u64; 2], PlaneError> {
        let mut seen = [0; 2];
        for a in self.attached.values() {
            for (direction, seen) in (0..).zip(&mut seen) {
                if a.bits[direction as usize].has(n) {
                    let values = self
                        .object
                        .seen
                        .get(&(a.slot << 1 | direction), 0)
                        .map_err(map_error("SEEN"))?;
                    *seen += values.iter().sum::<u64>();
                }
            }
        }
        Ok(seen)
    }

    /// Starts the count of a slot at 0: another interface may have had it.
    pub(super) fn forget_seen(&mut self, slot: u32) -> Result<(), PlaneError> {
        for direction in 0..2 {
            let none = aya::maps::PerCpuValues::try_from(vec![0u64; cpus()?])
                .map_err(|e| PlaneError::Map("SEEN", e))?;
            self.object
                .seen
                .set(slot << 1 | direction, none, 0)
                .map_err(map_error("SEEN"))?;
        }
        Ok(())
    }

    /// Segments that went into the detour and came out of it.
    pub fn detoured(&self) -> Result<(u64, u64), PlaneError> {
        both(&self.object.detoured, "DETOURED")
    }

    /// Buffers that went into the hold queue and left it.
    pub fn held(&self) -> Result<(u64, u64), PlaneError> {
        both(&self.object.held, "HELD")
    }

    /// Starts the counters of fault `n` at 0.
    pub(super) fn reset_counts(&mut self, n: u8) -> Result<(), PlaneError> {
        for direction in 0..2 {
            let none = vec![pod::Counters(chaosd_ebpf::Counters::default()); cpus()?];
            let none = aya::maps::PerCpuValues::try_from(none)
                .map_err(|e| PlaneError::Map("COUNTERS", e))?;
            self.object
                .counters
                .set(u32::from(n) * 2 + direction, none, 0)
                .map_err(map_error("COUNTERS"))?;
        }
        Ok(())
    }
}

fn both(map: &PerCpuArray<MapData, u64>, name: &'static str) -> Result<(u64, u64), PlaneError> {
    let sum = |i: u32| {
        let values = map.get(&i, 0).map_err(map_error(name))?;
        Ok::<u64, PlaneError>(values.iter().sum())
    };
    // What left is read first: it has gone in before.
    let left = sum(1)?;
    Ok((sum(0)?, left))
}

fn cpus() -> Result<usize, PlaneError> {
    aya::util::nr_cpus().map_err(|(file, e)| {
        tracing::debug!("failed to read {file}");
        PlaneError::Map("COUNTERS", e)
    })
}
