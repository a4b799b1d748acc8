//! The built-in tables of quantiles, computed: what a draw of 12 bits becomes in standard deviations.
//!
//! Entry `i` is the quantile at (i + 1/2) / `TABLE_LEN`, [`UNIT`] is one standard deviation. Every
//! table has mean 0 and deviation 1, though its tails are cut, so that a jitter is what was asked
//! for.

use chaosd_ebpf::{NORMAL, PARETO, PARETO_NORMAL, PROBABILITY, TABLE_LEN, UNIT};

/// Of the Pareto distribution.
const EXPONENT: f64 = 3.0;
/// Share of the normal one in `PARETO_NORMAL`: the rest is Pareto.
const NORMAL_SHARE: f64 = 0.25;
/// Normal quantiles that each Pareto quantile is added to.
const NORMAL_STEPS: u32 = 64;
/// Deviations on each side of 0 that [`PROBABILITY`] spans.
const SPAN: f64 = 4.0;

/// A table of the programs by its number; `None`: it is not one of the built-in ones.
pub fn built_in(number: u32) -> Option<Box<[i32; TABLE_LEN]>> {
    let values = match number {
        NORMAL => standard(points(len()).map(inverse_normal).collect()),
        PARETO => standard(points(len()).map(inverse_pareto).collect()),
        PARETO_NORMAL => standard(pareto_normal()),
        PROBABILITY => return Some(Box::new(probability())),
        _ => return None,
    };
    let fixed = |i: usize| fixed_point(values[i], UNIT);
    Some(Box::new(std::array::from_fn(fixed)))
}

/// The share of a built-in table's quantiles that lie below `x` standard deviations.
pub fn below(number: u32, x: f64) -> f64 {
    let Some(table) = built_in(number) else {
        return 0.0;
    };
    let limit = x * f64::from(UNIT);
    let count = table.iter().filter(|q| f64::from(**q) < limit).count();
    u32::try_from(count).map_or(1.0, f64::from) / f64::from(len())
}

/// Quantiles of measured values, of which `scale` is one standard deviation.
pub fn resample(values: &[i16], scale: i32) -> [i32; TABLE_LEN] {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let unit = UNIT.cast_signed() / scale;
    std::array::from_fn(|i| {
        let at = (2 * i + 1) * sorted.len() / (2 * TABLE_LEN);
        sorted.get(at).map_or(0, |value| i32::from(*value) * unit)
    })
}

/// A table whose standard deviation is `scale` instead of [`UNIT`], cut to 16 bits.
pub fn scaled(table: &[i32; TABLE_LEN], scale: i32) -> Vec<i16> {
    let divisor = UNIT.cast_signed() / scale;
    let cut =
        |value: i32| i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX });
    table.iter().map(|value| cut(value / divisor)).collect()
}

fn len() -> u32 {
    u32::try_from(TABLE_LEN).unwrap_or(u32::MAX)
}

/// The middles of `n` equal parts of 0 to 1.
fn points(n: u32) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| (f64::from(i) + 0.5) / f64::from(n))
}

fn inverse_pareto(p: f64) -> f64 {
    (1.0 - p).powf(-1.0 / EXPONENT)
}

/// The distribution of a sum: every Pareto quantile with every normal one, sorted, the middle of
/// each run of equal probability.
fn pareto_normal() -> Vec<f64> {
    let pareto = standard(points(len()).map(inverse_pareto).collect());
    let normal: Vec<f64> = points(NORMAL_STEPS).map(inverse_normal).collect();
    let mut sums: Vec<f64> = pareto
        .iter()
        .flat_map(|p| {
            normal
                .iter()
                .map(move |n| NORMAL_SHARE * n + (1.0 - NORMAL_SHARE) * p)
        })
        .collect();
    sums.sort_unstable_by(f64::total_cmp);
    let run = normal.len();
    sums.chunks(run)
        .map(|chunk| chunk[chunk.len() / 2])
        .collect()
}

/// Moved and scaled to mean 0 and deviation 1.
fn standard(mut values: Vec<f64>) -> Vec<f64> {
    let count = u32::try_from(values.len()).map_or(f64::INFINITY, f64::from);
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let deviation = variance.sqrt();
    for value in &mut values {
        *value = (*value - mean) / deviation;
    }
    values
}

