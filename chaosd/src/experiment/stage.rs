//! The stages one after another, and what comes after the last fault.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    grid::Pace,
    looked::Looked,
    record::{Band, End, Stage},
    runner::{Arms, Goal, LOOKS_BEFORE, Runner, Until, Woke},
    telling::{News, Shows},
};
use crate::{
    profile::{DEFAULT_RECOVERY, Profile, StageSpec},
    report::{Ended, Phase, RunReport},
};

/// A run that ends by its own deadline, rather than by our word, does so no earlier than this before it.
const EARLY: Duration = Duration::from_millis(500);
/// What held packets takes no longer (5.5 s, `report::Phase`).
const DRAINED_WITHIN: Duration = Duration::from_secs(10);

impl<A: Arms, S: Shows> Runner<'_, A, S> {
    /// Goes through all of them; returns how it ended. No fault is in force then.
    pub(super) async fn all_stages(&mut self) -> End {
        if let Err(end) = self.be_steady().await {
            return end;
        }
        if let Err(why) = self.begin_load().await {
            let at = self.seconds(Instant::now());
            return End::Broken { why, at };
        }
        let stages = &self.experiment.stages;
        let last_faults = stages.iter().rposition(|stage| stage.profile.is_some());
        for (n, spec) in stages.iter().enumerate() {
            self.stage = n;
            let faults_to_come = last_faults.is_some_and(|last| n <= last);
            let ended = match &spec.profile {
                Some(profile) => self.with_faults(spec, profile).await,
                None => self.without_faults(spec, faults_to_come).await,
            };
            if let Err(end) = ended {
                if !matches!(end, End::Interrupted { .. }) {
                    // An interruption cuts the look short; why it ended stays.
                    self.recover().await.ok();
                }
                return end;
            }
        }
        if last_faults.is_some_and(|last| last + 1 == stages.len())
            && let Err(end) = self.recover().await
        {
            return end;
        }
        End::Completed
    }

    /// Looks at all before anything is done.
    async fn be_steady(&mut self) -> Result<(), End> {
        if self.looked.is_empty() {
            return Ok(());
        }
        self.show.news(&News::Looking);
        self.watch();
        let woke = self
            .pump(&Until {
                at: None,
                goal: Goal::Looks(LOOKS_BEFORE),
                run: None,
                aborts: false,
            })
            .await;
        if let Woke::Interrupted(signal) = woke {
            return Err(self.interrupted(signal));
        }
        let bad = self.looked.iter().find(|looked| {
            let share = f64::from(looked.good) / f64::from(looked.looks.max(1));
            share * 100.0 < looked.spec.at_least.get()
        });
        if let Some(looked) = bad {
            let why = looked.last().and_then(|last| last.why.clone());
            let why = why.unwrap_or_else(|| "it failed before".to_owned());
            return Err(End::NotSteady {
                why: format!("{} ({}): {why}", looked.name(), looked.spec.kind),
            });
        }
        self.show.news(&News::Steady);
        self.look(Pace::Own);
        Ok(())
    }

    async fn with_faults(&mut self, spec: &StageSpec, profile: &Profile) -> Result<(), End> {
        if self.recovering.take().is_some() {
            self.look(Pace::Own);
        }
        let asked = Instant::now();
        let armed = self.arms.arm(self.stage).await;
        let now = Instant::now();
        let report = match armed {
            Ok(report) => report,
            Err(why) => {
                self.begin_stage(&spec.name, spec.lasts, &spec.set, asked);
                self.end_stage(now);
                let at = self.seconds(now);
                return Err(End::Broken { why, at });
            }
        };
        let id = report.id.clone();
        self.show.news(&News::Stage {
            number: self.stage,
            armed_ms: Some((now - asked).as_secs_f64() * 1e3),
            notes: report.notes.clone(),
        });
        self.begin_stage(&spec.name, spec.lasts, &spec.set, asked);
        let armed = self.seconds(now);
        if let Some(stage) = self.stages.last_mut() {
            stage.armed = Some(armed);
            stage.run = Some(report);
        }
        let ends = now + spec.lasts;
        self.stage_ends = ends;
        let woke = self
            .pump(&Until {
                at: Some(ends),
                goal: Goal::Time,
                run: Some(&id),
                aborts: true,
            })
            .await;
        let happened = Instant::now();
        let at = self.seconds(happened);
        let (over, ended) = match woke {
            Woke::Time | Woke::Reached => (self.arms.revert(&id).await, Ok(())),
            Woke::Aborted(n) => {
                let why = self.abort(n, at);
                let over = self.arms.revert(&id).await;
                let gone = self.seconds(Instant::now());
                (over, Err(End::Aborted { why, at, gone }))
            }
            Woke::Interrupted(signal) => {
                let end = self.interrupted(signal);
                (self.arms.revert(&id).await, Err(end))
            }
            Woke::RunOver(over) => {
                let early = happened + EARLY < ends;
                let over = *over;
                let why = match &over {
                    Ok(run) => cut_short(run, early),
                    Err(why) => Some(why.clone()),
                };
                if let Some(why) = &why {
                    self.show.news(&News::Broken { why: why.clone() });
                }
                (over, why.map_or(Ok(()), |why| Err(End::Broken { why, at })))
            }
        };
        let gone = Instant::now();
        if let Err(End::Aborted { .. } | End::Interrupted { .. }) = ended {
            let after = (gone - happened).as_secs_f64();
            self.show.news(&News::Reverted { after });
        }
        self.faults_are_gone(gone, profile, over.as_ref().ok());
        self.end_stage(gone);
        match over {
            Ok(_) => ended,
            Err(why) => Err(End::Broken { why, at }),
        }
    }

    async fn without_faults(&mut self, spec: &StageSpec, faults_to_come: bool) -> Result<(), End> {
        let begin = Instant::now();
        self.show.news(&News::Stage {
            number: self.stage,
            armed_ms: None,
            notes: Vec::new(),
        });
        self.begin_stage(&spec.name, spec.lasts, &spec.set, begin);
        let ends = begin + spec.lasts;
        self.stage_ends = ends;
        let goal = if self.recovering.is_some() {
            self.look(Pace::Fast);
            Goal::Recovered(spec.until_steady)
        } else {
            Goal::Time
        };
        let woke = self
            .pump(&Until {
                at: Some(ends),
                goal,
                run: None,
                // There is nothing left that it could end.
                aborts: faults_to_come,
            })
            .await;
        let now = Instant::now();
        self.end_stage(now);
        let at = self.seconds(now);
        match woke {
            Woke::Aborted(n) => {
                let why = self.abort(n, at);
                Err(End::Aborted { why, at, gone: at })
            }
            Woke::Interrupted(signal) => Err(self.interrupted(signal)),
            _ => {
                self.recovered_or_not();
                Ok(())
            }
        }
    }

    /// Where no stage is left for it: how long until all is well again.
    async fn recover(&mut self) -> Result<(), End> {
        let watches = self.looked.iter().any(Looked::is_of_steady_state);
        if !watches || self.recovering.is_none() {
            return Ok(());
        }
        let mut later = self.experiment.stages.iter().skip(self.stage + 1);
        let planned = later.rfind(|stage| stage.profile.is_none());
        let (name, lasts) = planned.map_or(("recovery", DEFAULT_RECOVERY), |stage| {
            (stage.name.as_str(), stage.lasts)
        });
        let begin = Instant::now();
        self.begin_stage(name, lasts, &BTreeMap::new(), begin);
        self.stage_ends = begin + lasts;
        self.look(Pace::Fast);
        let woke = self
            .pump(&Until {
                at: Some(begin + lasts),
                goal: Goal::Recovered(true),
                run: None,
                aborts: false,
            })
            .await;
        self.end_stage(Instant::now());
        if let Woke::Interrupted(signal) = woke {
            return Err(self.interrupted(signal));
        }
        self.recovered_or_not();
        Ok(())
    }

    fn abort(&mut self, condition: usize, at: f64) -> String {
        self.fired[condition] = Some(at);
        self.conditions[condition].came_true();
        let why = self.conditions[condition].told();
        self.show.news(&News::Ending { why: why.clone() });
        why
    }

    fn interrupted(&mut self, signal: &str) -> End {
        let at = self.seconds(Instant::now());
        let why = signal.to_owned();
        self.show.news(&News::Ending { why });
        End::Interrupted { at }
    }

    fn begin_stage(
        &mut self,
        name: &str,
        lasts: Duration,
        set: &BTreeMap<String, String>,
        begin: Instant,
    ) {
        let begin = self.seconds(begin);
        self.stages.push(Stage {
            name: name.to_owned(),
            begin,
            end: begin,
            planned: lasts.as_secs_f64(),
            set: set.clone(),
            armed: None,
            over: None,
            bands: Vec::new(),
            run: None,
        });
    }

    fn end_stage(&mut self, at: Instant) {
        let end = self.seconds(at);
        if let Some(stage) = self.stages.last_mut() {
            stage.end = end;
        }
    }

    /// `report`: what is known of its run at last.
    fn faults_are_gone(&mut self, gone: Instant, profile: &Profile, report: Option<&RunReport>) {
        self.recovering = Some(gone);
        self.looked
            .iter_mut()
            .for_each(|looked| looked.forget(gone));
        let over = self.seconds(gone);
        let Some(stage) = self.stages.last_mut() else {
            return;
        };
        stage.over = Some(over);
        if let Some(report) = report {
            stage.run = Some(report.clone());
        }
        let armed = stage.armed.unwrap_or(over);
        let bands = profile.faults.iter().map(|fault| {
            let begin = armed + fault.timeline.after.as_secs_f64();
            let lasts = fault.timeline.lasts.map(|time| begin + time.as_secs_f64());
            Band {
                fault: fault.name.clone(),
                begin: begin.min(over),
                end: lasts.unwrap_or(over).min(over),
            }
        });
        stage.bands = bands.filter(|band| band.end > band.begin).collect();
    }

    /// What runs that held packets came to at last.
    pub(super) async fn last_reports(&mut self) {
        let arms = self.arms;
        for stage in &mut self.stages {
            let draining = |run: &&mut RunReport| run.phase == Phase::Draining;
            if let Some(run) = stage.run.as_mut().filter(draining)
                && let Ok(Ok(report)) = timeout(DRAINED_WITHIN, arms.wait(&run.id)).await
            {
                *run = report;
            }
        }
    }
}

