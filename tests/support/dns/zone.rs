//! What the server knows: a few names of two zones, and ten thousand of a third.
//!
//! Addresses are those for documentation (RFC 5737, RFC 3849), except that 10,000 of them need a
//! private range. Of its own zones the server denies what is not listed.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name with an A and an AAAA record each; their addresses end in the place in this list plus
/// one.
pub const NAMES: [&str; 8] = [
    "db.internal",
    "cache.internal",
    "payments.example",
    "api.payments.example",
    "a.b.payments.example",
    "metrics.payments.example",
    "other.example",
    "notpayments.example",
];

/// The name that has TXT and MX records too.
pub const TYPES: &str = "api.payments.example";

/// How many names `h0.many.example`, `h1.many.example`, ... there are.
pub const MANY: u16 = 10_000;

/// The n-th of them.
pub fn many(n: u16) -> String {
    format!("h{n}.many.example")
}

/// The addresses of a listed name.
///
/// # Panics
/// When it is not listed.
#[track_caller]
pub fn addresses(name: &str) -> [IpAddr; 2] {
    match NAMES.iter().position(|listed| *listed == name) {
        Some(place) => addresses_at(place),
        None => panic!("{name} is not in the zone"),
    }
}

fn addresses_at(place: usize) -> [IpAddr; 2] {
    let last = u8::try_from(place + 1).unwrap_or(u8::MAX);
    [
        Ipv4Addr::new(198, 51, 100, last).into(),
        Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, last.into()).into(),
    ]
}

/// Its lines for dnsmasq's configuration.
pub(super) fn configuration() -> String {
    let mut lines = "local=/example/internal/\n".to_owned();
    for (place, name) in NAMES.iter().enumerate() {
        let [v4, v6] = addresses_at(place);
        writeln!(lines, "host-record={name},{v4},{v6},60").unwrap_or_default();
    }
    writeln!(lines, "txt-record={TYPES},hello").unwrap_or_default();
    writeln!(lines, "mx-host={TYPES},mail.payments.example,10").unwrap_or_default();
    lines
}

/// The many, as `hosts(5)` has them.
pub(super) fn hosts() -> String {
    let mut lines = String::new();
    for n in 0..MANY {
        let [high, low] = n.to_be_bytes();
        let name = many(n);
        writeln!(
            lines,
            "10.100.{high}.{low} {name}\n2001:db8:100::{n:x} {name}"
        )
        .unwrap_or_default();
    }
    lines
}
