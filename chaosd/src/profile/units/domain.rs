//! Domain names that a fault names: one, a whole zone, or all (`*`, the zone of the root).

use std::{collections::HashSet, fmt, net::IpAddr, str::FromStr};

use serde::{Serialize, Serializer};

use crate::profile::problem::{Mistake, quote};

/// Octets of the longest label (RFC 1035 §2.3.4).
const LONGEST_LABEL: usize = 63;
/// Octets of the longest name in wire form, the root's length octet included (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 255;

/// A name, or `*.` and a name: that one and all below it. Compared without case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DomainName {
    /// A length octet before each label, the root's 0 at the end; in lower case.
    wire: Vec<u8>,
    zone: bool,
}

impl DomainName {
    /// In the form of a packet (RFC 1035 §3.1), lower-cased, with the root's 0 at its end: 1 to 255
    /// octets.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// True when all names below it are meant too.
    pub fn is_zone(&self) -> bool {
        self.zone
    }

    /// True of `*`, which every name is within.
    pub fn is_all(&self) -> bool {
        self.zone && self.wire == [0]
    }

    /// Its wire form, and that of each zone it lies in; the root's last.
    fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::successors(Some(self.wire.as_slice()), |name| {
            let (length, rest) = name.split_first()?;
            (*length != 0).then(|| rest.get(usize::from(*length)..))?
        })
    }
}

/// Names to look others up in: one look costs the same for one name and for all.
#[derive(Debug)]
pub struct DomainSet<'n> {
    names: HashSet<&'n [u8]>,
    zones: HashSet<&'n [u8]>,
}

impl<'n> DomainSet<'n> {
    /// Of these.
    pub fn new(names: &'n [DomainName]) -> Self {
        let (zones, names): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.zone);
        let wires = |names: Vec<&'n DomainName>| names.into_iter().map(DomainName::wire).collect();
        Self {
            names: wires(names),
            zones: wires(zones),
        }
    }

    /// True when every name that `name` means is among them.
    pub fn covers(&self, name: &DomainName) -> bool {
        !name.zone && self.names.contains(name.wire())
            || name.suffixes().any(|suffix| self.zones.contains(suffix))
    }
}

impl FromStr for DomainName {
    type Err = Mistake;

    /// A name in any case, with or without its last dot; `*.` before it means the whole zone.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        if let Some(mistake) = almost_a_name(text) {
            return Err(mistake);
        }
        let (zone, name) = match text.strip_prefix("*.") {
            Some("") => (true, "."),
            Some(name) => (true, name),
            None if text == "*" => (true, "."),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut wire = Vec::with_capacity(name.len() + 2);
        if !name.is_empty() {
            for label in name.split('.') {
                let Some(length) = u8::try_from(label.len())
                    .ok()
                    .filter(|n| (1..=LONGEST_LABEL).contains(&usize::from(*n)))
                else {
                    return Err(bad_label(text, label));
                };
                wire.push(length);
                wire.extend(label.bytes());
            }
        }
        wire.push(0);
        if wire.len() > LONGEST_NAME {
            let what = format!(
                "{} has {} octets on the wire: a name has at most {LONGEST_NAME}",
                quote(text),
                wire.len()
            );
            return Err(Mistake::new(what));
        }
        Ok(Self { wire, zone })
    }
}

fn bad_label(text: &str, label: &str) -> Mistake {
    if label.is_empty() {
        return Mistake::new(format!("{} has an empty label", quote(text)));
    }
    Mistake::new(format!(
        "{} has a label of {} octets: a label has at most {LONGEST_LABEL}",
        quote(text),
        label.len()
    ))
}

/// What is no name, and what was probably meant.
fn almost_a_name(text: &str) -> Option<Mistake> {
    let mistake = |why: &str| Mistake::new(format!("{} {why}", quote(text)));
    if text.is_empty() {
        return Some(Mistake::new("`` is not a domain name"));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(
            mistake("is an address, and names are asked for; its own, for PTR, is another")
                .instead(reverse(address)),
        );
    }
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or(rest);
        let mistake = mistake("is a URL");
        return Some(if host.is_empty() {
            mistake
        } else {
            mistake.instead(host)
        });
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && !name.is_empty()
        && port.parse::<u16>().is_ok()
    {
        return Some(mistake("has a port: a query names none").instead(name));
    }
    if !text.is_ascii() {
        return Some(mistake(
            "is not ASCII: give the name as it is asked for, its international labels as xn--...",
        ));
    }
    if let Some(zone) = text.strip_prefix('.').filter(|zone| !zone.is_empty()) {
        return Some(mistake("begins with a dot").instead(format!("*.{zone}")));
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains('*') && name != "*" {
        return Some(mistake(
            "has a * which is not its first label: *.zone means a name and all below it",
        ));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '.');
    if name == "*" {
        return None;
    }
    if let Some(bad) = name.chars().find(|c| !good(*c)) {
        return Some(mistake(&format!(
            "is not a domain name: {} is none of letters, digits, - _ and /",
            quote(&bad.to_string())
        )));
    }
    None
}

/// The name under which an address's own name is asked for (RFC 1035 §3.5, RFC 3596 §2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev();
            let labels: Vec<String> = nibbles
                .map(|octet| format!("{:x}.{:x}", octet & 15, octet >> 4))
                .collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}

