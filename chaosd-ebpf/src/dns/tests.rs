//! The parser against a second one that is written otherwise, over what resolvers ask and over
//! millions of mutations of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "what is taken of a random number is a few of its bits"
)]

extern crate std;

use std::{
    string::String,
    time::{Duration, Instant},
    vec,
    vec::Vec,
};

use super::*;

/// Flags, then the four counts.
const HEADER: [u8; 12] = [0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// A name in wire form.
fn wire(name: &str) -> Vec<u8> {
    let mut wire = vec![];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        wire.push(u8::try_from(label.len()).unwrap());
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

fn query_of(name: &[u8], qtype: u16) -> Vec<u8> {
    let mut message = HEADER.to_vec();
    message.extend(name);
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    message
}

fn query(name: &str, qtype: u16) -> Vec<u8> {
    query_of(&wire(name), qtype)
}

/// The same with an EDNS option that carries `data`.
fn with_edns(mut message: Vec<u8>, dnssec: bool, data: &[u8]) -> Vec<u8> {
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 0, 0, u8::from(dnssec) << 7, 0]);
    message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    message.extend(data);
    message
}

/// What a query asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    name: Vec<u8>,
    qtype: u16,
    edns: Option<bool>,
}

fn read(message: &[u8]) -> Option<Asked> {
    let q = Question::read(message)?;
    Some(Asked {
        name: q.message[12..12 + q.name_len as usize].to_vec(),
        qtype: u16::try_from(q.qtype).unwrap(),
        edns: (q.edns != 0).then_some(q.dnssec != 0),
    })
}

/// The same, by taking slices apart.
fn expected(message: &[u8]) -> Option<Asked> {
    if message.len() > 512 {
        return None;
    }
    let (header, mut rest) = message.split_at_checked(12)?;
    let additional = match &header[4..] {
        [0, 1, 0, 0, 0, 0, 0, n @ 0..=1] => *n,
        _ => return None,
    };
    if header[2] & 0xf8 != 0 {
        return None;
    }
    let mut name = vec![];
    loop {
        let (&length, tail) = rest.split_first()?;
        if length > 63 {
            return None;
        }
        let (label, tail) = tail.split_at_checked(length.into())?;
        name.push(length);
        name.extend(label);
        rest = tail;
        if length == 0 {
            break;
        }
    }
    let [a, b, 0, 1 | 255, ref rest @ ..] = *rest else {
        return None;
    };
    let edns = match (additional, rest) {
        (0, []) => None,
        (1, [0, 0, 41, _, _, _, 0, flags, _, high, low, data @ ..])
            if data.len() == usize::from(u16::from_be_bytes([*high, *low])) =>
        {
            Some(flags & 0x80 != 0)
        }
        _ => return None,
    };
    (name.len() <= 255).then_some(Asked {
        name,
        qtype: u16::from_be_bytes([a, b]),
        edns,
    })
}

/// The domains that a walk over the name meets, as the name's octets and its number of labels.
fn walk(message: &[u8], seed: [u64; 2]) -> Vec<(NameKey, u32, usize)> {
    let mut q = Question::read(message).unwrap();
    q.rewind(seed);
    let mut met = vec![];
    for _ in 0..q.name_len {
        if q.fold() {
            met.push((q.key, q.labels, q.at as usize));
        }
    }
    assert_eq!(q.at, 0, "the walk ends at the front");
    assert!(!q.fold(), "and there it stays");
    met
}

/// The longest name with labels of `label` octets.
fn longest(label: usize) -> Vec<u8> {
    let mut wire = vec![];
    while wire.len() < 254 {
        let length = label.min(254 - wire.len() - 1);
        if length == 0 {
            // One octet is left, which no label fits into.
            break;
        }
        wire.push(u8::try_from(length).unwrap());
        wire.extend((0..length).map(|i| b'a' + (i % 26) as u8));
    }
    wire.push(0);
    wire
}

#[test]
fn a_query_is_read_with_and_without_edns() {
    for name in ["", "a", "db.internal", "WwW.PaYmEnTs.ExAmPlE", "_dmarc.x.y"] {
        for qtype in [1, 28, 255, 65, 0xffff] {
            let plain = query(name, qtype);
            for (message, edns) in [
                (plain.clone(), None),
                (with_edns(plain.clone(), false, &[]), Some(false)),
                (
                    with_edns(plain.clone(), true, &[0, 10, 0, 2, 1, 2]),
                    Some(true),
                ),
            ] {
                let name = wire(name);
                assert_eq!(read(&message), Some(Asked { name, qtype, edns }));
            }
        }
    }
}

