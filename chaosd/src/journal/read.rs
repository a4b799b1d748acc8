//! Reads whatever is left of a journal.

use std::{fs, io, path::Path};

use super::record::{Begin, Record, START, decode};
use crate::undo::Undo;

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Records that prove themselves whole, with their numbers, in the order of the file.
    pub records: Vec<(u64, Record)>,
    /// The rest of the file.
    pub damage: Vec<Damage>,
    /// Bytes up to the end of the last whole record.
    pub(super) whole_len: u64,
    /// Bytes of the file.
    len: u64,
}

/// [`Damage::why`] of a record whose end is missing.
const TORN: &str = "a torn record";

/// A part of a journal that proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// What it looks like.
    pub why: &'static str,
}

impl Contents {
    /// Whose journal it is, if that record survived.
    pub fn begin(&self) -> Option<&Begin> {
        self.records.iter().find_map(|(_, record)| match record {
            Record::Begin(begin) => Some(begin),
            _ => None,
        })
    }

    /// What is to be undone, newest first. A change that was announced and perhaps never made is
    /// among it: undoing it finds nothing to do.
    pub fn pending(&self) -> Vec<(u64, &Undo)> {
        if self.records.iter().any(|(_, r)| *r == Record::End) {
            return Vec::new();
        }
        let undone = |number: u64| {
            self.records
                .iter()
                .any(|(_, r)| matches!(r, Record::Undone { of, .. } if *of == number))
        };
        let mut pending: Vec<_> = self
            .records
            .iter()
            .filter_map(|(seq, record)| match record {
                Record::Will(undo) if !undone(*seq) => Some((*seq, undo)),
                _ => None,
            })
            .collect();
        pending.reverse();
        pending
    }

    /// True when the file ends in half a record: its writer died while writing, before the change.
    pub fn torn(&self) -> bool {
        self.len > self.whole_len && self.lost().all(|d| d.offset < self.whole_len)
    }

    /// Damage that no half-written record explains, for that would be the last of the file: a
    /// change may have been made which nobody knows of.
    pub fn lost(&self) -> impl Iterator<Item = &Damage> {
        self.damage
            .iter()
            .filter(|d| d.why != TORN || d.offset < self.whole_len || d.offset + d.len < self.len)
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.records.iter().map(|(seq, _)| *seq).max().unwrap_or(0)
    }
}

/// Reads a journal; damage is not an error.
pub fn read(path: &Path) -> io::Result<Contents> {
    Ok(parse(&fs::read(path)?))
}

/// Every piece of the file that begins like a record is tried by itself, so that damage to one
/// record, or to the newline between two, costs no other record.
pub(super) fn parse(bytes: &[u8]) -> Contents {
    let mut contents = Contents {
        len: bytes.len() as u64,
        ..Contents::default()
    };
    let mut starts: Vec<usize> = bytes
        .windows(START.len())
        .enumerate()
        .filter(|(_, window)| *window == START.as_bytes())
        .map(|(at, _)| at)
        .collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    starts.push(bytes.len());
    for pair in starts.windows(2) {
        let piece = &bytes[pair[0]..pair[1]];
        let whole = match whole(piece) {
            Some((len, record)) => {
                contents.records.push(record);
                contents.whole_len = (pair[0] + len) as u64;
                len
            }
            None => 0,
        };
        if whole < piece.len() {
            contents.damage.push(Damage {
                offset: (pair[0] + whole) as u64,
                len: (piece.len() - whole) as u64,
                why: why(&piece[whole..]),
            });
        }
    }
    contents
}

/// The record at the beginning of a piece, and how many bytes it takes, its newline included.
///
/// It ends at the first newline, unless that is what was damaged: then at the last brace, or at
/// the one before, if the damage looks like a brace.
fn whole(piece: &[u8]) -> Option<(usize, (u64, Record))> {
    let newline = piece.iter().position(|b| *b == b'\n');
    let braces = piece
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, b)| **b == b'}')
        .map(|(at, _)| at + 1)
        .take(2);
    newline.into_iter().chain(braces).find_map(|end| {
        let record = decode(&piece[..end])?;
        let taken = if piece.get(end) == Some(&b'\n') {
            end + 1
        } else {
            end
        };
        Some((taken, record))
    })
}