impl fmt::Display for DomainName {
    /// As profiles write it, without the last dot but for the root itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone {
            true if self.is_all() => f.write_str("*"),
            true => write!(f, "*.{}", shown(&self.wire)),
            false => f.write_str(&shown(&self.wire)),
        }
    }
}

impl Serialize for DomainName {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A name in wire form, for people; the root is `.`.
fn shown(wire: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = wire;
    while let Some((length, after)) = rest.split_first()
        && *length != 0
    {
        let (label, after) = after.split_at(after.len().min(usize::from(*length)));
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&String::from_utf8_lossy(label));
        rest = after;
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_and_have_a_wire_form() {
        for (text, canonical, wire) in [
            ("db.internal", "db.internal", &b"\x02db\x08internal\0"[..]),
            (" DB.Internal. ", "db.internal", b"\x02db\x08internal\0"),
            ("*.Example", "*.example", b"\x07example\0"),
            ("_sip._tcp.x", "_sip._tcp.x", b"\x04_sip\x04_tcp\x01x\0"),
            (
                "0/25.2.0.in-addr.arpa",
                "0/25.2.0.in-addr.arpa",
                b"\x040/25\x012\x010\x07in-addr\x04arpa\0",
            ),
            (
                "xn--bcher-kva.example",
                "xn--bcher-kva.example",
                b"\x0dxn--bcher-kva\x07example\0",
            ),
            ("1password", "1password", b"\x091password\0"),
            (".", ".", b"\0"),
        ] {
            let name: DomainName = text.parse().unwrap();
            assert_eq!(name.to_string(), canonical);
            assert_eq!(name.wire(), wire, "{text}");
            assert_eq!(name.is_zone(), canonical.starts_with("*."));
            assert_eq!(canonical.parse::<DomainName>().unwrap(), name);
        }
        for all in ["*", "*."] {
            let all: DomainName = all.parse().unwrap();
            assert!(all.is_all());
            assert_eq!((all.to_string(), all.wire()), ("*".to_owned(), &[0][..]));
        }
    }

    #[test]
    fn the_longest_label_and_the_longest_name_are_names() {
        let label = "a".repeat(63);
        assert!(label.parse::<DomainName>().is_ok());
        let three = format!("{label}.{label}.{label}");
        let longest = format!("{three}.{}", "b".repeat(61));
        let name: DomainName = longest.parse().unwrap();
        assert_eq!(name.wire().len(), LONGEST_NAME);
        assert_eq!(name.to_string(), longest);
        let said = |text: &str| text.parse::<DomainName>().unwrap_err().what;
        assert!(
            said(&format!("{three}.{}", "b".repeat(62))).contains("has 256 octets on the wire")
        );
        assert!(
            said(&"a".repeat(64)).ends_with("has a label of 64 octets: a label has at most 63")
        );
        assert!(
            said(&"a".repeat(300)).ends_with("has a label of 300 octets: a label has at most 63")
        );
    }

    #[test]
    fn a_bad_name_says_what_to_type() {
        for (text, said) in [
            ("", "`` is not a domain name"),
            (
                ".example",
                "`.example` begins with a dot; did you mean `*.example`?",
            ),
            ("a..b", "`a..b` has an empty label"),
            ("a.b..", "`a.b..` has an empty label"),
            (
                "a.*.b",
                "`a.*.b` has a * which is not its first label: *.zone means a name and all below it",
            ),
            (
                "*x.b",
                "`*x.b` has a * which is not its first label: *.zone means a name and all below it",
            ),
            (
                "*.*.b",
                "`*.*.b` has a * which is not its first label: *.zone means a name and all below it",
            ),
            (
                "bücher.example",
                "`bücher.example` is not ASCII: give the name as it is asked for, its international labels as xn--...",
            ),
            (
                "a b",
                "`a b` is not a domain name: ` ` is none of letters, digits, - _ and /",
            ),
            (
                "https://shop.local:8443/x",
                "`https://shop.local:8443/x` is a URL; did you mean `shop.local`?",
            ),
            (
                "shop.local:53",
                "`shop.local:53` has a port: a query names none; did you mean `shop.local`?",
            ),
            (
                "10.0.0.7",
                "`10.0.0.7` is an address, and names are asked for; its own, for PTR, is another; did you mean `7.0.0.10.in-addr.arpa`?",
            ),
            (
                "2001:db8::1",
                "`2001:db8::1` is an address, and names are asked for; its own, for PTR, is another; did you mean `1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa`?",
            ),
        ] {
            assert_eq!(text.parse::<DomainName>().unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn a_name_is_within_itself_and_its_zones() {
        let within = |a: &str, b: &str| {
            let [a, b]: [DomainName; 2] = [a, b].map(|text| text.parse().unwrap());
            DomainSet::new(&["other".parse().unwrap(), b]).covers(&a)
        };
        for (a, b) in [
            ("a.b", "A.b."),
            ("a.b", "*.a.b"),
            ("x.a.b", "*.b"),
            ("*.a.b", "*.b"),
            ("*.b", "*.b"),
            ("a", "*"),
            (".", "*"),
            ("*", "*"),
        ] {
            assert!(within(a, b), "{a} in {b}");
        }
        for (a, b) in [
            ("a.b", "b"),
            ("*.a.b", "a.b"),
            ("ab", "*.b"),
            ("b", "*.a.b"),
            ("*", "*.b"),
            ("xa.b", "*.a.b"),
        ] {
            assert!(!within(a, b), "{a} in {b}");
        }
    }
}
