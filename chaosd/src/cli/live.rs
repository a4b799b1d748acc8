//! The live line of a foreground run: on a terminal only, one line, redrawn in place.

use std::{
    io::{IsTerminal, Write},
    time::Instant,
};

use super::{
    out::{BOLD, DIM, GOOD, paint},
    render,
};
use crate::report::{Count, FaultReport, RunReport};

const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// Cells of the bar that shows the time left.
const BAR_CELLS: u32 = 20;

#[derive(Debug)]
pub(super) struct Live {
    on: bool,
    frame: usize,
    last: Option<(Instant, Vec<Count>)>,
}

impl Live {
    /// `wanted`, and stderr is a terminal that can redraw a line.
    pub(super) fn new(wanted: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: wanted && !dumb && std::io::stderr().is_terminal(),
            frame: 0,
            last: None,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn draw(&mut self, report: &RunReport) {
        if !self.on {
            return;
        }
        let now = Instant::now();
        let counts: Vec<Count> = report.faults.iter().map(FaultReport::total).collect();
        let before = self.last.replace((now, counts));
        let rates = before.map(|(then, counts)| (counts, (now - then).as_secs_f64()));
        self.frame = (self.frame + 1) % FRAMES.len();
        let line = line(report, rates.as_ref(), FRAMES[self.frame], width());
        // ECMA-48: to the line's start, erase to its end.
        let mut stderr = anstream::stderr().lock();
        write!(stderr, "\r\x1b[2K{line}")
            .and_then(|()| stderr.flush())
            .ok();
    }

    pub(super) fn clear(&mut self) {
        if self.on && self.last.take().is_some() {
            let mut stderr = anstream::stderr().lock();
            write!(stderr, "\r\x1b[2K")
                .and_then(|()| stderr.flush())
                .ok();
        }
    }
}

pub(super) fn width() -> usize {
    let mut table = comfy_table::Table::new();
    render::terminal_width(table.use_stderr().width()).into()
}

/// One line that fits in `width` cells. `before` holds the counts of some seconds ago.
fn line(
    report: &RunReport,
    before: Option<&(Vec<Count>, f64)>,
    frame: char,
    width: usize,
) -> String {
    let left = render::seconds(report.left_seconds);
    let head = format!("{frame} {} ", report.id);
    let tail = format!(" {left} left");
    let cells = BAR_CELLS as usize;
    let mut room = width.saturating_sub(head.chars().count() + cells + tail.chars().count() + 1);
    let done = filled(report);
    let mut text = format!(
        "{}{}{}{}",
        paint(BOLD, head),
        paint(GOOD, "━".repeat(done)),
        paint(DIM, "━".repeat(cells - done)),
        tail
    );
    for (n, fault) in report.faults.iter().enumerate() {
        let doing = match &fault.effect {
            Some(effect) => effect.told.clone(),
            None => rates(fault.total(), n, before),
        };
        let part = format!("  {}: {doing}", fault.name);
        let length = part.chars().count();
        if length > room {
            text.push_str(if room >= 2 { " …" } else { "" });
            break;
        }
        room -= length;
        text.push_str(&part);
    }
    text
}

fn filled(report: &RunReport) -> usize {
    let share = (report.left_seconds / report.for_seconds.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    (0..BAR_CELLS)
        .filter(|cell| f64::from(*cell) < share * f64::from(BAR_CELLS))
        .count()
}

fn rates(now: Count, n: usize, before: Option<&(Vec<Count>, f64)>) -> String {
    let text = acting(now, n, before);
    if now.overflow == 0 {
        return text;
    }
    format!("{text}, {} OVERFLOW", render::grouped(now.overflow))
}

fn acting(now: Count, n: usize, before: Option<&(Vec<Count>, f64)>) -> String {
    let past = before.and_then(|(counts, seconds)| Some((counts.get(n)?, *seconds)));
    let Some((past, seconds)) = past.filter(|(_, seconds)| *seconds > 0.0) else {
        return format!(
            "{} matched, {} affected",
            render::grouped(now.matched),
            render::grouped(now.affected)
        );
    };
    format!(
        "{}/s matched, {}/s affected",
        render::grouped(per_second(
            now.matched.saturating_sub(past.matched),
            seconds
        )),
        render::grouped(per_second(
            now.affected.saturating_sub(past.affected),
            seconds
        )),
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate shown to people; the cast saturates"
)]
fn per_second(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Phase, Verdict};

    fn report(matched: u64) -> RunReport {
        let fault = |name: &str| FaultReport {
            name: name.into(),
            kind: "drop".into(),
            part_of: None,
            what: String::new(),
            ingress: Count {
                seen: 1000,
                matched,
                affected: matched / 2,
                ..Count::default()
            },
            egress: Count::default(),
            verdict: Verdict::Effective,
            dns: None,
            effect: None,
        };
        RunReport {
            id: "r-00000001".into(),
            profile: "inject".into(),
            target: "this host".into(),
            phase: Phase::Armed,
            ended: None,
            started: String::new(),
            for_seconds: 60.0,
            left_seconds: 30.0,
            seed: 0,
            arm_ms: 1.0,
            faults: vec![fault("lossy"), fault("another-fault-with-a-long-name")],
            members: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn plain(width: usize, before: Option<&(Vec<Count>, f64)>) -> String {
        let line = line(&report(2500), before, '⠋', width);
        anstream::adapter::strip_str(&line).to_string()
    }

    #[test]
    fn the_line_shows_rates_and_fits_the_terminal() {
        let past = (vec![report(2000).faults[0].total()], 0.25);
        let line = plain(100, Some(&past));
        assert!(line.contains("30s left"), "{line}");
        assert!(
            line.contains("lossy: 2,000/s matched, 1,000/s affected"),
            "{line}"
        );
        assert!(line.ends_with('…'), "{line}");
        for width in [0, 20, 40, 60, 80, 120, 200] {
            let length = plain(width, Some(&past)).chars().count();
            assert!(length <= width.max(43), "{length} cells for {width}");
        }
    }

    #[test]
    fn a_queue_that_lost_packets_is_shown_at_once() {
        let now = Count {
            overflow: 1234,
            ..Count::default()
        };
        assert_eq!(rates(now, 0, None), "0 matched, 0 affected, 1,234 OVERFLOW");
        let calm = Count::default();
        assert_eq!(rates(calm, 0, None), "0 matched, 0 affected");
    }

    #[test]
    fn the_bar_is_half_full_at_half_time() {
        assert_eq!(filled(&report(0)), 10);
    }
}
