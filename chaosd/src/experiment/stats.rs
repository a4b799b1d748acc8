//! Order statistics, and how sure a difference of two medians is.
//!
//! The interval is a percentile bootstrap (Efron and Tibshirani, 1993, chapter 13). A resample's
//! median is drawn without the resample: the k-th smallest of n uniform draws has the distribution
//! Beta(k, n + 1 - k), so that a draw costs the same for 30 samples and for 100,000.
//!
//! Samples that follow each other are alike more often than not, which a resample does not know: it
//! would find effects where there are none. So the deviations of each series are stretched by
//! `sqrt((1 + r) / (1 - r))`, `r` being the correlation of its ranks with those one sample later, where
//! that is above 0. What target and control share beyond that widens the interval and finds nothing
//! that is not there.

use std::f64::consts::TAU;

use chaosd_ebpf::{STEP, mix};

/// Resamples of an interval.
const RESAMPLES: usize = 2_000;
/// With fewer samples on a side, nothing is said: the interval would promise more than it keeps.
pub(crate) const FEWEST: usize = 8;
/// A series that goes on as it was more than this is no set of samples.
const MOST_ALIKE: f64 = 0.95;

/// The difference of two medians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Difference {
    /// The first median less the second.
    pub(crate) shift: f64,
    /// With 95 % confidence it is not below this,
    pub(crate) low: f64,
    /// nor above this.
    pub(crate) high: f64,
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

/// The numbers of these, smallest first.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len().is_multiple_of(2) {
        Some(f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper))
    } else {
        Some(upper)
    }
}

/// The smallest value that this share of the values, from 0 to 1, does not pass.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = index(
        count(sorted.len()) * share.clamp(0.0, 1.0) - 1e-9,
        sorted.len(),
    );
    sorted.get(rank).copied()
}

/// By how much the median of `a` is above that of `b`; both in the order in which they were seen.
/// `None` with too few of either. The same seed gives the same interval.
pub(crate) fn difference(a: &[f64], b: &[f64], seed: u64) -> Option<Difference> {
    if a.len() < FEWEST || b.len() < FEWEST {
        return None;
    }
    let mut random = Random(seed);
    let (a, b) = (Series::new(a)?, Series::new(b)?);
    let drawn = (0..RESAMPLES).map(|_| a.draw(&mut random) - b.draw(&mut random));
    let drawn = sorted(drawn);
    Some(Difference {
        shift: a.median - b.median,
        low: quantile(&drawn, 0.025)?,
        high: quantile(&drawn, 0.975)?,
    })
}

/// One side of a comparison.
struct Series {
    sorted: Vec<f64>,
    median: f64,
    stretch: f64,
}

impl Series {
    fn new(values: &[f64]) -> Option<Self> {
        let alike = persistence(values);
        let sorted = sorted(values.iter().copied());
        Some(Self {
            median: median(&sorted)?,
            sorted,
            stretch: ((1.0 + alike) / (1.0 - alike)).sqrt(),
        })
    }

    /// The median of a resample, as far from ours as what follows each other is alike.
    fn draw(&self, random: &mut Random) -> f64 {
        let n = self.sorted.len();
        let at = |share: f64| {
            let value = self.sorted.get(index(count(n) * share, n));
            value.copied().unwrap_or(self.median)
        };
        let half = count(n / 2);
        let drawn = if n.is_multiple_of(2) {
            // Below the (k+1)-th smallest, the k-th is the greatest of k uniform draws.
            let upper = random.beta(half + 1.0, half);
            let lower = upper * random.unit().powf(1.0 / half);
            f64::midpoint(at(lower), at(upper))
        } else {
            at(random.beta(half + 1.0, half + 1.0))
        };
        self.median + (drawn - self.median) * self.stretch
    }
}

/// The whole part of `position` as an index into `n` elements.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is cut to the range of the integer, which is what is wanted"
)]
fn index(position: f64, n: usize) -> usize {
    (position.max(0.0) as usize).min(n.saturating_sub(1))
}

/// How much a sample is like the one before: the correlation of their ranks, corrected for what few
/// samples make of it (Kendall 1954), and 0 where it is not above.
fn persistence(values: &[f64]) -> f64 {
    let ranks = ranks(values);
    let n = count(ranks.len());
    let mean = f64::midpoint(n, 1.0);
    let all: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    if all == 0.0 || n <= 4.0 {
        return 0.0;
    }
    let pairs = ranks.iter().zip(ranks.iter().skip(1));
    let next: f64 = pairs.map(|(a, b)| (a - mean) * (b - mean)).sum();
    let raw = next / all;
    ((n * raw + 1.0) / (n - 4.0)).clamp(0.0, MOST_ALIKE)
}

/// Each value's place among all, from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| f64::total_cmp(&values[*a], &values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for same in order.chunk_by(|a, b| f64::total_cmp(&values[*a], &values[*b]).is_eq()) {
        let rank = count(first) + f64::midpoint(1.0, count(same.len()));
        for at in same {
            ranks[*at] = rank;
        }
        first += same.len();
    }
    ranks
}

/// Draws that a seed repeats: `SplitMix64` (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    /// Between 0 and 1, neither of them.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a float holds")]
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(STEP);
        ((mix(self.0) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// With mean 0 and deviation 1 (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// A gamma variate; `shape` is 1 at least (Marsaglia and Tsang, 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (a, b) = (self.gamma(a), self.gamma(b));
        a / (a + b)
    }
}

#[cfg(test)]
mod tests;
