//! The types that a DNS query asks for.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::profile::{
    problem::{Mistake, quote},
    words,
};

/// Types that have a name here, of IANA's registry "Resource Record (RR) TYPEs"; ANY is `*` there.
const NAMES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("NSEC3", 50),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("SPF", 99),
    ("IXFR", 251),
    ("AXFR", 252),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
];

/// What a query asks for: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryType(u16);

impl QueryType {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// An IPv6 address.
    pub const AAAA: Self = Self(28);

    /// As a packet says it.
    pub fn new(number: u16) -> Self {
        Self(number)
    }

    /// As a packet says it.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl FromStr for QueryType {
    type Err = Mistake;

    /// A name in any case, or `TYPE` and a number (RFC 3597 §5).
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let word = text.trim().to_ascii_uppercase();
        if let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == word) {
            return Ok(Self(*number));
        }
        let bad = Mistake::new(format!(
            "{} is not a type of query, such as A, AAAA, MX or TYPE65 (TYPE1 to TYPE65535)",
            quote(text)
        ));
        if let Some(number) = word.strip_prefix("TYPE") {
            let number = number.parse().ok().filter(|n| *n != 0);
            return number.map(Self).ok_or(bad);
        }
        if word.parse::<u16>().is_ok_and(|n| n != 0) {
            return Err(bad.instead(format!("TYPE{word}")));
        }
        let names: Vec<String> = NAMES.iter().map(|(name, _)| name.to_lowercase()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Err(match words::nearest(&word, &names) {
            Some(near) => bad.instead(near.to_uppercase()),
            None => bad,
        })
    }
}

impl fmt::Display for QueryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl Serialize for QueryType {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_by_name_and_by_number() {
        for (text, number, canonical) in [
            ("A", 1, "A"),
            ("aaaa", 28, "AAAA"),
            (" TYPE28 ", 28, "AAAA"),
            ("type65535", 65535, "TYPE65535"),
            ("HTTPS", 65, "HTTPS"),
        ] {
            let kind: QueryType = text.parse().unwrap();
            assert_eq!(
                (kind.number(), kind.to_string()),
                (number, canonical.into())
            );
        }
    }

    #[test]
    fn a_bad_type_says_what_to_type() {
        let such = "is not a type of query, such as A, AAAA, MX or TYPE65 (TYPE1 to TYPE65535)";
        for (text, instead) in [
            ("28", Some("TYPE28")),
            ("CNAM", Some("CNAME")),
            ("AAA", Some("AAAA")),
            ("TYPE0", None),
            ("TYPE65536", None),
            ("TYPE", None),
            ("xyzzy", None),
        ] {
            let mistake = text.parse::<QueryType>().unwrap_err();
            assert_eq!(mistake.what, format!("`{text}` {such}"));
            assert_eq!(mistake.instead.as_deref(), instead, "{text}");
        }
    }
}
