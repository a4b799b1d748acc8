//! The kernel's protocol counters of a namespace: `/proc/net/snmp`, `netstat`
//! and `snmp6`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::node::Node;

/// All counters at one moment, as `TcpInCsumErrors`, `UdpRcvbufErrors`, `Udp6InCsumErrors`,
/// `TcpExtTCPDSACKOldSent`.
/// TCP counts both families together under `Tcp`.
#[derive(Clone, Debug)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Reads them inside the node's namespace.
    pub fn read(node: &Node) -> Result<Self> {
        // `/proc/net` is a link to the main thread's namespace, not to the calling thread's.
        let read = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}"));
        let (v4, more, v6) = node
            .enter(|| std::io::Result::Ok((read("snmp")?, read("netstat")?, read("snmp6")?)))?
            .with_context(|| format!("failed to read the counters of {}", node.netns()))?;
        let pairs = parse_pairs(&v4).chain(parse_pairs(&more));
        Ok(Self(pairs.chain(parse_lines(&v6)).collect()))
    }

    /// One counter.
    ///
    /// # Panics
    /// When the kernel has none of this name, since a test of it would hold always.
    #[track_caller]
    pub fn get(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(value) => *value,
            None => panic!("the kernel has no counter {name}"),
        }
    }

    /// How much a counter has grown since `before`.
    #[track_caller]
    pub fn since(&self, before: &Self, name: &str) -> u64 {
        self.get(name).saturating_sub(before.get(name))
    }
}

/// Lines in pairs: `Tcp: RtoAlgorithm RtoMin ...` then `Tcp: 1 200 ...`.
fn parse_pairs(text: &str) -> impl Iterator<Item = (String, u64)> {
    let lines: Vec<_> = text.lines().collect();
    let mut values = Vec::new();
    for pair in lines.chunks_exact(2) {
        let protocol = pair[0].split(':').next().unwrap_or_default();
        for (name, value) in pair[0]
            .split_whitespace()
            .zip(pair[1].split_whitespace())
            .skip(1)
        {
            // MaxConn is -1.
            if let Ok(value) = value.parse() {
                values.push((format!("{protocol}{name}"), value));
            }
        }
    }
    values.into_iter()
}

/// One to a line: `Udp6InCsumErrors   0`.
fn parse_lines(text: &str) -> impl Iterator<Item = (String, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(char::is_whitespace)?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_lines, parse_pairs};

    #[test]
    fn both_formats_are_read() {
        let pairs: Vec<_> = parse_pairs("Tcp: MaxConn InCsumErrors\nTcp: -1 7\n").collect();
        assert_eq!(pairs, [("TcpInCsumErrors".to_owned(), 7)]);
        let lines: Vec<_> = parse_lines("Udp6InCsumErrors   \t9\n").collect();
        assert_eq!(lines, [("Udp6InCsumErrors".to_owned(), 9)]);
    }
}
