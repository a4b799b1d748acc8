//! Times as people read them.

use std::time::Duration;

/// 62.4 as `1m 2s`; under ten seconds with a tenth.
pub(in crate::cli) fn seconds(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    if time < Duration::from_secs(10) {
        let tenths = (time.as_millis() + 50) / 100;
        return match tenths % 10 {
            0 => format!("{}s", tenths / 10),
            tenth => format!("{}.{tenth}s", tenths / 10),
        };
    }
    let rounded = time.saturating_add(Duration::from_millis(500)).as_secs();
    humantime::format_duration(Duration::from_secs(rounded)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (time, text) in [
            (-1.0, "0s"),
            (0.04, "0s"),
            (0.25, "0.3s"),
            (5.0, "5s"),
            (59.7, "1m"),
            (62.4, "1m 2s"),
            (3600.0, "1h"),
        ] {
            assert_eq!(seconds(time), text);
        }
    }
}
