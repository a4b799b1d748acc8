//! Why samples failed.

use super::{both, line, quantity};
use crate::experiment::{record::Sample, stats};

/// Reasons that are written out.
const NAMED: usize = 3;

/// Why samples of a probe failed, the most frequent reason first, each with how many did so. A value out of
/// bounds is one reason, whatever the value.
pub fn reasons<'s>(
    samples: impl IntoIterator<Item = &'s Sample>,
    unit: &str,
) -> Vec<(usize, String)> {
    let mut reasons: Vec<(usize, String)> = Vec::new();
    let mut values = Vec::new();
    for sample in samples.into_iter().filter(|sample| !sample.ok) {
        if let Some(value) = sample.value.filter(|value| value.is_finite()) {
            values.push(value);
            continue;
        }
        let why = line(sample.why.as_deref().unwrap_or("no answer"));
        match reasons.iter_mut().find(|(_, known)| *known == why) {
            Some((count, _)) => *count += 1,
            None => reasons.push((1, why)),
        }
    }
    let values = stats::sorted(values);
    if let (Some(low), Some(high)) = (values.first(), values.last()) {
        let verb = if unit == "ms" { "took" } else { "was" };
        let range = if quantity(*low, unit) == quantity(*high, unit) {
            quantity(*low, unit)
        } else {
            both(*low, "to", *high, unit)
        };
        reasons.push((values.len(), format!("{verb} {range}")));
    }
    reasons.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    reasons
}

/// The same in a few lines.
pub fn failures<'s>(samples: impl IntoIterator<Item = &'s Sample>, unit: &str) -> Vec<String> {
    let reasons = reasons(samples, unit);
    let (named, rest) = reasons.split_at(reasons.len().min(NAMED));
    let rest: usize = rest.iter().map(|(count, _)| count).sum();
    let named = named.iter().map(|(count, why)| format!("{count} × {why}"));
    named
        .chain((rest > 0).then(|| format!("{rest} × something else")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(value: Option<f64>, why: &str) -> Sample {
        Sample {
            at: 0.0,
            took: 0.1,
            value,
            ok: false,
            why: Some(why.into()),
        }
    }

    #[test]
    fn reasons_are_counted_and_values_are_one() {
        let status = || failed(None, "status 503");
        let mut samples = vec![
            failed(Some(312.0), "took 312 ms"),
            status(),
            status(),
            status(),
            failed(Some(1_240.0), "took 1240 ms"),
        ];
        assert_eq!(
            failures(&samples, "ms"),
            ["3 × status 503", "2 × took 312 ms to 1.24 s"]
        );
        samples.extend(["a", "b", "c"].map(|why| failed(None, why)));
        assert_eq!(
            failures(&samples, "ms")[2..],
            ["1 × a", "2 × something else"]
        );
        for sample in &mut samples {
            sample.ok = true;
        }
        assert!(failures(&samples, "ms").is_empty());
        assert_eq!(
            failures(&[failed(Some(0.5), "")], "percent"),
            ["1 × was 0.5 %"]
        );
    }
}
