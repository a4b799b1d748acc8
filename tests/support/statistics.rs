//! Whether a count is what a rate should give.

/// How many standard deviations `observed` of `n` trials lies from the mean of a binomial
/// distribution with probability `p`. Infinite when `p` allows no other count than the mean.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn sigmas(n: u64, p: f64, observed: u64) -> f64 {
    let (n, observed) = (n as f64, observed as f64);
    let distance = (observed - n * p).abs();
    let deviation = (n * p * (1.0 - p)).sqrt();
    if distance == 0.0 {
        0.0
    } else {
        distance / deviation
    }
}

/// Whether `observed` of `n` trials lies within `limit` standard deviations of `n * p`.
pub fn within_sigmas(n: u64, p: f64, observed: u64, limit: f64) -> bool {
    sigmas(n, p, observed) <= limit
}

/// Fails unless `observed` of `n` trials lies within three standard deviations.
///
/// # Panics
/// With the figures, when it does not.
#[track_caller]
pub fn assert_rate(what: &str, n: u64, p: f64, observed: u64) {
    let distance = sigmas(n, p, observed);
    assert!(
        distance <= 3.0,
        "{what}: {observed} of {n} at {p}: {distance:.1} standard deviations off"
    );
}

#[cfg(test)]
mod tests {
    use super::{sigmas, within_sigmas};

    #[test]
    fn a_count_is_judged_by_its_distance_from_the_mean() {
        // Mean 20,000, deviation 134.2.
        assert!(within_sigmas(200_000, 0.1, 20_400, 3.0));
        assert!(!within_sigmas(200_000, 0.1, 20_403, 3.0));
        assert!(!within_sigmas(200_000, 0.1, 0, 3.0));
    }

    #[test]
    fn certainty_allows_one_count_only() {
        assert!(within_sigmas(100, 1.0, 100, 3.0));
        assert!(sigmas(100, 1.0, 99).is_infinite());
        assert!(within_sigmas(100, 0.0, 0, 3.0));
    }
}
