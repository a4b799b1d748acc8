//! What came of the lives of a group's members, added up.

use crate::report::{FaultReport, Phase, RunReport, Verdict};

use super::{packets::verdict, run::LEFT_ALONE};

/// Queries of all members that are told of.
const MOST_QUERIES: usize = 64;
/// Things that went wrong with lives that are long over, or were left alone by them, and that are told of.
const MOST_TOLD: usize = 100;

/// Lives that are over, of which only the sum is told.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// How many.
    pub lives: usize,
    /// What each fault did in all of them.
    pub faults: Vec<FaultReport>,
    /// What went wrong, and with whom.
    pub problems: Vec<String>,
    /// What was left alone.
    pub notes: Vec<String>,
    /// Not everything of them was put back.
    pub failed: bool,
}

impl Past {
    /// One more, that is reverted or failed to be.
    pub fn take(&mut self, life: &RunReport) {
        self.lives += 1;
        self.failed |= life.phase == Phase::Failed;
        for fault in &life.faults {
            add(&mut self.faults, fault);
        }
        for effect in self.faults.iter_mut().filter_map(|f| f.effect.as_mut()) {
            effect.told = format!("was in force in {} lives before", self.lives);
        }
        let told = |text: &String| format!("{}: {text}", life.target);
        let left_alone = life.notes.iter().filter(|n| n.starts_with(LEFT_ALONE));
        for (all, new) in [
            (&mut self.problems, life.problems.iter().map(told).collect()),
            (&mut self.notes, left_alone.map(told).collect::<Vec<_>>()),
        ] {
            all.extend(new);
            all.truncate(MOST_TOLD);
        }
    }
}

/// Adds what a fault did to one to what it did to others.
pub(super) fn add(faults: &mut Vec<FaultReport>, part: &FaultReport) {
    let same =
        |other: &&mut FaultReport| (&other.name, &other.part_of) == (&part.name, &part.part_of);
    match faults.iter_mut().find(same) {
        Some(whole) => add_to(whole, part),
        None => faults.push(part.clone()),
    }
}

fn add_to(whole: &mut FaultReport, part: &FaultReport) {
    whole.ingress += part.ingress;
    whole.egress += part.egress;
    match (&mut whole.dns, &part.dns) {
        (Some(whole), Some(part)) => {
            whole.answered += part.answered;
            whole.tcp += part.tcp;
            whole.last.extend(part.last.iter().cloned());
            whole.last.sort_by(|a, b| b.at.cmp(&a.at));
            whole.last.truncate(MOST_QUERIES);
        }
        (whole @ None, part) => whole.clone_from(part),
        (Some(_), None) => {}
    }
    match (&mut whole.effect, &part.effect) {
        (Some(whole), Some(part)) => {
            whole.told = format!("{}; {}", whole.told, part.told);
            whole.reached = whole.reached.zip(part.reached).map(|(a, b)| a + b);
            whole.asked = whole.asked.zip(part.asked).map(|(a, b)| a + b);
        }
        (whole @ None, part) => whole.clone_from(part),
        (Some(_), None) => {}
    }
    whole.verdict = if whole.effect.is_some() {
        better(whole.verdict, part.verdict)
    } else if whole.verdict == Verdict::NotTaken && part.verdict == Verdict::NotTaken {
        Verdict::NotTaken
    } else {
        verdict(whole.total())
    };
}

/// Of faults that act on the machine: what acted somewhere acted.
fn better(a: Verdict, b: Verdict) -> Verdict {
    if a == Verdict::Effective { a } else { b }
}
