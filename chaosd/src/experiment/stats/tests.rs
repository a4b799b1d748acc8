//! What an interval promises, tried on noise whose truth is known.

use super::*;

/// Noise of mean 20 and this deviation, each sample like the one before by `alike`.
fn noise(random: &mut Random, n: usize, deviation: f64, alike: f64) -> Vec<f64> {
    let mut last = random.normal();
    let fresh = (1.0 - alike * alike).sqrt();
    let mut values = Vec::with_capacity(n);
    for _ in 0..n {
        last = alike * last + fresh * random.normal();
        values.push(20.0 + deviation * last);
    }
    values
}

/// A service's latency: most answers are quick, some are not.
fn skewed(random: &mut Random, n: usize) -> Vec<f64> {
    (0..n).map(|_| 15.0 * random.normal().exp()).collect()
}

/// Of `runs` with nothing to find, in how many something was found.
fn false_alarms(runs: u64, pair: impl Fn(&mut Random) -> (Vec<f64>, Vec<f64>)) -> usize {
    let found = |seed: &u64| {
        let (a, b) = pair(&mut Random(seed * 7919));
        difference(&a, &b, *seed).is_some_and(|d| d.low > 0.0 || d.high < 0.0)
    };
    (0..runs).filter(found).count()
}

#[test]
fn ten_milliseconds_stand_out_of_noise_of_five_in_thirty_samples() {
    let mut found = 0;
    for seed in 0..100 {
        let mut random = Random(seed);
        let control = noise(&mut random, 30, 5.0, 0.0);
        let mut target = noise(&mut random, 30, 5.0, 0.0);
        for value in &mut target {
            *value += 10.0;
        }
        let told = difference(&target, &control, seed).expect("30 samples are enough");
        assert!((told.shift - 10.0).abs() < 8.0, "{told:?}");
        found += usize::from(told.low > 0.0);
    }
    assert_eq!(found, 100);
}

#[test]
fn nothing_is_found_where_there_is_nothing() {
    let pair = |random: &mut Random| {
        let a = noise(random, 30, 5.0, 0.0);
        (a, noise(random, 30, 5.0, 0.0))
    };
    let alarms = false_alarms(100, pair);
    assert!(alarms <= 5, "{alarms} of 100");
    // A rate of 5 % would give 20 of 400 with a deviation of 4.
    let alarms = false_alarms(400, pair);
    assert!(alarms <= 20, "{alarms} of 400");
}

#[test]
fn nothing_is_found_in_a_few_skewed_or_equal_samples() {
    for n in [FEWEST, 15, 60] {
        let alarms = false_alarms(300, |random| (skewed(random, n), skewed(random, n)));
        assert!(alarms <= 18, "{alarms} of 300 with {n}");
    }
    let coarse = |random: &mut Random| {
        let mut values = noise(random, 30, 1.0, 0.0);
        for value in &mut values {
            *value = value.round();
        }
        values
    };
    let alarms = false_alarms(300, |random| (coarse(random), coarse(random)));
    assert!(alarms <= 18, "{alarms} of 300 in whole milliseconds");
}

#[test]
fn what_follows_each_other_alike_is_no_effect() {
    for alike in [0.3, 0.6] {
        let alarms = false_alarms(300, |random| {
            let a = noise(random, 60, 5.0, alike);
            (a, noise(random, 60, 5.0, alike))
        });
        assert!(alarms <= 24, "{alarms} of 300 at {alike}");
    }
}

#[test]
fn a_hundred_thousand_samples_take_no_time() {
    let mut random = Random(3);
    let a = noise(&mut random, 100_000, 5.0, 0.0);
    let b = noise(&mut random, 100_000, 5.0, 0.0);
    let begun = std::time::Instant::now();
    let told = difference(&a, &b, 1).expect("there are enough");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert!(told.high - told.low < 0.5, "{told:?}");
}

#[test]
fn a_seed_repeats_an_interval_and_few_samples_give_none() {
    let mut random = Random(5);
    let (a, b) = (noise(&mut random, 31, 5.0, 0.0), skewed(&mut random, 40));
    assert_eq!(difference(&a, &b, 9), difference(&a, &b, 9));
    assert_ne!(difference(&a, &b, 9), difference(&a, &b, 10));
    assert_eq!(difference(&a[..FEWEST - 1], &b, 9), None);
    let constant = difference(&[3.0; 20], &[1.0; 20], 9).expect("there are enough");
    assert_eq!((constant.low, constant.high), (2.0, 2.0));
}

#[test]
fn the_middle_and_the_quantiles_are_those_of_the_book() {
    let ten = sorted((1..=10).rev().map(f64::from));
    assert_eq!(median(&ten), Some(5.5));
    assert_eq!(median(&ten[..9]), Some(5.0));
    assert_eq!(median(&[]), None);
    assert_eq!(quantile(&ten, 0.95), Some(10.0));
    assert_eq!(quantile(&ten, 0.9), Some(9.0));
    assert_eq!(quantile(&ten, 0.0), Some(1.0));
    assert_eq!(quantile(&ten, 1.0), Some(10.0));
    assert_eq!(quantile(&[], 0.5), None);
    assert_eq!(sorted([2.0, f64::NAN, 1.0, f64::INFINITY]), [1.0, 2.0]);
    assert_eq!(ranks(&[7.0, 1.0, 7.0]), [2.5, 1.0, 2.5]);
}
