//! Loss that nobody asked for: what went into a device of ours and did not come out of it.

use std::{os::fd::AsFd, time::Duration};

use crate::{
    bpf::{Plane, PlaneError},
    netlink::qdisc,
};

/// A packet between a queue and the program at its far end is in neither: it is there a moment later.
const MOMENT: Duration = Duration::from_millis(2);
/// How many moments it is given.
const MOMENTS: u32 = 5;

/// How things stood when a run was armed.
pub(super) struct Before {
    /// Segments into and out of the segmenting pair.
    detoured: (u64, u64),
    /// Missing from the hold queue.
    missing: u64,
}

impl Before {
    pub fn now(plane: &Plane) -> Result<Self, PlaneError> {
        Ok(Self {
            detoured: plane.detoured()?,
            missing: missing(plane, false)?,
        })
    }

    /// Segments that were lost in the segmenting pair since, of how many.
    pub fn lost_in_detour(&self, plane: &Plane) -> Option<(u64, u64)> {
        let (entered, left) = plane.detoured().ok()?;
        let entered = entered.saturating_sub(self.detoured.0);
        let left = left.saturating_sub(self.detoured.1);
        let lost = entered.saturating_sub(left);
        (lost > 0).then_some((lost, entered))
    }

    /// Buffers that were lost in the hold queue since, though it had taken them: refused when they
    /// went round, or dropped by a receive queue that was full (`net.core.netdev_max_backlog`).
    /// `goes`: and what is in the queue still, which goes now.
    pub fn lost_in_hold(&self, plane: &Plane, goes: bool) -> u64 {
        missing(plane, goes).map_or(0, |now| now.saturating_sub(self.missing))
    }
}

/// What has entered the hold queue, has not left it, and is not in it, or is not to come out of it.
fn missing(plane: &Plane, goes: bool) -> Result<u64, PlaneError> {
    let device = plane.hold_device().filter(|_| !goes);
    let Some(device) = device else {
        let (entered, left) = plane.held()?;
        return Ok(entered.saturating_sub(left));
    };
    let Ok(mut queue) = qdisc::Gauge::open(plane.netns().fd.as_fd(), device) else {
        return Ok(0);
    };
    let mut least = u64::MAX;
    for _ in 0..MOMENTS {
        let (entered, left) = plane.held()?;
        let Ok(waiting) = queue.read() else {
            return Ok(0);
        };
        let inside = u64::from(waiting.packets);
        least = least.min(entered.saturating_sub(left).saturating_sub(inside));
        if least == 0 {
            break;
        }
        std::thread::sleep(MOMENT);
    }
    Ok(least)
}
