//! Echoes of ICMP and `ICMPv6`, by the system's `ping`.

use std::process::Command;

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

/// `5 packets transmitted, 4 received, 20% packet loss, time 4ms`
fn answered(text: &str) -> Option<u32> {
    let (before, _) = text.split_once(" received")?;
    before.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::answered;

    #[test]
    fn the_answers_are_counted() {
        let text = "--- x ping statistics ---\n5 packets transmitted, 4 received, 20% packet loss, time 4ms\n";
        assert_eq!(answered(text), Some(4));
        assert_eq!(answered("ping: unknown host"), None);
    }
}
