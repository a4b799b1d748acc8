//! What was reverted, and what was not.

use crate::{
    cli::{
        out::{BAD, GOOD, WARN, paint},
        revert::Reverted,
    },
    report::Phase,
    undo::RevertReport,
};

/// What came of `chaosd revert`.
pub(in crate::cli) fn revert(reverted: &Reverted) -> String {
    let mut lines = Vec::new();
    for run in &reverted.runs {
        if run.phase == Phase::Failed {
            let head = format!("{} ended, and not everything is as before:", run.id);
            lines.push(paint(BAD, head));
            lines.extend(run.problems.iter().map(|problem| format!("  {problem}")));
        } else {
            lines.push(format!("{} reverted", paint(GOOD, &run.id)));
        }
    }
    for pid in &reverted.ended {
        lines.push(format!("process {pid} ended; what it had done is reverted"));
    }
    lines.extend(self::reverted(&reverted.left));
    lines.extend(reverted.problems.iter().map(|problem| paint(BAD, problem)));
    if lines.is_empty() {
        return "nothing to revert".to_owned();
    }
    lines.join("\n")
}

/// What became of left-overs; no line when there were none.
pub(in crate::cli) fn reverted(left: &RevertReport) -> Vec<String> {
    let undone = left
        .undone
        .iter()
        .map(|what| format!("left-over undone: {what}"));
    let alone = left
        .left_alone
        .iter()
        .map(|what| format!("{} {what}", paint(WARN, "left alone:")));
    let failed = left
        .failed
        .iter()
        .map(|failure| format!("{} {failure}", paint(BAD, "not reverted:")));
    undone.chain(alone).chain(failed).collect()
}
