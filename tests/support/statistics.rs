//! Whether a count is what a rate should give, and what times come to.

use std::time::Duration;

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

/// The middle one.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    match sorted.get(sorted.len() / 2) {
        Some(median) => *median,
        None => panic!("no time was measured"),
    }
}

/// The mean, and the standard deviation, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn mean_and_deviation(times: &[Duration]) -> (f64, f64) {
    let ms = || times.iter().map(|time| time.as_secs_f64() * 1e3);
    let count = times.len().max(1) as f64;
    let mean = ms().sum::<f64>() / count;
    let variance = ms().map(|time| (time - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{mean_and_deviation, median, sigmas, within_sigmas};

    #[test]
    fn times_come_to_a_middle_a_mean_and_a_spread() {
        let times = [1, 9, 2].map(Duration::from_millis);
        assert_eq!(median(&times), Duration::from_millis(2));
        let (mean, deviation) = mean_and_deviation(&times);
        assert!((mean - 4.0).abs() < 1e-9 && (deviation - 3.559).abs() < 1e-3);
    }

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
