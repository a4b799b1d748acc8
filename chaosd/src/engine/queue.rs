//! A queue of ours that is to let go what it holds: is anything left in it?
//!
//! Invariant: it counts as empty only when what left it last has had the time to arrive.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use crate::{bpf::Plane, netlink::qdisc::Gauge};

/// How often a queue is looked at, and how long a packet may be on its way between the queue and the
/// program at its far end: deleting the device would lose it there.
pub(super) const LOOK: Duration = Duration::from_millis(5);
/// The longest that a netem is waited for: it cannot be told to let go.
const NETEM_PATIENCE: Duration = Duration::from_secs(2);
/// What the slowest look at a queue, and a late clock, may add to the time that it should take.
const GRACE: Duration = Duration::from_millis(300);
/// What the hold queue takes for the packets of a run that is over: the rest of a chunk, and then
/// their order ([`chaosd_ebpf::HURRY`]).
const HOLD_PATIENCE: Duration = Duration::from_nanos(chaosd_ebpf::CHUNKS_NS[3] + 157_000_000);

/// A queue that nothing is steered into any more.
pub(super) struct Queue {
    what: What,
    gauge: Option<Gauge>,
    until: Instant,
    /// Nothing was in it since.
    empty: Option<Instant>,
    left: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Netem,
    Hold,
}

/// How it stands with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing is in it, nor behind it.
    Nothing,
    /// Something may be.
    Some,
    /// So many packets are, and it is too late for them.
    Lost(u64),
}

impl Queue {
    /// Of a netem, by the ifindex of its device.
    pub fn netem(plane: &Plane, device: u32) -> Self {
        Self::new(What::Netem, plane, device, NETEM_PATIENCE)
    }

    /// The hold queue of this plane, if it has one.
    pub fn hold(plane: &Plane) -> Option<Self> {
        let device = plane.hold_device()?;
        Some(Self::new(What::Hold, plane, device, HOLD_PATIENCE + GRACE))
    }

    fn new(what: What, plane: &Plane, device: u32, patience: Duration) -> Self {
        Self {
            what,
            gauge: Gauge::open(plane.netns().fd.as_fd(), device).ok(),
            until: Instant::now() + patience,
            empty: None,
            left: 0,
        }
    }

    /// Looks at it; never waits. A device that is gone holds nothing.
    pub fn look(&mut self, plane: &Plane) -> Left {
        if self.what == What::Hold && held(plane) == 0 {
            return Left::Nothing;
        }
        let stats = self.gauge.as_mut().and_then(|gauge| gauge.read().ok());
        let Some(stats) = stats else {
            return Left::Nothing;
        };
        let now = Instant::now();
        self.left = stats.packets.into();
        if self.left > 0 {
            self.empty = None;
            if now < self.until {
                return Left::Some;
            }
            return Left::Lost(self.left);
        }
        if stats.sent_packets == 0 || now >= *self.empty.get_or_insert(now) + LOOK {
            return Left::Nothing;
        }
        Left::Some
    }
}

/// Packets that went into the hold queue and have not come out of it.
pub(super) fn held(plane: &Plane) -> u64 {
    plane
        .held()
        .map_or(0, |(entered, left)| entered.saturating_sub(left))
}
