//! Echoes of ICMP and `ICMPv6`, by the system's `ping`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::node::{Family, Node};

/// Sends `count` echo requests, 10 ms apart, and returns how many were answered within 1 s.
pub fn ping(from: &Node, to: &Node, family: Family, count: u32) -> Result<u32> {
    let address = to.address_facing(from, family)?.to_string();
    let count = count.to_string();
    let output = from
        .enter(|| {
            let args = ["-n", "-q", "-i", "0.01", "-W", "1", "-c", &count, &address];
            Command::new("ping").args(args).output()
        })?
        .context("failed to start ping")?;
    let text = String::from_utf8_lossy(&output.stdout);
    answered(&text).with_context(|| {
        format!(
            "ping {address}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// The round trips of `count` echoes, 10 ms apart, of those that were answered within 5 s.
pub fn round_trips(from: &Node, to: &Node, family: Family, count: u32) -> Result<Vec<Duration>> {
    let address = to.address_facing(from, family)?.to_string();
    let count = count.to_string();
    let output = from
        .enter(|| {
            let args = ["-n", "-i", "0.01", "-W", "5", "-c", &count, &address];
            Command::new("ping").args(args).output()
        })?
        .context("failed to start ping")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(round_trip).collect())
}

/// `64 bytes from 198.18.0.2: icmp_seq=1 ttl=64 time=20.3 ms`
fn round_trip(line: &str) -> Option<Duration> {
    let (_, time) = line.split_once(" time=")?;
    let ms: f64 = time.split(' ').next()?.parse().ok()?;
    Some(Duration::from_secs_f64(ms / 1e3))
}

/// `5 packets transmitted, 4 received, 20% packet loss, time 4ms`
fn answered(text: &str) -> Option<u32> {
    let (before, _) = text.split_once(" received")?;
    before.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{answered, round_trip};

    #[test]
    fn the_answers_are_counted() {
        let text = "--- x ping statistics ---\n5 packets transmitted, 4 received, 20% packet loss, time 4ms\n";
        assert_eq!(answered(text), Some(4));
        assert_eq!(answered("ping: unknown host"), None);
    }

    #[test]
    fn a_round_trip_is_read_from_its_line() {
        let line = "64 bytes from 198.18.0.2: icmp_seq=1 ttl=64 time=20.3 ms";
        assert_eq!(round_trip(line), Some(Duration::from_micros(20_300)));
        assert_eq!(round_trip("PING 198.18.0.2 56(84) bytes of data."), None);
    }
}