/// Probability, 16 bits, at the middle of each of `TABLE_LEN` steps from -4 to 4 deviations.
fn probability() -> [i32; TABLE_LEN] {
    let mut at = points(len());
    std::array::from_fn(|_| {
        let x = at.next().unwrap_or(1.0) * 2.0 * SPAN - SPAN;
        fixed_point(normal(x), UNIT).min(UNIT.cast_signed() - 1)
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "quantiles are a few dozen deviations at most; the cast saturates"
)]
fn fixed_point(value: f64, unit: u32) -> i32 {
    (value * f64::from(unit)).round() as i32
}

/// The normal distribution function.
fn normal(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// The complementary error function to 1e-15 of itself: its series near 0 and its continued fraction
/// elsewhere (Abramowitz and Stegun, 7.1.6 and 7.1.14).
fn erfc(x: f64) -> f64 {
    let root_pi = std::f64::consts::PI.sqrt();
    let z = x.abs();
    let upper = if z < 2.5 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * z * z / (2.0 * n + 1.0);
            sum += term;
        }
        1.0 - 2.0 / root_pi * (-z * z).exp() * sum
    } else {
        let fraction = (1..=120).rev().fold(z, |f, n| z + f64::from(n) / 2.0 / f);
        (-z * z).exp() / root_pi / fraction
    };
    if x < 0.0 { 2.0 - upper } else { upper }
}

/// The quantile of the normal distribution at `p`, 0 < p < 1: Acklam's rational approximation, and two
/// of Newton's steps that take its 1e-9 to the precision of a double.
fn inverse_normal(p: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
        1.0,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        0.007_784_695_709_041_462,
        0.322_467_129_070_039_8,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    // The distribution is symmetric: the lower half is computed, where no digits are lost.
    let q = p.min(1.0 - p);
    let mut x = if q < 0.024_25 {
        let r = (-2.0 * q.ln()).sqrt();
        horner(&C, r) / horner(&D, r)
    } else {
        let r = q - 0.5;
        horner(&A, r * r) * r / horner(&B, r * r)
    };
    for _ in 0..2 {
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        x -= (normal(x) - q) / density;
    }
    if p > 0.5 { -x } else { x }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn moments(table: &[i32; TABLE_LEN]) -> (f64, f64) {
        let values: Vec<f64> = table
            .iter()
            .map(|q| f64::from(*q) / f64::from(UNIT))
            .collect();
        let n = f64::from(len());
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn the_normal_quantiles_are_those_of_the_books() {
        for (p, x) in [
            (0.5, 0.0),
            (0.975, 1.959_963_984_540_054),
            (0.841_344_746_068_543, 1.0),
            (0.001, -3.090_232_306_167_813_6),
            (1e-9, -5.997_807_015_007_686_5),
        ] {
            assert!((inverse_normal(p) - x).abs() < 1e-9, "{p}");
            assert!((normal(x) - p).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn each_table_has_mean_0_and_deviation_1_and_grows() {
        for number in [NORMAL, PARETO, PARETO_NORMAL] {
            let table = built_in(number).unwrap();
            let (mean, deviation) = moments(&table);
            assert!(mean.abs() < 1e-3, "{number}: {mean}");
            assert!((deviation - 1.0).abs() < 1e-3, "{number}: {deviation}");
            assert!(table.is_sorted(), "{number}");
        }
        assert!(built_in(chaosd_ebpf::UNIFORM).is_none());
        assert!(built_in(chaosd_ebpf::FIRST_CUSTOM).is_none());
    }

    #[test]
    fn the_tables_have_the_shapes_of_their_names() {
        let skew = |number| {
            let table = built_in(number).unwrap();
            table
                .iter()
                .map(|q| (f64::from(*q) / f64::from(UNIT)).powi(3))
                .sum::<f64>()
                / f64::from(len())
        };
        assert!(skew(NORMAL).abs() < 1e-3);
        // Half of a Pareto distribution lies below its mean by a fifth of a deviation and more.
        let pareto = built_in(PARETO).unwrap();
        assert!(pareto[TABLE_LEN / 2] < -15_000, "{}", pareto[TABLE_LEN / 2]);
        assert!(pareto[TABLE_LEN - 1] > 15 * 65536);
        assert!(skew(PARETO) > skew(PARETO_NORMAL) && skew(PARETO_NORMAL) > 2.0);
        let normal = built_in(NORMAL).unwrap();
        assert!((normal[TABLE_LEN - 1] + normal[0]).abs() <= 1);
    }

    #[test]
    fn probabilities_undo_the_normal_quantiles() {
        let (normal, probability) = (built_in(NORMAL).unwrap(), built_in(PROBABILITY).unwrap());
        for (i, z) in normal.iter().enumerate() {
            let at = usize::try_from((z + 4 * 65536) >> 7).unwrap();
            let back = usize::try_from(probability[at]).unwrap() >> 4;
            assert!(back.abs_diff(i) <= 4, "{i} comes back as {back}");
        }
        assert!(probability.is_sorted());
        assert!(*probability.last().unwrap() < 65536);
    }

    #[test]
    fn a_table_for_netem_has_its_scale_and_its_16_bits() {
        let table = scaled(&built_in(PARETO).unwrap(), 8192);
        assert_eq!(*table.last().unwrap(), i16::MAX);
        let normal = scaled(&built_in(NORMAL).unwrap(), 8192);
        assert!(
            (i32::from(normal[3445]) - 8192).abs() < 20,
            "{}",
            normal[3445]
        );
    }
}
