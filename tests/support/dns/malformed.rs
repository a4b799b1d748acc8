//! Queries that are none, and a few that are though they do not look it: what a fault must never
//! answer, and what it must.

use super::message::{A, QR, RD, message, opt, query, question, wire};

const NAME: &str = "api.payments.example";
const ID: u16 = 0x5a5a;
const ONE: [u16; 4] = [1, 0, 0, 0];
const WITH_OPT: [u16; 4] = [1, 0, 0, 1];

/// A message, and what is peculiar about it.
pub type Case = (String, Vec<u8>);

/// What no fault may touch, each with what is wrong with it.
pub fn malformed() -> Vec<Case> {
    [cut(), headers(), names(), records()].concat()
}

fn asked() -> Vec<u8> {
    question(&wire(NAME), A)
}

fn named(wire: &[u8]) -> Vec<u8> {
    message(ID, RD, ONE, &question(wire, A))
}

fn with(record: &[u8]) -> Vec<u8> {
    message(ID, RD, WITH_OPT, &[&asked()[..], record].concat())
}

/// The option of a cookie (RFC 7873).
const COOKIE: [u8; 12] = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// Too short at each length, and too long.
fn cut() -> Vec<Case> {
    let mut all = Vec::new();
    let whole = query(ID, NAME, A);
    for length in 0..whole.len() {
        all.push((
            format!("cut after {length} bytes"),
            whole[..length].to_vec(),
        ));
    }
    let edns = with(&opt(0, true, &COOKIE));
    for length in whole.len()..edns.len() {
        let what = format!("with EDNS, cut after {length} bytes");
        all.push((what, edns[..length].to_vec()));
    }
    let longer = [&whole[..], &[0]].concat();
    all.push(("a byte too many".to_owned(), longer));
    let longer = [&whole[..], &[0xa5; 40]].concat();
    all.push(("garbage behind it".to_owned(), longer));
    all
}

/// No query by its flags, or not one question by its counts.
fn headers() -> Vec<Case> {
    let mut all = Vec::new();
    let asked = asked();
    for flags in [QR, QR | RD] {
        let what = format!("a response, {flags:#x}");
        all.push((what, message(ID, flags, ONE, &asked)));
    }
    for opcode in 1..16 {
        let what = format!("opcode {opcode}");
        all.push((what, message(ID, opcode << 11, ONE, &asked)));
    }
    for counts in [
        [0, 0, 0, 0],
        [2, 0, 0, 0],
        [65_535, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
    ] {
        let what = format!("counts {counts:?}");
        all.push((what, message(ID, RD, counts, &asked)));
        let what = format!("counts {counts:?}, nothing there");
        all.push((what, message(ID, RD, counts, &[])));
    }
    let twice = [&asked[..], &asked].concat();
    let both = message(ID, RD, [2, 0, 0, 0], &twice);
    all.push(("two questions".to_owned(), both));
    all
}

/// Names that end nowhere, elsewhere or too late, and classes that are not the Internet's.
fn names() -> Vec<Case> {
    let mut all = Vec::new();
    for (to, pointer) in [
        ("itself", [0xc0, 12]),
        ("the header", [0xc0, 0]),
        ("what follows", [0xc0, 14]),
        ("the far end", [0xff, 0xff]),
    ] {
        all.push((format!("a pointer to {to}"), named(&pointer)));
        let behind = [&[3][..], b"api", &pointer].concat();
        all.push((format!("a pointer to {to} behind a label"), named(&behind)));
    }
    for length in [64, 0x40 | 3, 0x80 | 3, 0xbf] {
        let label = [&[length][..], &[b'x'; 191], &[0]].concat();
        all.push((format!("a label of length octet {length}"), named(&label)));
    }
    for octets in [256, 257, 300] {
        all.push((
            format!("a name of {octets} octets"),
            named(&name_of(octets)),
        ));
    }
    let endless = message(ID, RD, ONE, &[1; 400]);
    all.push(("a name without end".to_owned(), endless));
    for class in [2, 3, 4, 254] {
        let mut other = asked();
        if let Some(last) = other.last_mut() {
            *last = class;
        }
        all.push((format!("class {class}"), message(ID, RD, ONE, &other)));
    }
    all
}

/// EDNS of another version, twice, announced only, and longer than it is.
fn records() -> Vec<Case> {
    let mut all = Vec::new();
    for version in [1, 255] {
        let what = format!("EDNS version {version}");
        all.push((what, with(&opt(version, false, &[]))));
    }
    let twice = [&asked()[..], &opt(0, false, &[]), &opt(0, false, &[])].concat();
    let both = message(ID, RD, [1, 0, 0, 2], &twice);
    all.push(("EDNS twice".to_owned(), both));
    let none = message(ID, RD, WITH_OPT, &asked());
    all.push(("EDNS announced and not there".to_owned(), none));
    let mut long = opt(0, false, &COOKIE);
    long[10] = 200;
    all.push(("EDNS longer than the message".to_owned(), with(&long)));
    all
}

/// A name of so many octets, in labels of up to 63.
fn name_of(octets: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while wire.len() + 1 < octets {
        let room = octets - wire.len() - 1;
        // A label takes two octets at least, so that none of them may be left alone.
        let label = match room {
            65 => 62,
            _ => (room - 1).min(63),
        };
        wire.push(u8::try_from(label).unwrap_or(63));
        wire.extend(std::iter::repeat_n(b'y', label));
    }
    wire.push(0);
    wire
}

/// Queries with the shortest name there is and the largest.
pub fn extreme() -> Vec<Case> {
    let label = [&[63][..], &[b'z'; 63], &[0]].concat();
    let labels = [[1, b'a'].repeat(127), vec![0]].concat();
    [
        ("the root", vec![0]),
        ("a label of 63 octets", label),
        ("a name of 255 octets", name_of(255)),
        ("127 labels", labels),
    ]
    .into_iter()
    .map(|(what, wire)| (what.to_owned(), named(&wire)))
    .collect()
}

/// Queries for names that are printed like `api.payments.example` and `db.internal`, or nearly, and
/// are others: a label may hold a dot.
pub fn odd() -> Vec<Case> {
    [
        &[&[12][..], b"api.payments", &[7], b"example", &[0]].concat()[..],
        &[&[20][..], b"api.payments.example", &[0]].concat(),
        &[&[3][..], b"api", &[16], b"payments.example", &[0]].concat(),
        &[&[11][..], b"db.internal", &[0]].concat(),
        &[
            &[3][..],
            b"api",
            &[8],
            b"payments",
            &[8],
            b"example\0",
            &[0],
        ]
        .concat(),
    ]
    .into_iter()
    .map(|wire| (format!("{wire:x?}"), named(wire)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{extreme, name_of};

    #[test]
    fn names_are_as_long_as_they_are_said_to_be() {
        for octets in [3, 64, 65, 66, 67, 255, 257, 300] {
            assert_eq!(name_of(octets).len(), octets);
        }
        // 12 for the header, 4 for type and class.
        let lengths: Vec<usize> = extreme().iter().map(|(_, m)| m.len() - 16).collect();
        assert_eq!(lengths, [1, 65, 255, 255]);
    }
}
