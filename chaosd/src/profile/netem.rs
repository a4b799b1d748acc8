//! The checked form of `netem`: the kernel's own emulator on matched packets, by the names of
//! tc-netem(8).
//!
//! Serialized it reads as a profile writes it.

use std::time::Duration;

use serde::Serialize;

use super::{
    holding::Distribution,
    units::{Percent, Rate, Size},
};

/// `netem`: at least one of its parts is given.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Netem {
    /// Packets wait.
    #[serde(flatten)]
    pub delay: Option<NetemDelay>,
    /// Packets are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<NetemLoss>,
    /// Marks packets that support it instead of losing them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ecn: bool,
    /// Packets come twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<Correlated>,
    /// A bit of packets flips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Correlated>,
    /// Packets are sent at once while others wait.
    #[serde(flatten)]
    pub reorder: Option<NetemReorder>,
    /// Packets leave no faster than this.
    #[serde(flatten)]
    pub rate: Option<NetemRate>,
    /// Packets leave together, now and then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// Packets in the queue at most: the next is lost.
    pub limit: u32,
}

/// How long packets wait.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetemDelay {
    /// The mean.
    #[serde(rename = "delay", serialize_with = "super::units::serialize_duration")]
    pub time: Duration,
    /// Half the range when the distribution is uniform, else one standard deviation.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub jitter: Duration,
    /// With the packet before.
    #[serde(rename = "delay-correlation")]
    pub correlation: Percent,
    /// By which law (default: uniform, as the kernel has it); there is none without jitter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// A share of packets, and how it hangs together from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Correlated {
    /// Of packets.
    pub rate: Percent,
    /// With the packet before.
    pub correlation: Percent,
}

/// Packets that are sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetemReorder {
    /// How many.
    pub reorder: Correlated,
    /// Every so many packets at most (default 1: any).
    pub gap: u32,
}

/// Which packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetemLoss {
    /// The Markov chain of four states.
    State(FourStates),
    /// The model of Gilbert and Elliott.
    Gemodel(Gemodel),
    /// Each by itself.
    #[serde(untagged)]
    Random(Correlated),
}

/// Chances, per packet, of a change of state: 1 good, 2 good within a burst, 3 a burst's losses,
/// 4 a lone loss. The defaults are those of tc(8).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FourStates {
    /// From 1 to 3.
    pub p13: Percent,
    /// From 3 to 1 (default: 100 % less `p13`).
    pub p31: Percent,
    /// From 3 to 2 (default: 0 %).
    pub p32: Percent,
    /// From 2 to 3 (default: 100 %).
    pub p23: Percent,
    /// From 1 to 4 (default: 0 %).
    pub p14: Percent,
}

/// The model of Gilbert and Elliott as tc(8) has it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gemodel {
    /// From good to bad, per packet.
    pub p: Percent,
    /// From bad to good, per packet (default: 100 % less `p`).
    pub r: Percent,
    /// Loss in the bad state (default: 100 %).
    #[serde(rename = "1-h")]
    pub lost_in_bad: Percent,
    /// Loss in the good state (default: 0 %).
    #[serde(rename = "1-k")]
    pub lost_in_good: Percent,
}

/// A link: `packet-overhead` and `cell-overhead` may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NetemRate {
    /// Of the link.
    pub rate: Rate,
    /// Bytes that each packet is longer than it seems.
    pub packet_overhead: i32,
    /// Bytes of payload in a cell; 0: there are none.
    pub cell_size: u32,
    /// Bytes that each cell is longer.
    pub cell_overhead: i32,
}

/// Packets are collected, and leave together when a slot comes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Slot {
    /// When the next one comes.
    #[serde(flatten)]
    pub every: Interval,
    /// Packets that one lets through; 0: all.
    pub packets: u32,
    /// Bytes that one lets through; 0: all.
    pub bytes: Size,
}

/// The time from slot to slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Interval {
    /// Any time of a range is as likely.
    #[serde(rename_all = "kebab-case")]
    Range {
        /// The shortest.
        #[serde(serialize_with = "super::units::serialize_duration")]
        min_delay: Duration,
        /// The longest (default: the shortest).
        #[serde(serialize_with = "super::units::serialize_duration")]
        max_delay: Duration,
    },
    /// By a law.
    Law {
        /// Which: never uniform, for which `Range` is there.
        distribution: Distribution,
        /// The mean.
        #[serde(serialize_with = "super::units::serialize_duration")]
        delay: Duration,
        /// One standard deviation.
        #[serde(serialize_with = "super::units::serialize_duration")]
        jitter: Duration,
    },
}

/// Packets per second that a queue without a rate must have room for.
const PACKETS_PER_SECOND: u128 = 1_000_000;
/// Bytes of the smallest frame.
const SMALLEST_FRAME: u128 = 64;
/// Deviations that jitter adds at most: a 4,096th of a normal distribution lies beyond 3.5.
const DEVIATIONS: u32 = 4;
/// Packets of netem's own queue when nothing waits (`net/sched/sch_netem.c` has this default).
const LEAST_LIMIT: u128 = 1000;

impl Netem {
    /// The longest that packets wait by `delay` and `slot`, as good as always.
    pub fn longest_wait(&self) -> Duration {
        let wide = |time: Duration, jitter: Duration| {
            time.saturating_add(jitter.saturating_mul(DEVIATIONS))
        };
        let delay = self
            .delay
            .as_ref()
            .map_or(Duration::ZERO, |d| wide(d.time, d.jitter));
        let slot = match self.slot.as_ref().map(|slot| &slot.every) {
            None => Duration::ZERO,
            Some(Interval::Range { max_delay, .. }) => *max_delay,
            Some(Interval::Law { delay, jitter, .. }) => wide(*delay, *jitter),
        };
        delay.saturating_add(slot)
    }

    /// The limit when none is given: what comes while packets wait fits in, so that a delay does not
    /// turn into loss (netem's own default of 1000 packets loses four fifths of 5,000 packets per
    /// second through one second).
    pub(super) fn default_limit(&self) -> u32 {
        let per_second = self.rate.map_or(PACKETS_PER_SECOND, |link| {
            (u128::from(link.rate.bytes()) / SMALLEST_FRAME).min(PACKETS_PER_SECOND)
        });
        let waiting = self.longest_wait().as_nanos() * per_second / 1_000_000_000;
        u32::try_from(LEAST_LIMIT + waiting).unwrap_or(u32::MAX)
    }
}
