//! What is kept of a run: one document, from which every report is made.
//!
//! All moments are seconds since `started`, by a clock that nobody steps (`CLOCK_MONOTONIC`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::report::RunReport;

/// The version of this document's form. Keys may be added within a version.
pub const SCHEMA: u32 = 1;

/// Everything that is known of a run that is over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `r-` and eight hexadecimal digits, as the run's; of an experiment `x-` and as many.
    pub id: String,
    /// chaosd's version.
    pub version: String,
    /// Where it ran.
    pub host: Host,
    /// The profile's name, or `inject`.
    pub profile: String,
    /// The words that ran it, for whoever wants to repeat it; empty when they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// One sentence for people; may be empty.
    pub about: String,
    /// What was expected to stay true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypothesis: Option<String>,
    /// RFC 3339.
    pub started: String,
    /// From its first probe to its last.
    pub seconds: f64,
    /// The seed that repeats its decisions.
    pub seed: u64,
    /// How it ended.
    pub end: End,
    /// Its stages as they were, in order. A plain run has one.
    pub stages: Vec<Stage>,
    /// What was looked at; those on the control too.
    pub probes: Vec<Probe>,
    /// What would have ended it, and what did.
    pub aborts: Vec<Abort>,
    /// The command that ran under the faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// The twin that was spared, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// Who was hit and who was not.
    pub blast: Blast,
    /// What somebody wrote down afterwards.
    #[serde(default)]
    pub surprises: String,
    /// What went wrong with chaosd's own work, with how to put it right.
    pub problems: Vec<String>,
    /// What the reader should know.
    pub notes: Vec<String>,
    /// What follows from all that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
}

/// Where it ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// `uname -n`
    pub name: String,
    /// `uname -r`
    pub kernel: String,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum End {
    /// All stages were gone through.
    Completed,
    /// The steady state did not hold before anything was done; nothing was.
    NotSteady {
        /// The first probe that failed, and how.
        why: String,
    },
    /// A condition of `abort-when` came true.
    Aborted {
        /// Which, and what was seen.
        why: String,
        /// When the condition came true.
        at: f64,
        /// When the faults were gone.
        gone: f64,
    },
    /// Somebody interrupted it.
    Interrupted {
        /// When.
        at: f64,
    },
    /// A fault could not be armed, or ended before its time; the rest was reverted.
    Broken {
        /// What happened.
        why: String,
        /// When.
        at: f64,
    },
}

/// One stage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Stage {
    /// Unique in its experiment.
    pub name: String,
    /// Where it began.
    pub begin: f64,
    /// Where it ended.
    pub end: f64,
    /// How long it was to last.
    pub planned: f64,
    /// Parameters that it set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// When its faults were in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed: Option<f64>,
    /// When they were not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<f64>,
    /// When each fault acts, by its timeline, clipped to the stage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bands: Vec<Band>,
    /// What its faults did; `None` for a stage without faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunReport>,
}

/// A time in which a fault acts. Of one that pulses, its whole time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Band {
    /// The fault's name.
    pub fault: String,
    /// From
    pub begin: f64,
    /// to.
    pub end: f64,
}

/// One probe of the steady state.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Probe {
    /// Unique in its experiment; one on the control has the name of its twin.
    pub name: String,
    /// `http`, `tcp`, `dns`, `prometheus`, `command`, `psi`, `log`, ...
    pub kind: String,
    /// What is asked and expected, in one line.
    pub what: String,
    /// It looks at the control rather than at the target.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub control: bool,
    /// Its share in the score.
    pub weight: f64,
    /// The share of its samples under faults that must hold, from 0 to 1.
    pub at_least: f64,
    /// What `Sample::value` counts in: `ms` for what answers, else a unit or nothing.
    pub unit: String,
    /// The value that a sample must not pass, for a line in the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// All that it saw, in order.
    pub samples: Vec<Sample>,
}

/// One look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Sample {
    /// When it began.
    pub at: f64,
    /// Seconds it took.
    pub took: f64,
    /// What was measured; `None` when nothing answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// It was as expected.
    pub ok: bool,
    /// If not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One condition of `abort-when`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Abort {
    /// In one line.
    pub what: String,
    /// The probe that it watches, when it watches one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// When it came true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired: Option<f64>,
}

/// The command that ran under the faults.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Load {
    /// Its words.
    pub command: Vec<String>,
    /// From
    pub begin: f64,
    /// to.
    pub end: f64,
    /// How it ended: a shell's code (128 and the signal's number).
    pub exit: Option<u8>,
    /// It was there after the last stage, and chaosd ended it. Missing: an earlier chaosd did not write it
    /// down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by_us: Option<bool>,
    /// The tool whose summary was read: `wrk`, `fio`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The figures of that summary, in its order.
    pub figures: Vec<Figure>,
    /// The end of what it printed.
    pub output: String,
}

/// One figure of a load tool's summary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// `requests/s`, `latency p99`, `errors`, ...
    pub name: String,
    /// In `unit`.
    pub value: f64,
    /// `ms`, `1/s`, `bytes/s`, or nothing for a count.
    pub unit: String,
}

/// Who was hit and who was not.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Blast {
    /// In one line each.
    pub hit: Vec<String>,
    /// With why.
    pub spared: Vec<String>,
}

/// What follows from a record.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Analysis {
    /// The hypothesis held; `None`: nothing was looked at, or it was not put to the test.
    pub held: Option<bool>,
    /// Why, in one sentence.
    pub why: String,
    /// The weighted share of probes that held, from 0 to 100; `None` where `held` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Seconds from the first fault to the first sample that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected: Option<f64>,
    /// Seconds from the end of the last fault until the steady state held again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<f64>,
    /// Each probe, stage by stage.
    pub probes: Vec<ProbeAnalysis>,
    /// Target against control, for each probe that has a twin.
    pub comparisons: Vec<Comparison>,
}

/// What one probe came to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeAnalysis {
    /// The probe.
    pub name: String,
    /// It looks at the control.
    pub control: bool,
    /// Enough of its samples under faults held; `None` without samples under faults.
    pub held: Option<bool>,
    /// One for each stage.
    pub stages: Vec<StageAnalysis>,
}

/// What one probe saw in one stage.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StageAnalysis {
    /// The stage.
    pub stage: String,
    /// Samples that began in it.
    pub samples: usize,
    /// Of those, how many failed.
    pub failed: usize,
    /// The median of the values.
    pub median: Option<f64>,
    /// The value that 95 % do not pass.
    pub p95: Option<f64>,
    /// The largest.
    pub most: Option<f64>,
}

/// Target against control.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// The probe.
    pub probe: String,
    /// The median on the target, under faults.
    pub target: f64,
    /// The median on the control, in the same time.
    pub control: f64,
    /// The difference of the two,
    pub difference: f64,
    /// and between what it lies, with 95 % confidence: from
    pub low: f64,
    /// to.
    pub high: f64,
    /// The interval does not contain 0: an effect, and not noise.
    pub differs: bool,
}
