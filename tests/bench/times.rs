//! Times against limits.

use std::fmt;
use std::time::Duration;

/// What a row of times has to keep to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Of the median.
    pub median: Option<Duration>,
    /// Of every time.
    pub max: Option<Duration>,
}

/// Times of one thing.
#[derive(Debug)]
pub struct Times {
    what: &'static str,
    sorted: Vec<Duration>,
    limits: Limits,
}

/// A table under way.
#[derive(Debug, Default)]
pub struct Table(Vec<Times>);

impl Times {
    /// At least one time.
    pub fn new(what: &'static str, mut times: Vec<Duration>, limits: Limits) -> Self {
        times.sort_unstable();
        Self {
            what,
            sorted: times,
            limits,
        }
    }

    /// The smallest time that `percent` of all do not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or(Duration::MAX)
    }

    fn holds(&self) -> bool {
        let within = |percent, limit: Option<Duration>| {
            limit.is_none_or(|limit| self.percentile(percent) <= limit)
        };
        within(50, self.limits.median) && within(100, self.limits.max)
    }
}

impl Table {
    pub fn push(&mut self, times: Times) {
        self.0.push(times);
    }

    pub fn holds(&self) -> bool {
        self.0.iter().all(Times::holds)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heading = ["n", "median", "p95", "max", "limits"];
        let [n, median, p95, max, limits] = heading;
        writeln!(
            f,
            "{:34}{n:>4} {median:>8} {p95:>8} {max:>8}  {limits:<18}",
            "ms"
        )?;
        for times in &self.0 {
            let ms = |percent| times.percentile(percent).as_secs_f64() * 1e3;
            let mut limits = Vec::new();
            for (what, limit) in [("median", times.limits.median), ("max", times.limits.max)] {
                limits.extend(limit.map(|limit| format!("{what} {}", limit.as_millis())));
            }
            let verdict = match (limits.is_empty(), times.holds()) {
                (true, _) => "",
                (false, true) => "holds",
                (false, false) => "MISSED",
            };
            writeln!(
                f,
                "{:34}{:>4} {:>8.1} {:>8.1} {:>8.1}  {:<22} {verdict}",
                times.what,
                times.sorted.len(),
                ms(50),
                ms(95),
                ms(100),
                limits.join(", "),
            )?;
        }
        Ok(())
    }
}