#[test]
fn names_are_read_up_to_their_longest() {
    for label in 1..=63 {
        let name = longest(label);
        assert!((254..=255).contains(&name.len()), "{}", name.len());
        let asked = read(&query_of(&name, 1)).unwrap();
        assert_eq!(asked.name, name);
        // The last label may be shorter; the root is a domain too.
        let labels = (name.len() - 1).div_ceil(label + 1);
        assert_eq!(walk(&query_of(&name, 1), [1, 2]).len(), labels + 1);
    }
    let mut long = longest(63);
    long.splice(0..0, [1, b'x']);
    assert_eq!(read(&query_of(&long, 1)), None, "257 octets");
    let mut long = longest(62);
    assert_eq!(long.len(), 255);
    long[0] += 1;
    long.insert(1, b'x');
    assert_eq!(read(&query_of(&long, 1)), None, "256 octets");
    for length in [64, 0x80, 0xc0, 0xff] {
        let mut wire = vec![length];
        wire.extend([b'a'; 64]);
        wire.push(0);
        assert_eq!(read(&query_of(&wire, 1)), None, "{length}");
    }
}

#[test]
fn a_query_cut_anywhere_or_followed_by_anything_is_left_alone() {
    for whole in [
        query("db.internal", 1),
        with_edns(query("db.internal", 1), true, &[0, 10, 0, 1, 7]),
    ] {
        assert!(read(&whole).is_some());
        for len in 0..whole.len() {
            assert_eq!(read(&whole[..len]), None, "{len} octets");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(read(&longer), None);
    }
    let big = with_edns(query("db.internal", 1), false, &[7; 512 - 29 - 11]);
    assert_eq!(big.len(), 512);
    assert!(read(&big).is_some());
    let bigger = with_edns(query("db.internal", 1), false, &[7; 512 - 29 - 10]);
    assert_eq!(read(&bigger), None);
}

#[test]
fn what_is_no_plain_query_is_left_alone() {
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = with_edns(query("db.internal", 1), false, &[]);
        change(&mut message);
        read(&message)
    };
    assert!(changed(&|_| ()).is_some());
    assert_eq!(changed(&|m| m[2] |= 0x80), None, "an answer");
    for opcode in 1..16 {
        assert_eq!(changed(&|m| m[2] |= opcode << 3), None, "opcode {opcode}");
    }
    assert_eq!(changed(&|m| m[5] = 0), None, "no question");
    assert_eq!(changed(&|m| m[5] = 2), None, "two questions");
    assert_eq!(changed(&|m| m[4] = 1), None, "257 questions");
    assert_eq!(changed(&|m| m[7] = 1), None, "an answer");
    assert_eq!(changed(&|m| m[9] = 1), None, "an authority");
    assert_eq!(changed(&|m| m[11] = 2), None, "two records more");
    assert_eq!(
        changed(&|m| m[11] = 0),
        None,
        "a record that is not told of"
    );
    let end = query("db.internal", 1).len();
    assert_eq!(changed(&|m| m[end - 1] = 3), None, "class CH");
    assert!(changed(&|m| m[end - 1] = 255).is_some(), "class ANY");
    assert_eq!(changed(&|m| m[end] = 1), None, "an option with a name");
    assert_eq!(changed(&|m| m[end + 2] = 250), None, "a signature");
    assert_eq!(changed(&|m| m[end + 6] = 1), None, "version 1 of EDNS");
    assert_eq!(changed(&|m| m[end + 10] = 1), None, "an option cut short");
    let pointer = query_of(&[2, b'd', b'b', 0xc0, 12], 1);
    assert_eq!(read(&pointer), None, "a pointer");
}

#[test]
fn a_walk_meets_every_domain_above_a_name_whatever_its_case() {
    let seed = [0x1234, 0x5678];
    let message = query("A.b-C.PAYMENTS.example", 1);
    let met = walk(&message, seed);
    let domains = ["", "example", "payments.example", "b-c.payments.example"];
    for (level, domain) in domains.iter().enumerate() {
        let key = NameKey::of(seed, &wire(domain));
        assert_eq!((met[level].0, met[level].1 as usize), (key, level));
    }
    let whole = NameKey::of(seed, &wire("a.b-c.payments.example"));
    assert_eq!((met[4].0, met[4].1, met[4].2), (whole, 4, 0));
    assert_eq!(met.len(), 5);
    // Of the root there is nothing but itself.
    assert_eq!(walk(&query("", 1), seed), [(NameKey::of(seed, &[0]), 0, 0)]);
}

