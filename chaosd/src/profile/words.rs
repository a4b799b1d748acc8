//! The nearest valid word to one that is not.

/// Words that people bring from other tools.
const SYNONYMS: &[(&str, &str)] = &[
    ("loss", "drop"),
    ("lose", "drop"),
    ("packet-loss", "drop"),
    ("corruption", "corrupt"),
    ("blackhole", "partition"),
    ("cut", "partition"),
    ("rst", "reset"),
    ("latency", "delay"),
    ("lag", "delay"),
    ("slow", "delay"),
    ("dup", "duplicate"),
    ("duplication", "duplicate"),
    ("reordering", "reorder"),
    ("throttle", "bandwidth"),
    ("shape", "bandwidth"),
    ("rate-limit", "bandwidth"),
    ("limit", "bandwidth"),
    ("tbf", "bandwidth"),
    ("latency", "time"),
    ("delay", "time"),
    ("mean", "time"),
    ("stddev", "jitter"),
    ("deviation", "jitter"),
    ("variation", "jitter"),
    ("limit", "queue"),
    ("buffer", "queue"),
    ("count", "copies"),
    ("delay", "by"),
    ("time", "by"),
    ("gilbert-elliott", "gemodel"),
    ("file", "table"),
    ("path", "table"),
    ("gauss", "normal"),
    ("gaussian", "normal"),
    ("nslookup", "dns"),
    ("resolver", "dns"),
    ("nx", "nxdomain"),
    ("noerror", "empty"),
    ("nodata", "empty"),
    ("blackhole", "drop"),
    ("timeout", "drop"),
    ("fail", "servfail"),
    ("a", "A"),
    ("ipv4", "A"),
    ("aaaa", "AAAA"),
    ("ipv6", "AAAA"),
    ("domains", "names"),
    ("hosts", "names"),
    ("hostnames", "names"),
    ("except", "not-names"),
    ("qtypes", "types"),
    ("rcode", "answer"),
    ("response", "answer"),
    ("latency", "delay"),
    ("time", "delay"),
    ("doh", "encrypted"),
    ("dot", "encrypted"),
    ("servers", "resolvers"),
    ("duration", "for"),
    ("time", "for"),
    ("probability", "rate"),
    ("percent", "rate"),
    ("loss", "rate"),
    ("gemodel", "gilbert-elliott"),
    ("addresses", "peers"),
    ("cidr", "peers"),
    ("hosts", "peers"),
    ("dport", "ports"),
    ("remote-ports", "ports"),
    ("sport", "local-ports"),
    ("dev", "interfaces"),
    ("device", "interfaces"),
    ("iface", "interfaces"),
    ("ingress", "in"),
    ("egress", "out"),
    ("icmpv6", "icmp"),
    ("icmp6", "icmp"),
];

/// A longer word is no typing mistake.
const LONGEST: usize = 64;

/// The word of `valid` that was most likely meant.
pub(super) fn nearest<'v>(word: &str, valid: &[&'v str]) -> Option<&'v str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.trim().to_lowercase().replace('_', "-");
    if let Some(same) = valid.iter().find(|v| **v == word) {
        return Some(same);
    }
    let meant = SYNONYMS.iter().filter(|(from, _)| *from == word);
    for (_, to) in meant {
        if let Some(v) = valid.iter().find(|v| *v == to) {
            return Some(v);
        }
    }
    let mut longer = valid.iter().filter(|v| v.starts_with(&word));
    if word.len() >= 2
        && let (Some(only), None) = (longer.next(), longer.next())
    {
        return Some(only);
    }
    let allowed = (word.chars().count() / 3).max(1);
    let near = valid
        .iter()
        .map(|v| (strsim::osa_distance(&word, v), *v))
        .filter(|(distance, v)| *distance <= allowed && *distance < v.len())
        .min_by_key(|(distance, _)| *distance);
    near.map(|(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typing_mistakes_synonyms_and_beginnings_find_their_word() {
        let keys = ["rate", "every", "gilbert-elliott", "whole-skb"];
        assert_eq!(nearest("rtae", &keys), Some("rate"));
        assert_eq!(nearest("whole_skb", &keys), Some("whole-skb"));
        assert_eq!(nearest("gilbert", &keys), Some("gilbert-elliott"));
        assert_eq!(nearest("probability", &keys), Some("rate"));
        assert_eq!(nearest("xyzzy", &keys), None);
        assert_eq!(nearest(&"rate".repeat(1000), &keys), None);
        assert_eq!(nearest("", &keys), None);
        assert_eq!(nearest("of", &["on", "off"]), Some("off"));
        assert_eq!(nearest("TCP", &["tcp", "udp"]), Some("tcp"));
    }
}
