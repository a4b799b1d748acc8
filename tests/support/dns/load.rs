//! dnsperf: thousands of queries a second, and what became of each.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::path_of;
use super::scratch::Scratch;
use crate::cgroup::Cgroup;
use crate::node::Node;

/// Queries at a steady rate.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Where from.
    pub from: &'a Node,
    /// As whose process.
    pub cgroup: Option<&'a Cgroup>,
    /// Who is asked.
    pub server: IpAddr,
    /// In a second; none: as many as come back.
    pub rate: Option<u32>,
    /// For how long.
    pub seconds: u32,
}

/// What dnsperf counted.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Queries sent.
    pub sent: u64,
    /// Answers.
    pub completed: u64,
    /// Queries without one within a second.
    pub lost: u64,
    /// Answers by response code, as dnsperf writes them.
    pub codes: String,
    /// Answers a second.
    pub per_second: f64,
    /// The mean time to an answer.
    pub average: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Load<'_> {
    /// Asks for these names and types (`db.internal A`) over and over.
    pub fn run(&self, queries: &[String]) -> Result<Loaded> {
        let directory = Scratch::new()?;
        let mut lines = String::new();
        for query in queries {
            writeln!(lines, "{query}")?;
        }
        let file = directory.file("queries", &lines)?;
        let program = path_of("dnsperf").context("dnsperf is not installed")?;
        let mut command = match self.cgroup {
            Some(cgroup) => cgroup.command(&program.display().to_string()),
            None => Command::new(program),
        };
        let [server, seconds] = [self.server.to_string(), self.seconds.to_string()];
        command
            .args(["-s", &server, "-l", &seconds, "-t", "1", "-d"])
            .arg(file)
            // Sockets that a busy machine does not overflow, in KiB; as many under way at a time.
            .args(["-b", "4096", "-q", "1000", "-W"])
            .stdin(Stdio::null());
        if let Some(rate) = self.rate {
            command.args(["-Q", &rate.to_string()]);
        }
        let output = self
            .from
            .enter(|| command.output())?
            .context("failed to start dnsperf")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("dnsperf: {}: {text}{said}", output.status);
        }
        parse(&text).with_context(|| format!("dnsperf says: {text}"))
    }
}

fn parse(text: &str) -> Result<Loaded> {
    let field = |name: &str| -> Result<&str> {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .map(str::trim)
            .with_context(|| format!("no {name:?}"))
    };
    let number = |name: &str| -> Result<u64> {
        let word = field(name)?.split_whitespace().next().unwrap_or_default();
        Ok(word.parse()?)
    };
    let latency = field("Average Latency (s):")?;
    let average: f64 = latency
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .parse()?;
    let longest: f64 = latency
        .rsplit("max ")
        .next()
        .unwrap_or_default()
        .trim_end_matches(')')
        .parse()?;
    Ok(Loaded {
        sent: number("Queries sent:")?,
        completed: number("Queries completed:")?,
        lost: number("Queries lost:")?,
        codes: field("Response codes:").unwrap_or_default().to_owned(),
        per_second: field("Queries per second:")?.parse()?,
        average: Duration::from_secs_f64(average),
        longest: Duration::from_secs_f64(longest),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use super::parse;

    #[test]
    fn the_figures_are_read_as_dnsperf_prints_them() {
        let text = "Statistics:\n\n  Queries sent:         1000\n\
            \x20 Queries completed:    999 (99.90%)\n  Queries lost:         1 (0.10%)\n\n\
            \x20 Response codes:       NOERROR 999 (100.00%)\n\
            \x20 Average packet size:  request 32, response 48\n\
            \x20 Run time (s):         1.000166\n  Queries per second:   998.834183\n\n\
            \x20 Average Latency (s):  0.000150 (min 0.000048, max 0.004017)\n";
        let loaded = parse(text).unwrap();
        assert_eq!((loaded.sent, loaded.completed, loaded.lost), (1000, 999, 1));
        assert!(loaded.codes.starts_with("NOERROR 999"));
        assert_eq!(loaded.average.as_micros(), 150);
        assert_eq!(loaded.longest.as_micros(), 4017);
        assert!((loaded.per_second - 998.8).abs() < 0.1);
    }
}
