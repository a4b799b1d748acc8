//! A netem fault in the kernel's numbers.

use std::time::Duration;

use crate::{
    netlink::qdisc::netem::{self, Chance, Loss, Rate, Slot, probability},
    profile::{Correlated, Interval, NetemLoss, units::Percent},
};

use super::{NetemRule, timeline::ns};

impl NetemRule {
    /// What its device's queue is given. `seed` makes it repeat itself (Linux 6.6 and later).
    pub fn queue(&self, seed: Option<u64>) -> netem::Netem {
        let n = &self.netem;
        let distribution = self.delay_table.as_deref().unwrap_or_default().to_vec();
        let (delay, jitter, correlation) = n
            .delay
            .as_ref()
            .map_or((Duration::ZERO, Duration::ZERO, Percent::NONE), |d| {
                (d.time, d.jitter, d.correlation)
            });
        netem::Netem {
            limit: n.limit,
            delay_ns: ns(delay),
            jitter_ns: ns(jitter),
            delay_correlation: share(correlation),
            distribution,
            loss: n.loss.map_or_else(Loss::default, loss),
            ecn: n.ecn,
            duplicate: chance(n.duplicate),
            reorder: chance(n.reorder.map(|r| r.reorder)),
            gap: n.reorder.map_or(0, |r| r.gap),
            corrupt: chance(n.corrupt),
            rate: n.rate.map(|link| Rate {
                bytes_per_second: link.rate.bytes(),
                packet_overhead: link.packet_overhead,
                cell_size: link.cell_size,
                cell_overhead: link.cell_overhead,
            }),
            slot: n.slot.as_ref().map(|slot| {
                let own = Slot {
                    max_packets: int(slot.packets),
                    max_bytes: int(slot.bytes.bytes()),
                    ..Slot::default()
                };
                match &slot.every {
                    Interval::Range {
                        min_delay,
                        max_delay,
                    } => Slot {
                        min_ns: signed(*min_delay),
                        max_ns: signed(*max_delay),
                        ..own
                    },
                    Interval::Law { delay, jitter, .. } => Slot {
                        mean_ns: signed(*delay),
                        jitter_ns: signed(*jitter),
                        distribution: self.slot_table.as_deref().unwrap_or_default().to_vec(),
                        ..own
                    },
                }
            }),
            seed,
        }
    }
}

fn loss(loss: NetemLoss) -> Loss {
    match loss {
        NetemLoss::Random(part) => Loss::Random(chance(Some(part))),
        NetemLoss::State(s) => Loss::States {
            p13: share(s.p13),
            p31: share(s.p31),
            p32: share(s.p32),
            p14: share(s.p14),
            p23: share(s.p23),
        },
        NetemLoss::Gemodel(g) => Loss::GilbertElliott {
            p: share(g.p),
            r: share(g.r),
            // The kernel counts what survives.
            h: u32::MAX - share(g.lost_in_bad),
            k1: share(g.lost_in_good),
        },
    }
}

fn chance(part: Option<Correlated>) -> Chance {
    part.map_or_else(Chance::default, |part| Chance {
        probability: share(part.rate),
        correlation: share(part.correlation),
    })
}

fn share(percent: Percent) -> u32 {
    probability(percent.get() / 100.0)
}

fn signed(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A bound of the kernel's; the largest it knows is as good as none.
fn int(bound: impl TryInto<i32>) -> i32 {
    bound.try_into().unwrap_or(i32::MAX)
}
