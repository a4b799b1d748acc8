//! fio 3: its normal output (`stat.c`, `show_thread_status_normal`), and `--output-format=json`.
//!
//! Each job's figures bear its name, as in `randread read iops`. Those of jobs that share one name
//! are left out; the sums of their group are not. Latency is completion latency, of which fio's
//! percentiles are, and total latency where `lat_percentiles` asks for that.

use serde_json::Value;

use super::{
    figures::Figures,
    text::Text,
    units::{at, bytes, ms_in, number, thousands},
};
use crate::experiment::record::Figure;

const NS_PER_MS: f64 = 1e6;
const DIRECTIONS: [&str; 3] = ["read", "write", "trim"];

pub(super) fn is(text: &Text) -> bool {
    text.has_line("Run status group ")
        || text.lines().any(|line| job(line).is_some())
        || text.documents().iter().any(is_document)
}

fn is_document(document: &Value) -> bool {
    document.get("fio version").is_some() && document["jobs"].is_array()
}

pub(super) fn read(text: &Text) -> Vec<Figure> {
    match text.documents().iter().rfind(|found| is_document(found)) {
        Some(document) => of_document(document),
        None => of_text(text),
    }
}

/// `NAME: (groupid=0, jobs=1): err= 0: pid=...`
fn job(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(": (groupid=")?;
    rest.contains("): err=").then_some(name)
}

fn of_text(text: &Text) -> Vec<Figure> {
    let mut figures = Figures::default();
    let names: Vec<&str> = text.lines().filter_map(job).collect();
    let mut current: Option<&str> = None;
    let mut direction: Option<&str> = None;
    let mut group: Option<&str> = None;
    let mut latency = Latency::default();
    for line in text.lines() {
        let trimmed = line.trim();
        let head = trimmed.split_once(": ");
        let is_end = |line: &str| line.is_empty() || line.starts_with("cpu ");
        if let Some(name) = job(line) {
            latency.flush(&mut figures);
            direction = None;
            current = Some(name).filter(|name| names.iter().filter(|n| n == &name).count() == 1);
        } else if let Some(rest) = trimmed.strip_prefix("Run status group ") {
            latency.flush(&mut figures);
            (current, direction) = (None, None);
            group = rest.split(' ').next().filter(|n| number(n).is_some());
        } else if let Some((name, rest)) = head
            && rest.starts_with("IOPS=")
            && let Some(found) = DIRECTIONS.iter().find(|direction| **direction == name)
        {
            latency.flush(&mut figures);
            direction = Some(found);
            if let Some(job) = current {
                figures.about(&format!("{job} {found}"));
                figures.rate("iops", field(rest, "IOPS=").and_then(thousands));
                figures.throughput("bandwidth", throughput(rest, "BW="));
            }
        } else if let Some((name, rest)) = head
            && rest.starts_with("bw=")
            && let Some(group) = group
            && let Some(found) = DIRECTIONS.iter().find(|d| d.eq_ignore_ascii_case(name))
        {
            figures.about(&format!("group {group} {found}"));
            figures.throughput("bandwidth", throughput(rest, "bw="));
        } else if is_end(trimmed) {
            latency.flush(&mut figures);
            direction = None;
        } else if current.is_some() && direction.is_some() {
            latency.line(trimmed);
        }
    }
    // What no line has ended may lack a line.
    figures.done()
}

/// What is known of the latencies of one job in one direction.
#[derive(Default)]
struct Latency {
    /// mean, max; of completion, then in total.
    ranges: [Option<(f64, f64)>; 2],
    percentiles: [Vec<(f64, f64)>; 2],
    /// The list that is being read: which, and how many ms its unit has.
    reading: Option<(usize, f64)>,
}