fn why(piece: &[u8]) -> &'static str {
    // Of a short write, even the beginning may be short.
    let start = &START.as_bytes()[..START.len().min(piece.len())];
    if !piece.starts_with(start) {
        "not the beginning of a record"
    } else if piece.last() == Some(&b'\n') {
        "a record whose checksum does not hold"
    } else {
        TORN
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::record::encode;
    use super::*;
    use crate::undo::{Link, Map, NetnsId, Outcome, Sysctl};

    type Line = (usize, (u64, Record));

    /// A journal such as a run with a detour writes, and where each of its lines begins.
    fn journal() -> (Vec<u8>, Vec<Line>) {
        let netns = NetnsId::current().unwrap();
        let records = [
            Record::Begin(Begin::now("plane-4", 3)),
            Record::Will(Undo::Link(Link {
                netns: netns.clone(),
                name: "chaosd0".into(),
                alias: r#"chaosd:{"seq":1}"#.into(),
            })),
            Record::Did { of: 2 },
            Record::Will(Undo::Sysctl(Sysctl {
                netns,
                key: "net/ipv4/conf/lo/accept_local".into(),
                prior: "0".into(),
                ours: "1".into(),
            })),
            Record::Will(Undo::Map(Map {
                id: 9,
                name: "CONTROL".into(),
            })),
            Record::Undone {
                of: 5,
                outcome: Outcome::LeftAlone { found: "}".into() },
            },
            Record::Commit,
        ];
        let mut bytes = Vec::new();
        let mut lines = Vec::new();
        for (seq, record) in (1..).zip(records) {
            lines.push((bytes.len(), (seq, record.clone())));
            bytes.extend(encode(seq, &record).unwrap());
        }
        (bytes, lines)
    }

    #[test]
    fn a_whole_journal_has_no_damage() {
        let (bytes, lines) = journal();
        let contents = parse(&bytes);
        assert_eq!(contents.damage, []);
        assert!(!contents.torn());
        assert!(contents.records.iter().eq(lines.iter().map(|(_, r)| r)));
        let pending: Vec<u64> = contents.pending().iter().map(|(seq, _)| *seq).collect();
        assert_eq!(pending, [4, 2]);
    }

    #[test]
    fn cut_at_any_byte_it_gives_every_whole_record_and_names_the_rest() {
        let (bytes, lines) = journal();
        let ends: Vec<usize> = lines
            .iter()
            .map(|(start, _)| *start)
            .skip(1)
            .chain([bytes.len()])
            .collect();
        for cut in 0..=bytes.len() {
            let contents = parse(&bytes[..cut]);
            // A record is whole with its last brace; the newline adds nothing.
            let whole = ends.iter().filter(|end| **end - 1 <= cut).count();
            let expected = lines[..whole].iter().map(|(_, r)| r);
            assert!(contents.records.iter().eq(expected), "cut at {cut}");
            let torn = !ends.iter().any(|end| *end == cut || *end - 1 == cut) && cut > 0;
            assert_eq!(contents.torn(), torn, "cut at {cut}");
            assert_eq!(contents.damage.len(), usize::from(torn), "cut at {cut}");
            assert_eq!(contents.lost().count(), 0, "cut at {cut}");
        }
    }

    #[test]
    fn with_any_byte_changed_it_loses_that_record_alone() {
        let (bytes, lines) = journal();
        for at in 0..bytes.len() {
            let hit = lines.iter().rposition(|(start, _)| *start <= at).unwrap();
            // Each bit, and the bytes that mean something to the reader.
            let flips = (0..8).map(|bit| bytes[at] ^ (1 << bit));
            for byte in flips.chain(*b"\n}{\"\0\xff") {
                if byte == bytes[at] {
                    continue;
                }
                let mut damaged = bytes.clone();
                damaged[at] = byte;
                let contents = parse(&damaged);
                let newline = bytes[at] == b'\n';
                let expected = lines
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| newline || *n != hit)
                    .map(|(_, (_, r))| r);
                assert!(
                    contents.records.iter().eq(expected),
                    "byte {at} became {byte}: {contents:?}"
                );
                assert!(
                    !contents.damage.is_empty(),
                    "byte {at}, {byte}, went unseen"
                );
            }
        }
    }

    #[test]
    fn garbage_holds_nothing() {
        for bytes in [
            &b"\0\0\0\0"[..],
            b"{\"seq\":",
            b"}}}}\n{\"seq\":1,\"crc32\":0,\"record\":}",
            b"{\"seq\":+1,\"crc32\":1,\"record\":\"commit\"}\n",
        ] {
            let contents = parse(bytes);
            assert!(contents.records.is_empty());
            assert_eq!(
                contents.damage.iter().map(|d| d.len).sum::<u64>(),
                contents.len
            );
        }
        assert_eq!(parse(b""), Contents::default());
    }
}
