//! What the cgroup read and wrote on the disks, and whether it came to its limits: the kernel does not tell
//! whom its throttle let wait, so that is told by how much passed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    cgroup::{Version, limits::io::Limits},
    device::Number,
    profile::units::Size,
    report::Verdict,
};

use super::super::{Effect, limit::Watch};

/// Over which it is told whether a limit was reached: long beside the slices of the throttle, and beside
/// one operation of the slowest disk that can be asked for.
const WINDOW: Duration = Duration::from_secs(1);
/// What is left of a window at the end counts too, unless it is shorter.
const SHORTEST: Duration = Duration::from_millis(200);
/// Who comes that close to a limit over a window has waited for it: I/O comes in bursts.
const CLOSE: f64 = 0.5;

/// Operations and not bytes are in it (v1).
const SERVICED: &str = "blkio.throttle.io_serviced_recursive";

/// Bytes and operations on one disk, or how many of each may pass in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moved {
    read: u64,
    written: u64,
    reads: u64,
    writes: u64,
}

/// By disk, as the kernel names it: `8:0`.
type ByDisk = BTreeMap<String, Moved>;

pub(super) struct Passed {
    files: Vec<PathBuf>,
    disks: Vec<String>,
    limits: Limits,
    first: ByDisk,
    /// Since the limits hold, or since the last window.
    window: Option<(Instant, ByDisk)>,
    held: Duration,
    /// Of that.
    close: Duration,
}

impl Passed {
    /// `directory`: where the files of the I/O controller are.
    pub fn new(
        version: Version,
        directory: &Path,
        disks: impl Iterator<Item = Number>,
        limits: Limits,
    ) -> Self {
        let files: &[&str] = match version {
            Version::V2 => &["io.stat"],
            Version::V1 => &["blkio.throttle.io_service_bytes_recursive", SERVICED],
        };
        let mut passed = Self {
            files: files.iter().map(|file| directory.join(file)).collect(),
            disks: disks.map(|disk| disk.to_string()).collect(),
            limits,
            first: ByDisk::new(),
            window: None,
            held: Duration::ZERO,
            close: Duration::ZERO,
        };
        passed.first = passed.read();
        passed
    }

    fn read(&self) -> ByDisk {
        let mut found = ByDisk::new();
        for file in &self.files {
            let text = fs::read_to_string(file).unwrap_or_default();
            add(&mut found, &text, file.ends_with(SERVICED));
        }
        found.retain(|disk, _| self.disks.contains(disk));
        found
    }

    fn end_window(&mut self, now: &ByDisk) {
        if let Some((since, before)) = self.window.take() {
            let time = since.elapsed();
            self.held += time;
            if since_then(now, &before).any(|moved| is_close(moved, &self.limits, time)) {
                self.close += time;
            }
        }
    }
}

