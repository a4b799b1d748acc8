//! The record of a run that was no experiment: one stage, no probes.

use nix::sys::utsname::uname;

use crate::report::{Ended, Phase, RunReport};

use super::record::{Band, Blast, End, Host, Load, Record, SCHEMA, Stage};

/// What a run's own report does not tell.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// The words that ran it, from `chaosd` on; empty when they are not known.
    pub command: Vec<String>,
    /// What the profile says of itself.
    pub about: String,
    /// Seconds from the armed faults to the last of them gone; `None` when nobody looked at a clock:
    /// then as long as it was asked to last.
    pub seconds: Option<f64>,
    /// Who was left out, with why.
    pub spared: Vec<String>,
    /// The command that ran under the faults.
    pub load: Option<Load>,
}

impl Host {
    /// This one.
    pub fn here() -> Self {
        let text = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
        uname().map_or_else(
            |_| Self::default(),
            |names| Self {
                name: text(names.nodename()),
                kernel: text(names.release()),
            },
        )
    }
}

impl Record {
    /// The record of a run that is over.
    pub fn of_run(report: &RunReport, ran: Ran) -> Self {
        let seconds = ran
            .seconds
            .unwrap_or(report.for_seconds - report.left_seconds);
        let seconds = seconds.max(0.0);
        let end = end(report, seconds);
        let mut bands: Vec<Band> = Vec::new();
        for fault in &report.faults {
            if !bands.iter().any(|band| band.fault == fault.name) {
                bands.push(Band {
                    fault: fault.name.clone(),
                    begin: 0.0,
                    end: seconds,
                });
            }
        }
        let hit = if report.members.is_empty() {
            vec![report.target.clone()]
        } else {
            let members = report.members.iter();
            members
                .map(|member| format!("{}, says {}", member.target, member.runtime))
                .collect()
        };
        Self {
            schema: SCHEMA,
            id: report.id.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Host::here(),
            profile: report.profile.clone(),
            command: ran.command,
            about: ran.about,
            hypothesis: None,
            started: report.started.clone(),
            seconds: ran
                .load
                .as_ref()
                .map_or(seconds, |load| seconds.max(load.end)),
            seed: report.seed,
            end,
            stages: vec![Stage {
                name: "run".into(),
                begin: 0.0,
                end: seconds,
                planned: report.for_seconds,
                set: std::collections::BTreeMap::new(),
                armed: Some(0.0),
                over: Some(seconds),
                bands,
                run: Some(report.clone()),
            }],
            probes: Vec::new(),
            aborts: Vec::new(),
            load: ran.load,
            control: None,
            blast: Blast {
                hit,
                spared: ran.spared,
            },
            surprises: String::new(),
            problems: report.problems.clone(),
            notes: report.notes.clone(),
            analysis: None,
        }
        .analysed()
    }
}

impl From<&RunReport> for Record {
    fn from(report: &RunReport) -> Self {
        Self::of_run(report, Ran::default())
    }
}

fn end(report: &RunReport, at: f64) -> End {
    let broken = |why: &str| End::Broken {
        why: why.to_owned(),
        at,
    };
    if report.phase == Phase::Failed {
        return broken("Not everything is as it was before");
    }
    match report.ended {
        Some(Ended::Deadline | Ended::CommandEnded) => End::Completed,
        None | Some(Ended::Reverted | Ended::Shutdown) => End::Interrupted { at },
        Some(Ended::TargetGone) => broken("Its target was gone"),
        Some(Ended::Fenced) => broken("chaosd was late, and its watchdog disarmed the run"),
        Some(Ended::WatchdogLost) => broken("chaosd lost its watchdog"),
        Some(Ended::AskerGone) => broken("Who ran it was gone"),
        Some(Ended::DaemonLost) => broken("The daemon died"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn over(phase: Phase, ended: Ended) -> RunReport {
        RunReport {
            phase,
            ended: Some(ended),
            ..crate::experiment::report::sample::run(
                "r-0000000a",
                &[("lossy", 2, 100, Verdict::Effective)],
            )
        }
    }

    #[test]
    fn a_run_becomes_a_record_of_one_stage() {
        let report = over(Phase::Reverted, Ended::Deadline);
        let record = Record::of_run(
            &report,
            Ran {
                seconds: Some(12.5),
                ..Ran::default()
            },
        );
        assert_eq!(record.end, End::Completed);
        let [stage] = record.stages.as_slice() else {
            panic!("{:?}", record.stages);
        };
        assert_eq!(
            (stage.begin, stage.end, stage.over),
            (0.0, 12.5, Some(12.5))
        );
        assert_eq!(stage.bands.len(), 1);
        assert_eq!(record.blast.hit, [report.target]);
        let analysis = record.analysis();
        assert_eq!((analysis.held, analysis.score), (None, None));
        let unseen = Record::from(&over(Phase::Reverted, Ended::Deadline));
        assert!((unseen.seconds - 60.0).abs() < 1e-9);
    }

    #[test]
    fn how_a_run_ended_is_how_its_record_ends() {
        let end = |phase, ended| Record::from(&over(phase, ended)).end;
        let interrupted = |end| matches!(end, End::Interrupted { .. });
        let broken = |end| matches!(end, End::Broken { .. });
        assert_eq!(end(Phase::Reverted, Ended::CommandEnded), End::Completed);
        assert!(interrupted(end(Phase::Reverted, Ended::Shutdown)));
        assert!(interrupted(end(Phase::Reverted, Ended::Reverted)));
        assert!(broken(end(Phase::Reverted, Ended::TargetGone)));
        assert!(broken(end(Phase::Failed, Ended::Deadline)));
    }
}
