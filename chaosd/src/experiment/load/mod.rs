//! The summaries that load tools print at their end, as figures: one small parser for each tool.
//!
//! Invariant: what cannot be read for sure gives fewer figures, never a wrong one. The output may be
//! cut at its front (only the end of it is kept) and at its end (the tool was killed), and may hold
//! whatever else the command printed.
//!
//! Names are the same over tools: `requests`, `requests/s`, `errors`, `latency mean`, `latency p99`,
//! `latency max`, `received`, `sent`. A tool that reports several things puts theirs before it:
//! `read iops`, `GET requests/s`. Times are in ms, rates in 1/s, throughput in bytes/s.

mod command;
mod figures;
mod fio;
mod hey;
mod k6;
mod locust;
mod pgbench;
mod redis_benchmark;
#[cfg(test)]
mod tests;
mod text;
mod units;
mod vegeta;
mod wrk;

use super::record::Figure;
use text::Text;

/// What a load tool said at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// `wrk`, `k6`, `fio`, ...
    pub tool: &'static str,
    /// In the tool's order; never empty.
    pub figures: Vec<Figure>,
}

/// One tool.
#[derive(Debug)]
struct Tool {
    name: &'static str,
    /// Its words on a command line.
    programs: &'static [&'static str],
    /// A line that no other tool prints: how it is told when the command does not name it.
    shape: fn(&Text) -> bool,
    /// Its figures; none when there is no summary of its.
    read: fn(&Text) -> Vec<Figure>,
}

/// The only list of the tools.
const TOOLS: [Tool; 9] = [
    Tool {
        name: "wrk2",
        programs: &["wrk2"],
        shape: wrk::is_wrk2,
        read: wrk::read,
    },
    Tool {
        name: "wrk",
        programs: &["wrk"],
        shape: wrk::is,
        read: wrk::read,
    },
    Tool {
        name: "k6",
        programs: &["k6"],
        shape: k6::is,
        read: k6::read,
    },
    Tool {
        name: "vegeta",
        programs: &["vegeta"],
        shape: vegeta::is,
        read: vegeta::read,
    },
    Tool {
        name: "hey",
        programs: &["hey"],
        shape: hey::is,
        read: hey::read,
    },
    Tool {
        name: "locust",
        programs: &["locust"],
        shape: locust::is,
        read: locust::read,
    },
    Tool {
        name: "fio",
        programs: &["fio"],
        shape: fio::is,
        read: fio::read,
    },
    Tool {
        name: "pgbench",
        programs: &["pgbench"],
        shape: pgbench::is,
        read: pgbench::read,
    },
    Tool {
        name: "redis-benchmark",
        programs: &["redis-benchmark", "valkey-benchmark"],
        shape: redis_benchmark::is,
        read: redis_benchmark::read,
    },
];

/// True when one of a command's words is a load tool that is known here.
pub fn is_tool(command: &[String]) -> bool {
    tool(command).is_some()
}

/// The first load tool among a command's words.
pub fn tool(command: &[String]) -> Option<&'static str> {
    command::named(command).first().map(|tool| tool.name)
}

/// The summary in the end of what a command printed (both of its streams may be in there). `None`:
/// it is no load tool that is known here, or printed no summary.
///
/// The tool is told by the command's words, also behind `sh -c`, `timeout 30`, `taskset` and the
/// like, and failing that by the summary's own form.
pub fn read(command: &[String], output: &str) -> Option<Summary> {
    summary(command, &Text::of(output))
}

fn summary(command: &[String], text: &Text) -> Option<Summary> {
    let named = command::named(command);
    let shaped = TOOLS
        .iter()
        .filter(|tool| !named.iter().any(|other| other.name == tool.name) && (tool.shape)(text));
    named.iter().copied().chain(shaped).find_map(|tool| {
        let figures = (tool.read)(text);
        (!figures.is_empty()).then_some(Summary {
            tool: tool.name,
            figures,
        })
    })
}