#[test]
fn names_that_differ_have_keys_that_differ() {
    let seed = [7, 8];
    let mut keys = std::collections::HashMap::new();
    let mut names: Vec<Vec<u8>> = vec![vec![0]];
    for i in 0..100_000_u32 {
        names.push(wire(&std::format!("{i}.example")));
        names.push(wire(&std::format!("x{}.{i}", i % 7)));
    }
    for tld in 0..=255 {
        names.push(vec![1, tld, 0]);
    }
    for name in names {
        let lower = name.to_ascii_lowercase();
        let known = keys
            .entry(NameKey::of(seed, &name))
            .or_insert(lower.clone());
        assert_eq!(*known, lower);
    }
    let other = NameKey::of([7, 9], &wire("a.example"));
    assert_ne!(NameKey::of(seed, &wire("a.example")), other);
}

#[test]
fn the_levels_of_names_have_a_bit_each() {
    for labels in 0..128_u32 {
        let mut levels = [0; 2];
        levels[labels as usize / 64] |= 1 << (labels % 64);
        for asked in 0..128 {
            assert_eq!(levels_have(&levels, asked), asked == labels);
        }
    }
}

/// An answer taken apart: flags, counts, what follows the question.
fn answered(message: &[u8], rule: &DnsRule) -> Vec<u8> {
    let q = Question::read(message).unwrap();
    let mut out = [0xee; MESSAGE_BUFFER];
    let kept = q.question_len as usize;
    out[..kept].copy_from_slice(&message[..kept]);
    let len = answer(&q, rule, &mut out) as usize;
    assert!(len <= MOST_ANSWER as usize, "{len}");
    assert_eq!(out[len..len + 3], [0; 3], "zeros behind it");
    assert_eq!(
        out[12..kept],
        message[12..kept],
        "the question as it was asked"
    );
    assert_eq!(out[..2], message[..2], "the number as it was asked");
    out[..len].to_vec()
}

#[test]
fn an_answer_says_what_the_rule_says() {
    let plain = query("dB.iNternal", TYPE_A);
    for (kind, code) in [
        (ANSWER_NXDOMAIN, 3),
        (ANSWER_SERVFAIL, 2),
        (ANSWER_REFUSED, 5),
        (ANSWER_EMPTY, 0),
    ] {
        let rule = DnsRule {
            answer: kind,
            has: HAS_A | HAS_AAAA,
            ..DnsRule::default()
        };
        let answer = answered(&plain, &rule);
        assert_eq!(answer.len(), plain.len());
        assert_eq!(answer[2..4], [0x81, 0x80 | code]);
        assert_eq!(answer[4..12], [0, 1, 0, 0, 0, 0, 0, 0]);
        let answer = answered(&with_edns(plain.clone(), true, &[1, 2, 0, 0]), &rule);
        assert_eq!(answer[4..12], [0, 1, 0, 0, 0, 0, 0, 1]);
        let option = [0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0];
        assert_eq!(answer[plain.len()..], option);
    }
}

#[test]
fn an_answer_keeps_the_flags_that_it_has_to_and_no_others() {
    let rule = DnsRule {
        answer: ANSWER_EMPTY,
        ..DnsRule::default()
    };
    for flags in 0..=0x7ff_u16 {
        let mut message = query("x", 1);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        let answer = answered(&message, &rule);
        let now = u16::from_be_bytes([answer[2], answer[3]]);
        assert_eq!(now, 0x8080 | flags & 0x0110, "{flags:#x}");
    }
}

