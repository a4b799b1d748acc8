//! How much single slices differ.

/// Of the load of each whole slice, as shares of the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many slices.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The sum of squared distances from the mean (Welford).
    pub(super) squares: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    pub(super) fn add(&mut self, share: f64) {
        if self.count == 0 {
            (self.least, self.most) = (share, share);
        }
        self.count += 1;
        let off = share - self.mean;
        self.mean += off / super::demand::float(self.count);
        self.squares += off * (share - self.mean);
        self.least = self.least.min(share);
        self.most = self.most.max(share);
    }

    /// The deviation of a sample; 0 of fewer than two.
    pub fn deviation(&self) -> f64 {
        match self.count {
            0 | 1 => 0.0,
            n => (self.squares / super::demand::float(n - 1)).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn mean_deviation_and_ends_are_those_of_the_sample() {
        let mut spread = Spread::default();
        assert!(spread.deviation() <= 0.0);
        for share in [0.2, 0.4, 0.4, 0.4, 0.5, 0.5, 0.7, 0.9] {
            spread.add(share);
        }
        assert_eq!(spread.count, 8);
        assert!((spread.mean - 0.5).abs() < 1e-12);
        assert!((spread.deviation() - (0.32_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert!((spread.least - 0.2).abs() < 1e-12 && (spread.most - 0.9).abs() < 1e-12);
    }
}
