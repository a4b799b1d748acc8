//! Figures in the making, under the names and units that all tools share.

use super::super::record::Figure;

/// More than any summary has; a command that prints without end is no reason to grow.
const MOST: usize = 512;

/// The percentiles that are worth a line, of those that a tool prints.
const PERCENTILES: [f64; 7] = [50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// A list of figures. One that is given again, as by a tool that reports every few seconds, takes
/// the place of the earlier one.
#[derive(Debug, Default)]
pub(super) struct Figures {
    list: Vec<Figure>,
    of: String,
}

impl Figures {
    /// What the figures from here on are about; empty for all of it.
    pub(super) fn about(&mut self, of: &str) {
        of.clone_into(&mut self.of);
    }

    /// A plain number.
    pub(super) fn count(&mut self, name: &str, value: Option<f64>) {
        self.add(name, value, "");
    }

    /// So many per second.
    pub(super) fn rate(&mut self, name: &str, value: Option<f64>) {
        self.add(name, value, "1/s");
    }

    /// Bytes per second.
    pub(super) fn throughput(&mut self, name: &str, value: Option<f64>) {
        self.add(name, value, "bytes/s");
    }

    /// A statistic of the latency (`mean`, `p99`, `max`), in ms.
    pub(super) fn latency(&mut self, statistic: &str, ms: Option<f64>) {
        self.add(&format!("latency {statistic}"), ms, "ms");
    }

    /// The latency that so many percent do not pass, in ms.
    pub(super) fn percentile(&mut self, percent: f64, ms: Option<f64>) {
        if let Some(known) = PERCENTILES
            .iter()
            .find(|known| (*known - percent).abs() < 1e-6)
        {
            self.latency(&format!("p{known}"), ms);
        }
    }

    /// A figure; what is no number, or cannot be one of a summary, is left out.
    pub(super) fn add(&mut self, name: &str, value: Option<f64>, unit: &str) {
        let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) else {
            return;
        };
        let name = match self.of.as_str() {
            "" => name.to_owned(),
            of => format!("{of} {name}"),
        };
        if let Some(known) = self.list.iter_mut().find(|figure| figure.name == name) {
            known.value = value;
        } else if self.list.len() < MOST {
            let unit = unit.to_owned();
            self.list.push(Figure { name, value, unit });
        }
    }

    /// All of them.
    pub(super) fn done(self) -> Vec<Figure> {
        self.list
    }
}