impl Latency {
    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix('|') {
            if let Some((which, ms)) = self.reading {
                self.percentiles[which].extend(percentiles(rest, ms));
            }
            return;
        }
        self.reading = None;
        let Some((head, rest)) = line.split_once("):") else {
            return;
        };
        let Some((kind, unit)) = head.split_once('(') else {
            return;
        };
        let Some(ms) = ms_in(unit.trim()) else {
            return;
        };
        match kind.trim() {
            "clat percentiles" => self.reading = Some((0, ms)),
            "lat percentiles" => self.reading = Some((1, ms)),
            "clat" => self.ranges[0] = range(rest, ms),
            "lat" => self.ranges[1] = range(rest, ms),
            _ => {}
        }
    }

    fn flush(&mut self, figures: &mut Figures) {
        let Self {
            ranges,
            percentiles,
            ..
        } = std::mem::take(self);
        let which = usize::from(!percentiles[1].is_empty() || ranges[0].is_none());
        if let Some((mean, max)) = ranges[which] {
            figures.latency("mean", Some(mean));
            for (percent, ms) in &percentiles[which] {
                figures.percentile(*percent, Some(*ms));
            }
            figures.latency("max", Some(max));
        }
    }
}

/// `min=35, max=26103, avg=80.81, stdev=338.70`
fn range(text: &str, ms: f64) -> Option<(f64, f64)> {
    let mean = field(text, "avg=").and_then(thousands)?;
    let max = field(text, "max=").and_then(thousands)?;
    Some((mean * ms, max * ms))
}

/// `99.00th=[  453], 99.50th=[ 2311],`
fn percentiles(text: &str, ms: f64) -> impl Iterator<Item = (f64, f64)> {
    text.split("],").filter_map(move |part| {
        let (percent, value) = part.trim().trim_end_matches(']').split_once("th=[")?;
        let value = number(value.trim().trim_start_matches('>'))?;
        Some((number(percent)?, value * ms))
    })
}

/// The word after `key`.
fn field<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let (before, rest) = text.split_once(key)?;
    (before.is_empty() || before.ends_with([' ', '\t'])).then_some(())?;
    let word = rest.split_whitespace().next()?;
    Some(word.trim_end_matches([',', ';']))
}

fn throughput(text: &str, key: &str) -> Option<f64> {
    bytes(field(text, key)?.strip_suffix("/s")?, 1000.0)
}

fn of_document(document: &Value) -> Vec<Figure> {
    let mut figures = Figures::default();
    let jobs = document["jobs"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |job: &'_ Value| job["jobname"].as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = jobs.iter().map(name).collect();
    let single = |job: &&Value| names.iter().filter(|other| **other == name(job)).count() == 1;
    for job in jobs.iter().filter(single) {
        for direction in DIRECTIONS {
            figures.about(&format!("{} {direction}", name(job)));
            of_job(&mut figures, &job[direction]);
        }
    }
    // The sums of each group and direction, as the normal output has them.
    let mut groups: Vec<u64> = jobs
        .iter()
        .filter_map(|job| job["groupid"].as_u64())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        for direction in DIRECTIONS {
            let jobs = jobs.iter().filter(|job| job["groupid"] == group);
            let sum: f64 = jobs.filter_map(|job| at(&job[direction], "bw_bytes")).sum();
            figures.about(&format!("group {group} {direction}"));
            figures.throughput("bandwidth", Some(sum).filter(|sum| *sum > 0.0));
        }
    }
    figures.done()
}

fn of_job(figures: &mut Figures, job: &Value) {
    if at(job, "total_ios").is_none_or(|n| n <= 0.0) {
        return;
    }
    figures.rate("iops", at(job, "iops"));
    figures.throughput("bandwidth", at(job, "bw_bytes"));
    let total = &job["lat_ns"];
    let latency = match total.get("percentile") {
        Some(_) => total,
        None => job
            .get("clat_ns")
            .filter(|l| at(l, "N") > Some(0.0))
            .unwrap_or(total),
    };
    let ms = |key| at(latency, key).map(|ns| ns / NS_PER_MS);
    figures.latency("mean", ms("mean"));
    for (percent, value) in latency["percentile"].as_object().into_iter().flatten() {
        if let (Some(percent), Some(ns)) = (number(percent), value.as_f64()) {
            figures.percentile(percent, Some(ns / NS_PER_MS));
        }
    }
    figures.latency("max", ms("max"));
}
