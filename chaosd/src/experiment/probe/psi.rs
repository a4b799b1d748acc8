//! Pressure stall information (Documentation/accounting/psi.rst): from its sum, which is exact for
//! any time between two looks, rather than from its averages, which lag by 10 s.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::time::Instant;

use super::{Look, Seen};
use crate::{cgroup, profile::PressureOf};

/// What the look before has seen.
#[derive(Debug, Default)]
pub(super) struct Before(Option<(Instant, u64)>);

impl Before {
    pub(super) fn look(&mut self, cgroup: Option<&Path>, resource: PressureOf, full: bool) -> Look {
        let path = file(cgroup, resource)?;
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let now = Instant::now();
        let kind = if full { "full" } else { "some" };
        let line = line(&text, kind);
        let line = line.ok_or_else(|| format!("{} has no line {kind}", path.display()))?;
        let before = self.0.replace((now, line.total_us));
        Ok(Seen::Measured(match before {
            Some((then, total)) if now > then => {
                let lost = line.total_us.saturating_sub(total);
                #[expect(clippy::cast_precision_loss, reason = "microseconds of a look")]
                let lost = lost as f64 / 1e6;
                (100.0 * lost / (now - then).as_secs_f64()).min(100.0)
            }
            _ => line.avg10,
        }))
    }
}

/// The file that tells of it.
pub(in crate::experiment) fn file(
    of: Option<&Path>,
    resource: PressureOf,
) -> Result<PathBuf, String> {
    let resource = resource.name();
    match of {
        None => Ok(format!("/proc/pressure/{resource}").into()),
        Some(path) => {
            let cgroup = cgroup::resolve(path).map_err(|error| error.to_string())?;
            Ok(cgroup.path.join(format!("{resource}.pressure")))
        }
    }
}

#[derive(Debug, PartialEq)]
struct Line {
    avg10: f64,
    total_us: u64,
}

fn line(text: &str, kind: &str) -> Option<Line> {
    let rest = text.lines().find_map(|line| line.strip_prefix(kind))?;
    let value = |name: &str| {
        rest.split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Line {
        avg10: value("avg10")?.parse().ok()?,
        total_us: value("total")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_is_asked_for_is_read() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=99\n";
        let read = |kind| line(text, kind);
        assert_eq!(
            read("full"),
            Some(Line {
                avg10: 0.25,
                total_us: 99
            })
        );
        assert_eq!(read("some").map(|line| line.total_us), Some(1234));
        assert_eq!(line("", "some"), None);
    }
}
