//! The kernel's own network emulator (`sch_netem`), in its own numbers.
//!
//! Probabilities are fractions of `u32::MAX`: see [`probability`]. The structures are those of
//! `linux/pkt_sched.h`, in the order and with the meaning of `net/sched/sch_netem.c`.

use super::attributes::{Attributes, TooLong, word};

/// Entries that a distribution table may have (`NETEM_DIST_MAX`).
pub const TABLE_MAX: usize = 16_384;

/// Options of a netem. The default does nothing, and holds no packet either: set
/// [`Netem::limit`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netem {
    /// Packets it holds; the next is lost.
    pub limit: u32,
    /// Delay in ns, up to `i64::MAX`.
    pub delay_ns: u64,
    /// How far the delay strays, in ns, up to `i64::MAX`.
    pub jitter_ns: u64,
    /// How much a delay resembles the one before.
    pub delay_correlation: u32,
    /// Deviations in 1/8192 of the jitter, at most [`TABLE_MAX`]; empty: uniform.
    pub distribution: Vec<i16>,
    /// Which packets are lost.
    pub loss: Loss,
    /// Packets that would be lost are marked instead where their protocol has ECN.
    pub ecn: bool,
    /// Which packets are sent twice.
    pub duplicate: Chance,
    /// Which packets skip the delay.
    pub reorder: Chance,
    /// Of how many packets one may skip it; 0 with a [`Netem::reorder`] is taken as 1.
    pub gap: u32,
    /// Which packets get a flipped bit.
    pub corrupt: Chance,
    /// The rate of the line, if it has one.
    pub rate: Option<Rate>,
    /// Packets leave in slots, if they do.
    pub slot: Option<Slot>,
    /// Seeds its random numbers (Linux 6.6 and later; earlier kernels ignore it).
    pub seed: Option<u64>,
}

/// How often something happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance {
    /// How often.
    pub probability: u32,
    /// How much one decision resembles the one before.
    pub correlation: u32,
}

/// Which packets are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Each for itself, or like the one before.
    Random(Chance),
    /// Four states (`struct tc_netem_gimodel`): 1 received, 2 received within a burst, 3 lost
    /// within a burst, 4 lost alone. `pXY`: from state X to state Y.
    States {
        /// Begins a burst.
        p13: u32,
        /// Ends a burst.
        p31: u32,
        /// From a loss to a reception within a burst.
        p32: u32,
        /// A loss outside of bursts.
        p14: u32,
        /// From a reception to a loss within a burst.
        p23: u32,
    },
    /// Gilbert and Elliott (`struct tc_netem_gemodel`).
    GilbertElliott {
        /// From good to bad.
        p: u32,
        /// From bad to good.
        r: u32,
        /// What *survives* in the bad state. tc takes its complement, `1-h`.
        h: u32,
        /// What is lost in the good state: `1-k` of tc.
        k1: u32,
    },
}

impl Default for Loss {
    fn default() -> Self {
        Self::Random(Chance::default())
    }
}

/// The rate of a line (`struct tc_netem_rate`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second.
    pub bytes_per_second: u64,
    /// Bytes that each packet has on the line beyond its own.
    pub packet_overhead: i32,
    /// Bytes of a cell; 0: no cells.
    pub cell_size: u32,
    /// Bytes that each cell has beyond its own.
    pub cell_overhead: i32,
}

/// Slots in which packets gather (`struct tc_netem_slot`). Times in ns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Shortest time from slot to slot.
    pub min_ns: i64,
    /// Longest time from slot to slot.
    pub max_ns: i64,
    /// Packets of a slot; 0: any.
    pub max_packets: i32,
    /// Bytes of a slot; 0: any.
    pub max_bytes: i32,
    /// With a table: mean time from slot to slot, in place of `min_ns` and `max_ns`.
    pub mean_ns: i64,
    /// With a table: how far it strays.
    pub jitter_ns: i64,
    /// See [`Netem::distribution`].
    pub distribution: Vec<i16>,
}

/// A fraction, 0 to 1, as netem counts it; what lies outside is taken as 0 or 1.
///
/// Rounds as iproute2 does (`lib/utils.c` and `tc/q_netem.c`: `get_percent`).
pub fn probability(fraction: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates at both ends, which is what is meant"
    )]
    let scaled = (fraction * f64::from(u32::MAX)).round_ties_even() as u32;
    scaled
}