#[test]
fn an_answer_has_the_address_of_the_type_that_was_asked_for() {
    let rule = DnsRule {
        answer: ANSWER_ADDRESSES,
        has: HAS_A | HAS_AAAA,
        ttl: 0x0001_0203,
        a: [192, 0, 2, 1],
        aaaa: [0xfd; 16],
        ..DnsRule::default()
    };
    let records = |qtype, rule: &DnsRule| {
        let message = query("db.internal", qtype);
        let answer = answered(&message, rule);
        assert_eq!(answer[3], 0x80);
        (answer[7], answer[message.len()..].to_vec())
    };
    let mut a = vec![0xc0, 12, 0, 1, 0, 1, 0, 1, 2, 3, 0, 4];
    a.extend([192, 0, 2, 1]);
    assert_eq!(records(TYPE_A, &rule), (1, a));
    let mut aaaa = vec![0xc0, 12, 0, 28, 0, 1, 0, 1, 2, 3, 0, 16];
    aaaa.extend([0xfd; 16]);
    assert_eq!(records(TYPE_AAAA, &rule), (1, aaaa));
    assert_eq!(records(15, &rule), (0, vec![]), "MX");
    let only_a = DnsRule { has: HAS_A, ..rule };
    assert_eq!(records(TYPE_AAAA, &only_a), (0, vec![]));
    assert_eq!(records(TYPE_A, &only_a).0, 1);
    let longest = with_edns(query_of(&longest(63), TYPE_AAAA), true, &[]);
    assert_eq!(answered(&longest, &rule).len(), MOST_ANSWER as usize);
}

/// splitmix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Changes a message in one place.
    fn mutate(&mut self, message: &mut Vec<u8>) {
        // Octets that mean something, as often as any.
        const TELLING: [u8; 12] = [0, 1, 2, 11, 12, 41, 62, 63, 64, 127, 0xc0, 0xff];
        let octet = if self.next() & 1 == 0 {
            TELLING[self.below(TELLING.len())]
        } else {
            self.next() as u8
        };
        let at = self.below(message.len() + 1);
        match self.below(6) {
            0 => message.truncate(at),
            1 => message.insert(at, octet),
            2 => message.extend((0..self.below(300)).map(|_| octet)),
            3 if at < message.len() => message[at] ^= 1 << self.below(8),
            4 if at < message.len() => drop(message.remove(at)),
            _ if at < message.len() => message[at] = octet,
            _ => {}
        }
    }
}

#[test]
fn mutated_queries_are_read_as_a_second_parser_reads_them() {
    let mut corpus = vec![
        query("", 2),
        query("db.internal", 1),
        query("a.b.c.d.e.f.payments.example", 28),
        query_of(&longest(63), 1),
        query_of(&longest(1), 1),
        with_edns(query("db.internal", 1), true, &[]),
        with_edns(
            query("metrics.payments.example", 65),
            false,
            &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
        with_edns(query_of(&longest(20), 28), true, &[0; 128]),
    ];
    let rule = DnsRule {
        answer: ANSWER_ADDRESSES,
        has: HAS_A | HAS_AAAA,
        ..DnsRule::default()
    };
    let mut random = Random(4);
    let (start, mut count, mut understood) = (Instant::now(), 0_u64, 0_u64);
    // A slow machine tries less of it.
    while count < 2_000_000 && (count < 50_000 || start.elapsed() < Duration::from_secs(4)) {
        let place = random.below(corpus.len());
        let mut message = corpus[place].clone();
        for _ in 0..=random.below(3) {
            random.mutate(&mut message);
        }
        let asked = read(&message);
        assert_eq!(asked, expected(&message), "{message:02x?}");
        count += 1;
        let Some(asked) = asked else { continue };
        understood += 1;
        answered(&message, &rule);
        let met = walk(&message, [count, 1]);
        let (key, _, at) = met[random.below(met.len())];
        assert_eq!(key, NameKey::of([count, 1], &asked.name[at..]));
        assert_eq!(met.last().map(|(_, _, at)| *at), Some(0));
        // What is understood is mutated further.
        if place >= 8 {
            corpus[place] = message;
        } else if corpus.len() < 200 {
            corpus.push(message);
        }
    }
    assert!(understood > count / 50, "{understood} of {count}");
    std::println!("{count} mutations, {understood} of them queries");
}

#[test]
fn random_octets_are_read_as_a_second_parser_reads_them() {
    let mut random = Random(5);
    let mut seen = String::new();
    for _ in 0..100_000 {
        let len = random.below(80);
        let mut message: Vec<u8> = (0..len).map(|_| random.next() as u8 & 0x47).collect();
        if len > 12 && random.next() & 3 != 0 {
            message[..12].copy_from_slice(&HEADER);
        }
        assert_eq!(read(&message), expected(&message), "{message:02x?}");
        seen.push(if read(&message).is_some() { '+' } else { '-' });
    }
    assert!(seen.contains('-'));
}