fn since_then(now: &ByDisk, before: &ByDisk) -> impl Iterator<Item = Moved> {
    now.iter().map(|(disk, now)| {
        let before = before.get(disk).copied().unwrap_or_default();
        Moved {
            read: now.read.saturating_sub(before.read),
            written: now.written.saturating_sub(before.written),
            reads: now.reads.saturating_sub(before.reads),
            writes: now.writes.saturating_sub(before.writes),
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "of a rough comparison")]
fn is_close(moved: Moved, limits: &Limits, time: Duration) -> bool {
    let pairs = [
        (moved.read, limits.read_bps),
        (moved.written, limits.write_bps),
        (moved.reads, limits.read_iops),
        (moved.writes, limits.write_iops),
    ];
    pairs.into_iter().any(|(moved, limit)| {
        limit.is_some_and(|limit| moved as f64 >= CLOSE * limit as f64 * time.as_secs_f64())
    })
}

/// Of `8:0 rbytes=1 wbytes=2 rios=3 ...` (`io.stat`), or of `8:0 Read 1` and `8:0 Write 2` (v1).
fn add(found: &mut ByDisk, text: &str, operations: bool) {
    for line in text.lines() {
        let Some((disk, rest)) = line.split_once(' ') else {
            continue;
        };
        let moved = found.entry(disk.to_owned()).or_default();
        for word in rest.split(' ') {
            if let Some((key, value)) = word.split_once('=')
                && let Ok(value) = value.parse::<u64>()
            {
                match key {
                    "rbytes" => moved.read += value,
                    "wbytes" => moved.written += value,
                    "rios" => moved.reads += value,
                    "wios" => moved.writes += value,
                    _ => {}
                }
            }
        }
        let v1 = rest.split_once(' ');
        if let Some((verb, value)) = v1
            && let Ok(value) = value.parse::<u64>()
        {
            match (verb, operations) {
                ("Read", false) => moved.read += value,
                ("Write", false) => moved.written += value,
                ("Read", true) => moved.reads += value,
                ("Write", true) => moved.writes += value,
                _ => {}
            }
        }
    }
}

impl Watch for Passed {
    fn look(&mut self, holds: bool) {
        let is_over = |(since, _): &(Instant, _)| since.elapsed() >= WINDOW;
        if holds && self.window.as_ref().is_some_and(|window| !is_over(window)) {
            return;
        }
        let now = self.read();
        self.end_window(&now);
        if holds {
            self.window = Some((Instant::now(), now));
        }
    }

    fn effect(&mut self, _: bool, ever: bool) -> (Effect, Verdict) {
        let now = self.read();
        let long_enough = |(since, _): &(Instant, _)| since.elapsed() >= SHORTEST;
        if self.window.as_ref().is_some_and(long_enough) {
            self.end_window(&now);
            self.window = Some((Instant::now(), now.clone()));
        }
        let bytes: u64 = since_then(&now, &self.first)
            .map(|moved| moved.read + moved.written)
            .sum();
        let effect = Effect {
            told: format!(
                "let {} of the target pass, close to a limit for {:.1} s of {:.1} s",
                Size::about(bytes),
                self.close.as_secs_f64(),
                self.held.as_secs_f64()
            ),
            asked: None,
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            reached: Some(bytes as f64),
            unit: "bytes".into(),
        };
        let verdict = match (ever, bytes, self.close.is_zero()) {
            (true, 1.., false) => Verdict::Effective,
            (true, 1.., true) => Verdict::Spared,
            _ => Verdict::Ineffective,
        };
        (effect, verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_is_read_in_both_forms() {
        let read = |texts: &[(&str, bool)]| {
            let mut found = ByDisk::new();
            for (text, operations) in texts {
                add(&mut found, text, *operations);
            }
            found
        };
        let moved = |read, written, reads, writes| Moved {
            read,
            written,
            reads,
            writes,
        };
        let v2 = "8:0 rbytes=10 wbytes=3 rios=1 wios=2 dbytes=7\n7:1 rbytes=1\n";
        let v2 = read(&[(v2, false)]);
        assert_eq!(v2["8:0"], moved(10, 3, 1, 2));
        assert_eq!(v2["7:1"], moved(1, 0, 0, 0));
        let v1 = read(&[
            (
                "8:0 Read 10\n8:0 Write 3\n8:0 Sync 13\n8:0 Total 13\nTotal 13\n",
                false,
            ),
            ("8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n", true),
        ]);
        assert_eq!(v1["8:0"], moved(10, 3, 1, 2));
    }

    #[test]
    fn a_limit_is_close_when_half_of_it_passes() {
        let limits = Limits {
            read_bps: Some(1000),
            write_iops: Some(10),
            ..Limits::default()
        };
        let moved = |read, writes| Moved {
            read,
            writes,
            written: u64::MAX,
            ..Moved::default()
        };
        let two = Duration::from_secs(2);
        assert!(!is_close(moved(999, 9), &limits, two));
        assert!(is_close(moved(1000, 0), &limits, two));
        assert!(is_close(moved(0, 10), &limits, two));
    }
}
