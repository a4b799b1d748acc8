//! The table as it grows: a line for each row when it is done, and below them, on a terminal, the
//! row under way. Every line fits in 80 cells.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde_json::{Value, json};

use crate::row::{Row, Seen};
use crate::scene::Aftermath;
use crate::words;

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

const FRAME: Duration = Duration::from_millis(100);
const FRAMES: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const BAR_CELLS: usize = 20;

pub struct Table {
    json: bool,
    live: bool,
    total: usize,
    rows: Vec<Value>,
    group: &'static str,
    failed: usize,
    lacking: usize,
}

impl Table {
    /// For so many rows.
    pub fn new(total: usize, json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let table = Self {
            json,
            live: !dumb && std::io::stderr().is_terminal(),
            total,
            rows: Vec::new(),
            group: "",
            failed: 0,
            lacking: 0,
        };
        table.say(&format!(
            "\n  {BOLD}{:<15}{:<4}{:<5}{:<8}{:<29}{:<7}{}{BOLD:#}",
            "fault", "ip", "dir", "asked", "a peer measured", "off by", "bystander"
        ));
        table
    }

    fn say(&self, line: &str) {
        if !self.json {
            // A reader that has gone must not end the demonstration before it has cleaned up.
            drop(writeln!(anstream::stdout().lock(), "{line}"));
        }
    }

    /// Work that makes no row.
    pub fn setting_up<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.under_way("the laboratory", work)
    }

    pub fn group(&mut self, title: &'static str) {
        self.group = title;
        self.say(&format!("\n{BOLD}{title}{BOLD:#}"));
    }

    /// Does the work of a row and prints it.
    pub fn row(&mut self, row: &Row, work: impl FnOnce() -> Result<Seen>) -> Result<()> {
        let label = format!("{} {} {} {}", row.fault, row.ip, row.direction, row.asked);
        let seen = self.under_way(&label, work)?;
        let beside = seen.beside;
        let (holds, spared) = (seen.holds, beside.untouched());
        let (mark, style) = if holds && spared {
            ('✓', GOOD)
        } else {
            ('✗', BAD)
        };
        let (measured, spared) = (
            if holds { Style::new() } else { BAD },
            if spared { DIM } else { BAD },
        );
        let lost = format!(
            "{}/{}",
            words::grouped(beside.lost),
            words::grouped(beside.sent)
        );
        let anew = match beside.reconnects {
            0 => String::new(),
            n => format!(" +{n}"),
        };
        self.say(&format!(
            "{style}{mark}{style:#} {:<15}{DIM}{:<4}{:<5}{DIM:#}{:<8}{measured}{:<29}{:<7}{measured:#}{spared}{lost}{anew}{spared:#}",
            row.fault, row.ip, row.direction, row.asked, seen.measured, seen.off
        ));
        self.failed += usize::from(mark == '✗');
        self.rows.push(json!({
            "measures": self.group,
            "fault": row.fault,
            "ip": row.ip,
            "direction": row.direction,
            "asked": row.asked,
            "measured": seen.measured.trim(),
            "off": seen.off,
            "bystander": {"sent": beside.sent, "lost": beside.lost, "reconnects": beside.reconnects},
            "holds": mark == '✓',
        }));
        Ok(())
    }

    /// Prints a row that this kernel cannot show: neither a success nor a failure.
    pub fn lacking(&mut self, row: &Row, what: &str) {
        self.say(&format!(
            "{DIM}- {:<15}{:<4}{:<5}{:<8}{what}{DIM:#}",
            row.fault, row.ip, row.direction, row.asked
        ));
        self.lacking += 1;
        self.rows.push(json!({
            "measures": self.group,
            "fault": row.fault,
            "ip": row.ip,
            "direction": row.direction,
            "asked": row.asked,
            "lacking": what,
        }));
    }

    pub fn holds(&self) -> bool {
        self.failed == 0 && self.rows.len() == self.total
    }

    pub fn end(&self, aftermath: &Aftermath, seed: u64, elapsed: Duration) {
        let echo = &aftermath.echo;
        let seconds = elapsed.as_secs_f64();
        if self.json {
            let document = json!({
                "rows": self.rows,
                "bystander": {
                    "round-trips": echo.round_trips,
                    "reconnects": echo.reconnects,
                    "lost-bytes": echo.lost_bytes,
                },
                "left-behind": aftermath.changes,
                "seed": seed,
                "seconds": seconds,
                "holds": self.holds() && aftermath.holds(),
            });
            println!("{document:#}");
            return;
        }
        self.say(&format!(
            "\n{DIM}off by     standard deviations (or as it says) from what was asked; up to 3\n\
             bystander  datagrams lost of those sent to a peer that no fault names\n\
             --seed     {seed}: hits the same packets again, so that what holds holds each time{DIM:#}\n"
        ));
        self.verdict(
            echo.reconnects == 0 && echo.lost_bytes == 0,
            &format!(
                "the bystander's TCP connection: {} round trips, {} reconnects, {} bytes lost",
                words::grouped(echo.round_trips),
                echo.reconnects,
                echo.lost_bytes
            ),
        );
        if aftermath.changes.is_empty() {
            self.verdict(
                true,
                "the target's namespace is as it was before chaosd came",
            );
        } else {
            self.verdict(false, &format!("left behind:\n{}", aftermath.changes));
        }
        self.verdict(
            self.holds(),
            &format!(
                "{} of {} rows hold, in {seconds:.0} s{}",
                self.rows.len() - self.failed - self.lacking,
                self.total - self.lacking,
                match self.lacking {
                    0 => String::new(),
                    n => format!("; {n} more need what this kernel lacks"),
                }
            ),
        );
    }

    fn verdict(&self, well: bool, line: &str) {
        let (mark, style) = if well { ('✓', GOOD) } else { ('✗', BAD) };
        self.say(&format!("{style}{mark}{style:#} {line}"));
    }

    /// Does `work` under a line that shows that it lives.
    fn under_way<T>(&self, label: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.live {
            return work();
        }
        let started = Instant::now();
        let done = (self.rows.len() * BAR_CELLS)
            .checked_div(self.total)
            .unwrap_or(0);
        let (bar, rest) = ("━".repeat(done), "━".repeat(BAR_CELLS - done));
        let count = format!("{}/{}", self.rows.len(), self.total);
        let (stop, stopped) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for frame in FRAMES.iter().cycle() {
                    let seconds = started.elapsed().as_secs_f64();
                    anstream::eprint!(
                        "\r\x1b[2K{frame} {GOOD}{bar}{GOOD:#}{DIM}{rest}{DIM:#} {count}  {label} {DIM}{seconds:.1} s{DIM:#}"
                    );
                    // A terminal that went away must not end the demonstration.
                    drop(std::io::stderr().flush());
                    if stopped.recv_timeout(FRAME) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
                anstream::eprint!("\r\x1b[2K");
            });
            let result = work();
            drop(stop);
            result
        })
    }
}

/// Why there is no table.
pub fn failure(error: &anyhow::Error) {
    anstream::eprintln!("{BAD}error{BAD:#}: {error:#}");
}