impl Netem {
    /// The value of `TCA_OPTIONS`: `struct tc_netem_qopt`, then attributes.
    pub(super) fn options(&self) -> Result<Vec<u8>, TooLong> {
        let mut all = Attributes::after(self.head());
        // 64-bit nanoseconds (Linux 4.15) override the head's fields, which are in ticks.
        if self.delay_ns > 0 {
            all.put(LATENCY64, &signed(self.delay_ns))?;
        }
        if self.jitter_ns > 0 {
            all.put(JITTER64, &signed(self.jitter_ns))?;
        }
        let correlations = [
            self.delay_correlation,
            self.random_loss().correlation,
            self.duplicate.correlation,
        ];
        if correlations != [0; 3] {
            all.put_words(CORR, &correlations)?;
        }
        put_chance(&mut all, REORDER, self.reorder)?;
        if self.ecn {
            all.put_words(ECN, &[1])?;
        }
        put_chance(&mut all, CORRUPT, self.corrupt)?;
        if let Some(slot) = &self.slot {
            if !slot.distribution.is_empty() {
                all.put(SLOT_DIST, &table(&slot.distribution))?;
            }
            all.put(SLOT, &slot.bytes())?;
        }
        self.put_loss(&mut all)?;
        if let Some(rate) = self.rate {
            // The kernel takes the wide one if it is there (`netem_change`).
            if rate.bytes_per_second > u64::from(u32::MAX) {
                all.put(RATE64, &rate.bytes_per_second.to_ne_bytes())?;
            }
            all.put(RATE, &rate.bytes())?;
        }
        if !self.distribution.is_empty() {
            all.put(DELAY_DIST, &table(&self.distribution))?;
        }
        if let Some(seed) = self.seed {
            all.put(PRNG_SEED, &seed.to_ne_bytes())?;
        }
        all.finish()
    }

    /// What of it the kernel's own `options` do not say, in words.
    pub(super) fn differs(&self, options: &[u8]) -> Option<String> {
        let found = word(options, LIMIT_AT);
        if found == Some(self.limit) {
            return None;
        }
        let found = found.map_or("none".to_owned(), |found| found.to_string());
        Some(format!(
            "a netem with the limit {found} instead of {}",
            self.limit
        ))
    }

    /// `struct tc_netem_qopt`: latency, limit, loss, gap, duplicate, jitter.
    fn head(&self) -> Vec<u8> {
        // As tc does: without a gap the kernel would reorder nothing.
        let gap = if self.reorder.probability > 0 {
            self.gap.max(1)
        } else {
            self.gap
        };
        [
            0,
            self.limit,
            self.random_loss().probability,
            gap,
            self.duplicate.probability,
            0,
        ]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect()
    }

    const fn random_loss(&self) -> Chance {
        match self.loss {
            Loss::Random(chance) => chance,
            Loss::States { .. } | Loss::GilbertElliott { .. } => Chance {
                probability: 0,
                correlation: 0,
            },
        }
    }

    fn put_loss(&self, all: &mut Attributes) -> Result<(), TooLong> {
        let mut model = Attributes::default();
        match self.loss {
            Loss::Random(_) => return Ok(()),
            Loss::States {
                p13,
                p31,
                p32,
                p14,
                p23,
            } => model.put_words(LOSS_GI, &[p13, p31, p32, p14, p23])?,
            Loss::GilbertElliott { p, r, h, k1 } => model.put_words(LOSS_GE, &[p, r, h, k1])?,
        }
        all.nest(LOSS, &model)
    }
}

impl Rate {
    fn bytes(self) -> Vec<u8> {
        let narrow = u32::try_from(self.bytes_per_second).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        bytes.extend(narrow.to_ne_bytes());
        bytes.extend(self.packet_overhead.to_ne_bytes());
        bytes.extend(self.cell_size.to_ne_bytes());
        bytes.extend(self.cell_overhead.to_ne_bytes());
        bytes
    }
}

impl Slot {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.min_ns.to_ne_bytes());
        bytes.extend(self.max_ns.to_ne_bytes());
        bytes.extend(self.max_packets.to_ne_bytes());
        bytes.extend(self.max_bytes.to_ne_bytes());
        bytes.extend(self.mean_ns.to_ne_bytes());
        bytes.extend(self.jitter_ns.to_ne_bytes());
        bytes
    }
}

fn put_chance(all: &mut Attributes, kind: u16, chance: Chance) -> Result<(), TooLong> {
    if chance.probability == 0 {
        return Ok(());
    }
    all.put_words(kind, &[chance.probability, chance.correlation])
}

fn table(entries: &[i16]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_ne_bytes()).collect()
}

fn signed(ns: u64) -> [u8; 8] {
    i64::try_from(ns).unwrap_or(i64::MAX).to_ne_bytes()
}

/// Where the limit stands in the options.
const LIMIT_AT: usize = 4;
const CORR: u16 = 1;
const DELAY_DIST: u16 = 2;
const REORDER: u16 = 3;
const CORRUPT: u16 = 4;
const LOSS: u16 = 5;
const RATE: u16 = 6;
const ECN: u16 = 7;
const RATE64: u16 = 8;
const LATENCY64: u16 = 10;
const JITTER64: u16 = 11;
const SLOT: u16 = 12;
const SLOT_DIST: u16 = 13;
const PRNG_SEED: u16 = 14;
const LOSS_GI: u16 = 1;
const LOSS_GE: u16 = 2;

#[cfg(test)]
#[path = "netem_tests.rs"]
mod tests;
