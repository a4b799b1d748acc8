//! Where the running kernel's fields lie: reads its type information (BTF,
//! Documentation/bpf/btf.rst).
//!
//! Invariant: whatever the bytes are, it ends and does not panic; what it does not understand it
//! says.

use std::{fs, io, path::Path};

/// Where the kernel tells of its types.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;

const PTR_SIZE: u64 = 8;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNC: u32 = 12;
/// Structures in structures without a name that are looked into.
const DEEPEST: u32 = 8;

/// Why nothing is known of the kernel's types.
#[derive(Debug, thiserror::Error)]
pub enum TypesError {
    /// No file.
    #[error("failed to read {VMLINUX}: {0}")]
    Read(#[source] io::Error),
    /// A file of another kind, or a new one.
    #[error("failed to understand {VMLINUX}: {0}")]
    Form(&'static str),
    /// The kernel is built otherwise.
    #[error("this kernel has no {0}")]
    Lacks(String),
}

/// The types of a kernel.
pub(super) struct Types {
    bytes: Vec<u8>,
    /// Where each type's description begins, by its number.
    places: Vec<usize>,
    strings: usize,
}

/// One description: what all kinds begin with.
#[derive(Clone, Copy)]
struct Type {
    at: usize,
    name: u32,
    kind: u32,
    count: usize,
    /// Of a structure: offsets carry the size of a bit field.
    bits: bool,
    /// Its size, or the type that it is made from.
    other: u32,
}

impl Types {
    /// Of the running kernel.
    pub fn read() -> Result<Self, TypesError> {
        Self::parse(fs::read(Path::new(VMLINUX)).map_err(TypesError::Read)?)
    }

    fn parse(bytes: Vec<u8>) -> Result<Self, TypesError> {
        let short = || TypesError::Form("it is too short");
        let word = |at| word(&bytes, at).ok_or_else(short);
        let magic = bytes.get(..2).ok_or_else(short)?;
        if u16::from_ne_bytes([magic[0], magic[1]]) != MAGIC {
            return Err(TypesError::Form("it begins otherwise"));
        }
        let header = word(4)?;
        let begin = header + word(8)?;
        let end = begin + word(12)?;
        let strings = header + word(16)?;
        let mut types = Self {
            bytes: Vec::new(),
            // Number 0 stands for void.
            places: vec![usize::MAX],
            strings,
        };
        let mut at = begin;
        while at < end {
            types.places.push(at);
            let one = describe(&bytes, at).ok_or_else(short)?;
            // What follows the description (include/uapi/linux/btf.h).
            let follows = match one.kind {
                1 | 14 | 17 => 4,
                3 => 12,
                STRUCT | UNION | 15 | 19 => one.count * 12,
                6 | 13 => one.count * 8,
                2 | 7..=12 | 16 | 18 => 0,
                _ => return Err(TypesError::Form("it has a new kind of type")),
            };
            at += 12 + follows;
        }
        types.bytes = bytes;
        Ok(types)
    }

    /// Where a field lies in a structure, in bytes.
    pub fn offset(&self, structure: &str, field: &str) -> Result<u32, TypesError> {
        let named = |one: &Type| one.kind == STRUCT && self.is_named(one.name, structure);
        let found = self
            .all()
            .filter(named)
            .find_map(|one| self.member(one, field, DEEPEST));
        found.ok_or_else(|| TypesError::Lacks(format!("{field} in struct {structure}")))
    }

    /// As [`Types::offset`], of an element of a field that is an array of pointers.
    pub fn element(&self, structure: &str, field: &str, place: u64) -> Result<u32, TypesError> {
        let base = u64::from(self.offset(structure, field)?);
        u32::try_from(base + place * PTR_SIZE)
            .map_err(|_| TypesError::Lacks(format!("{field} in struct {structure}")))
    }

    /// How many arguments a function takes.
    pub fn arguments(&self, function: &str) -> Result<usize, TypesError> {
        let lacks = || TypesError::Lacks(format!("function {function}"));
        let named = |one: &Type| one.kind == FUNC && self.is_named(one.name, function);
        let of = self.all().find(named).ok_or_else(lacks)?.other;
        Ok(self.number(of).ok_or_else(lacks)?.count)
    }

    fn all(&self) -> impl Iterator<Item = Type> {
        self.places
            .iter()
            .filter_map(|at| describe(&self.bytes, *at))
    }

    fn number(&self, number: u32) -> Option<Type> {
        let at = self.places.get(usize::try_from(number).ok()?)?;
        describe(&self.bytes, *at)
    }

    /// Members without a name hold members of their own.
    fn member(&self, of: Type, field: &str, deep: u32) -> Option<u32> {
        (0..of.count).find_map(|n| {
            let at = of.at + 12 + n * 12;
            let read = |at| u32::try_from(word(&self.bytes, at)?).ok();
            let (name, kind, bits) = (read(at)?, read(at + 4)?, read(at + 8)?);
            let bits = if of.bits { bits & 0xff_ffff } else { bits };
            if self.is_named(name, field) {
                return Some(bits / 8);
            }
            let inner = self.number(kind).filter(|_| name == 0 && deep > 0)?;
            let inner = matches!(inner.kind, STRUCT | UNION).then_some(inner)?;
            Some(bits / 8 + self.member(inner, field, deep - 1)?)
        })
    }

    fn is_named(&self, name: u32, wanted: &str) -> bool {
        let at = usize::try_from(name).map_or(usize::MAX, |name| self.strings.saturating_add(name));
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.strip_prefix(wanted.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_ne_bytes(four)).ok()
}

fn describe(bytes: &[u8], at: usize) -> Option<Type> {
    let read = |offset| u32::try_from(word(bytes, at.checked_add(offset)?)?).ok();
    let info = read(4)?;
    Some(Type {
        at,
        name: read(0)?,
        kind: info >> 24 & 0x1f,
        count: (info & 0xffff) as usize,
        bits: info >> 31 != 0,
        other: read(8)?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// `struct s { int a; union { char b; int c; }; int f: 3; }`, and `int g(int, int)`.
    fn sample() -> Vec<u8> {
        let strings = b"\0s\0a\0b\0c\0f\0g\0int\0";
        let words: [u32; 40] = [
            // 1: int
            13,
            1 << 24,
            4,
            32, //
            // 2: struct s, with bit fields
            1,
            4 << 24 | 3 | 1 << 31,
            12, //
            3,
            1,
            0,
            0,
            3,
            32,
            9,
            1,
            64 | 3 << 24, //
            // 3: the union in it
            0,
            5 << 24 | 2,
            4,
            5,
            1,
            0,
            7,
            1,
            0, //
            // 4: a function's type
            0,
            13 << 24 | 2,
            1,
            0,
            1,
            0,
            1, //
            // 5: the function
            11,
            12 << 24,
            4, //
            // 6, 7: pointers
            0,
            2 << 24,
            1,
            0,
            2 << 24,
        ];
        let types: Vec<u8> = words
            .iter()
            .chain(&[1u32])
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let len = u32::try_from(types.len()).unwrap();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, len, len, u32::try_from(strings.len()).unwrap()] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_also_in_unions_without_a_name() {
        let types = Types::parse(sample()).unwrap();
        let offset = |field| types.offset("s", field).ok();
        assert_eq!(
            ["a", "b", "c", "f", "x"].map(offset),
            [Some(0), Some(4), Some(4), Some(8), None]
        );
        assert!(types.offset("t", "a").is_err());
        assert_eq!(types.arguments("g").unwrap(), 2);
        assert!(types.arguments("s").is_err());
    }

    #[test]
    fn a_file_that_was_cut_or_changed_is_refused_or_read_as_far_as_it_goes() {
        let whole = sample();
        for len in 0..whole.len() {
            let Ok(types) = Types::parse(whole[..len].to_vec()) else {
                continue;
            };
            assert!(types.offset("no such", "field").is_err());
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            if let Ok(types) = Types::parse(bytes) {
                types.offset("s", "c").ok();
                types.arguments("g").ok();
            }
        }
    }

    #[test]
    fn this_kernel_s_own_types_are_understood() {
        let Ok(types) = Types::read() else {
            // A kernel without them.
            assert!(!Path::new(VMLINUX).exists());
            return;
        };
        assert_eq!(types.offset("list_head", "prev").unwrap(), 8);
        assert!(types.offset("task_struct", "signal").unwrap() > 0);
        assert!(types.offset("file", "f_path").is_ok());
    }
}