/// Why a run was over that nobody here has ended; `None`: its time was up.
fn cut_short(report: &RunReport, early: bool) -> Option<String> {
    let why = match report.ended {
        Some(Ended::Deadline) if !early => return None,
        Some(Ended::Deadline) => "it came to its end early",
        Some(Ended::Reverted) => "somebody reverted it",
        Some(Ended::Shutdown) => "chaosd was told to stop",
        Some(Ended::TargetGone) => "its target is gone",
        Some(Ended::Fenced) => "chaosd was late, and its watchdog took over",
        Some(Ended::CommandEnded) => "its command ended",
        Some(Ended::WatchdogLost) => "chaosd lost its watchdog",
        Some(Ended::AskerGone) => "chaosd lost the connection to who asked for it",
        Some(Ended::DaemonLost) => "the daemon died",
        None => "it was over",
    };
    Some(format!("run {}: {why}", report.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::report::sample;

    fn over(ended: Ended) -> RunReport {
        RunReport {
            ended: Some(ended),
            ..sample::run("r-00000001", &[])
        }
    }

    #[test]
    fn only_a_run_that_was_there_for_its_time_ends_well() {
        assert_eq!(cut_short(&over(Ended::Deadline), false), None);
        for (ended, early) in [
            (Ended::Deadline, true),
            (Ended::TargetGone, false),
            (Ended::Fenced, true),
            (Ended::Reverted, false),
        ] {
            assert!(cut_short(&over(ended), early).is_some(), "{ended:?}");
        }
    }
}
