//! The exit codes: a promise to scripts.

use std::process::ExitCode;

use crate::report::{Ended, Phase, RunReport, Verdict};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done and reverted.
    Done,
    /// 1: a run is not as `status --expect` says.
    Unexpected,
    /// 2: bad usage or profile.
    Usage,
    /// 3: this host cannot do it.
    Host,
    /// 4: the steady state of an experiment did not hold.
    Aborted,
    /// 5: a fault had no effect.
    NoEffect,
    /// 5: a packet that was to be held was lost by our own queue: not the effect asked for.
    Overflow,
    /// 6: something could not be reverted.
    NotReverted,
    /// 130: interrupted and reverted.
    Interrupted,
    /// The code of the command that ran under the fault.
    Command(u8),
}

impl Exit {
    /// What clap's answer comes to: help and version are successes.
    pub(super) fn of_usage(error: &clap::Error) -> Self {
        if error.use_stderr() {
            Self::Usage
        } else {
            Self::Done
        }
    }

    /// What a run that is over comes to. The worst news wins: left-overs, then an interruption,
    /// then a failed command, then a fault without effect or with another than was asked for.
    pub(super) fn of_run(report: &RunReport, interrupted: bool, command: Option<u8>) -> Self {
        let no_effect = |verdict| matches!(verdict, Verdict::Ineffective | Verdict::NoTraffic);
        let cut_short = matches!(
            report.ended,
            Some(
                Ended::Shutdown
                    | Ended::Fenced
                    | Ended::WatchdogLost
                    | Ended::AskerGone
                    | Ended::DaemonLost
            )
        );
        match command {
            _ if report.phase == Phase::Failed => Self::NotReverted,
            _ if interrupted || cut_short => Self::Interrupted,
            Some(code) if code != 0 => Self::Command(code),
            _ if report.faults.iter().any(|f| f.verdict == Verdict::Overflow) => Self::Overflow,
            _ if report.faults.iter().any(|f| no_effect(f.verdict)) => Self::NoEffect,
            _ => Self::Done,
        }
    }

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Host => 3,
            Self::Aborted => 4,
            Self::NoEffect | Self::Overflow => 5,
            Self::NotReverted => 6,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::report::sample;

    fn over(phase: Phase, ended: Ended, verdicts: &[Verdict]) -> RunReport {
        let faults: Vec<_> = verdicts
            .iter()
            .map(|verdict| ("drop", 0, 0, *verdict))
            .collect();
        RunReport {
            phase,
            ended: Some(ended),
            ..sample::run("r-00000001", &faults)
        }
    }

    fn code(report: &RunReport, interrupted: bool, command: Option<u8>) -> u8 {
        Exit::of_run(report, interrupted, command).code()
    }

    #[test]
    fn the_worst_news_wins() {
        let good = over(
            Phase::Reverted,
            Ended::Deadline,
            &[Verdict::Effective, Verdict::Spared],
        );
        let idle = over(
            Phase::Reverted,
            Ended::Deadline,
            &[Verdict::Effective, Verdict::NoTraffic],
        );
        let missed = over(Phase::Reverted, Ended::Deadline, &[Verdict::Ineffective]);
        let spilt = over(
            Phase::Reverted,
            Ended::Deadline,
            &[Verdict::Effective, Verdict::Overflow],
        );
        let stuck = over(Phase::Failed, Ended::Deadline, &[Verdict::Ineffective]);
        assert_eq!(code(&good, false, None), 0);
        assert_eq!(code(&good, false, Some(0)), 0);
        assert_eq!(code(&idle, false, None), 5);
        assert_eq!(code(&spilt, false, None), 5);
        assert_eq!(code(&spilt, false, Some(7)), 7);
        assert_eq!(code(&missed, false, Some(0)), 5);
        assert_eq!(code(&missed, false, Some(7)), 7);
        assert_eq!(code(&missed, true, Some(7)), 130);
        assert_eq!(code(&stuck, true, Some(7)), 6);
    }

    #[test]
    fn a_run_that_somebody_cut_short_was_interrupted() {
        for ended in [Ended::Shutdown, Ended::Fenced, Ended::WatchdogLost] {
            assert_eq!(code(&over(Phase::Reverted, ended, &[]), false, None), 130);
        }
        for ended in [Ended::Reverted, Ended::TargetGone, Ended::CommandEnded] {
            assert_eq!(code(&over(Phase::Reverted, ended, &[]), false, None), 0);
        }
    }
}
