//! Numbers with units as load tools write them. What is not surely a number is none: `1,5` is one
//! and a half to some and fifteen to others.

/// Digits, and perhaps a point and digits.
pub(super) fn number(word: &str) -> Option<f64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let plain = match word.split_once('.') {
        None => digits(word),
        Some((whole, rest)) => digits(whole) && digits(rest),
    };
    plain.then(|| word.parse().ok())?
}

/// The leading number of a word, and what follows it.
fn leading(word: &str) -> Option<(f64, &str)> {
    let end = word
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(word.len());
    let (digits, rest) = word.split_at(end);
    Some((number(digits)?, rest))
}

/// A time in ms: `6.46ms`, `1.5s`, `2m10.5s`, `247µs`, `3 h` without the space.
pub(super) fn millis(word: &str) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = word;
    while !rest.is_empty() {
        let (value, after) = leading(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        total += value * ms_in(unit)?;
        rest = next;
    }
    (!word.is_empty()).then_some(total)
}

/// How many ms a unit has.
pub(super) fn ms_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" | "nsec" => 1e-6,
        "us" | "usec" | "µs" | "μs" => 1e-3,
        "ms" | "msec" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" => 1e3,
        "m" | "min" => 6e4,
        "h" => 36e5,
        _ => return None,
    })
}

/// A size in bytes: `19.81MB`, `48.0MiB`, `860B`; `kilo` is what the tool means by K (1000 or 1024).
pub(super) fn bytes(word: &str, kilo: f64) -> Option<f64> {
    let (value, unit) = leading(word)?;
    let (prefix, kilo) = match unit.strip_suffix("iB") {
        Some(prefix) => (prefix, 1024.0),
        None => (unit.strip_suffix('B')?, kilo),
    };
    Some(value * scale(prefix, kilo)?)
}

/// A number with a prefix of thousands: `12.3k`.
pub(super) fn thousands(word: &str) -> Option<f64> {
    let (value, prefix) = leading(word)?;
    Some(value * scale(prefix, 1000.0)?)
}

fn scale(prefix: &str, kilo: f64) -> Option<f64> {
    let power = match prefix {
        "" => 0,
        "k" | "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return None,
    };
    Some(kilo.powi(power))
}

/// The number in a JSON object.
pub(super) fn at(object: &serde_json::Value, key: &str) -> Option<f64> {
    object.get(key)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::{bytes, millis, number, thousands};

    fn near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() <= expected * 1e-9)
    }

    #[test]
    fn times_are_read_in_all_units() {
        for (word, ms) in [
            ("6.46ms", 6.46),
            ("247µs", 0.247),
            ("247μs", 0.247),
            ("12us", 0.012),
            ("1.5s", 1500.0),
            ("2m10.5s", 130_500.0),
            ("1h1m1s", 3_661_000.0),
            ("0s", 0.0),
        ] {
            assert!(near(millis(word), ms), "{word}: {:?}", millis(word));
        }
        for word in ["", "5", "ms", "5x", "1,5ms", "-1ms", "1.ms", "1..5s", "nan"] {
            assert_eq!(millis(word), None, "{word}");
        }
    }

    #[test]
    fn sizes_are_read_in_both_thousands() {
        assert!(near(bytes("1.5KB", 1024.0), 1536.0));
        assert!(near(bytes("1.5kB", 1000.0), 1500.0));
        assert!(near(bytes("2MiB", 1000.0), 2_097_152.0));
        assert!(near(bytes("860B", 1000.0), 860.0));
        assert!(near(thousands("12.3k"), 12_300.0));
        assert_eq!(bytes("5", 1000.0), None);
        assert_eq!(bytes("5XB", 1000.0), None);
    }

    #[test]
    fn what_another_locale_writes_is_no_number() {
        assert_eq!(number("2000,15"), None);
        assert_eq!(number("2.000,15"), None);
        assert_eq!(number("1e9"), None);
        assert_eq!(number("2000.15"), Some(2000.15));
    }
}
