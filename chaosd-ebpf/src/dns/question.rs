//! Reads a query: its name, type and EDNS option. What is not a plain query for one name is none of
//! ours.

use super::{MOST_NAME, NameKey};

/// Octets of a message's header (RFC 1035 §4.1.1).
pub const HEADER_LEN: u32 = 12;
/// The longest query that is read: what every server takes (RFC 1035 §2.3.4).
pub const MOST_MESSAGE: u32 = 512;
/// Room for a message and what an access could reach behind it.
pub const MESSAGE_BUFFER: usize = 1024;
/// A name has at most so many labels, the root's included.
pub const MOST_LABELS: u32 = 128;

/// Octets of an EDNS option record without data (RFC 6891 §6.1.2).
const OPT_LEN: u32 = 11;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
const CLASS_ANY: u16 = 255;
/// The flags' first octet: an answer, or another operation than a query.
const NOT_A_QUERY: u8 = 0xf8;

/// A query, as far as it has been read.
///
/// [`begin`](Self::begin), [`label`](Self::label) until it is false, [`end`](Self::end): then it is
/// known. [`rewind`](Self::rewind), [`fold`](Self::fold) as often as the name has octets: then every
/// domain above it was met.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The message. Three octets of zeros are behind it.
    pub message: [u8; MESSAGE_BUFFER],
    /// Octets of the message.
    pub len: u32,
    /// Octets of the name, the root's included; 0: it is not whole.
    pub name_len: u32,
    /// Octets up to the end of the question.
    pub question_len: u32,
    /// The type that is asked for.
    pub qtype: u32,
    /// 1: it has an EDNS option.
    pub edns: u8,
    /// 1: that asks for signatures ("DNSSEC OK", RFC 3225).
    pub dnssec: u8,
    /// The domain under way.
    pub key: NameKey,
    /// Its labels, without the root.
    pub labels: u32,
    /// Where it begins in the name, in octets.
    pub at: u32,
    /// Bit n: a label begins at octet n of the name.
    starts: [u64; 4],
}

impl Question {
    /// Nothing read.
    pub const NONE: Self = Self {
        message: [0; MESSAGE_BUFFER],
        len: 0,
        name_len: 0,
        question_len: 0,
        qtype: 0,
        edns: 0,
        dnssec: 0,
        key: NameKey { h: [0; 2] },
        labels: 0,
        at: 0,
        starts: [0; 4],
    };

    #[inline(always)]
    fn octet(&self, at: u32) -> u8 {
        self.message[at as usize & (MESSAGE_BUFFER - 1)]
    }

    #[inline(always)]
    fn number(&self, at: u32) -> u16 {
        u16::from_be_bytes([self.octet(at), self.octet(at + 1)])
    }

    /// Reads the header of the `len` octets in `message`; false: it is no query for one name.
    #[inline(always)]
    pub fn begin(&mut self, len: u32) -> bool {
        if !(HEADER_LEN + 5..=MOST_MESSAGE).contains(&len) {
            return false;
        }
        self.len = len;
        self.name_len = 0;
        self.at = 0;
        self.starts = [0; 4];
        // A checksum takes words of four octets.
        let mut i = 0;
        while i < 3 {
            self.message[(len + i) as usize & (MESSAGE_BUFFER - 1)] = 0;
            i += 1;
        }
        self.octet(2) & NOT_A_QUERY == 0
            && self.number(4) == 1
            && self.number(6) == 0
            && self.number(8) == 0
            && self.number(10) <= 1
    }

    /// Reads a label; true: there is another one. At most [`MOST_LABELS`] times.
    #[inline(always)]
    pub fn label(&mut self) -> bool {
        let at = self.at;
        let length = self.octet(HEADER_LEN + at);
        // Neither beyond the end nor a pointer nor one of the reserved kinds (RFC 1035 §4.1.4).
        if HEADER_LEN + at >= self.len || at >= MOST_NAME || length > 63 {
            return false;
        }
        if length == 0 {
            self.name_len = at + 1;
            return false;
        }
        self.starts[(at >> 6) as usize & 3] |= 1 << (at & 63);
        self.at = at + 1 + u32::from(length);
        true
    }

    /// Reads what is behind the name; false: that is not understood as a whole.
    #[inline(always)]
    pub fn end(&mut self) -> bool {
        if self.name_len == 0 {
            return false;
        }
        let at = HEADER_LEN + self.name_len;
        let end = at + 4;
        if end > self.len {
            return false;
        }
        self.qtype = u32::from(self.number(at));
        self.question_len = end;
        self.edns = 0;
        self.dnssec = 0;
        let class = self.number(at + 2);
        if class != CLASS_IN && class != CLASS_ANY {
            return false;
        }
        if self.number(10) == 0 {
            return end == self.len;
        }
        // One record: the option of EDNS in its version 0 (RFC 6891 §6.1.2).
        if end + OPT_LEN > self.len
            || self.octet(end) != 0
            || self.number(end + 1) != TYPE_OPT
            || self.octet(end + 6) != 0
        {
            return false;
        }
        self.edns = 1;
        self.dnssec = self.octet(end + 7) >> 7;
        end + OPT_LEN + u32::from(self.number(end + 9)) == self.len
    }

    /// Goes to the end of the name, which is not the root yet.
    #[inline(always)]
    pub fn rewind(&mut self, seed: [u64; 2]) {
        self.key = NameKey::new(seed);
        self.labels = 0;
        self.at = self.name_len;
    }

    /// Goes on to the octet before; true: `key` is that of a domain, which has `labels` labels and
    /// begins at octet `at` of the name.
    #[inline(always)]
    pub fn fold(&mut self) -> bool {
        if self.at == 0 {
            return false;
        }
        let at = self.at - 1;
        self.at = at;
        self.key.fold(self.octet(HEADER_LEN + at));
        if self.starts[(at >> 6) as usize & 3] >> (at & 63) & 1 != 0 {
            self.labels += 1;
            return true;
        }
        at + 1 == self.name_len
    }

    /// Reads a whole message, as a program does; `None`: it is none of ours.
    pub fn read(message: &[u8]) -> Option<Self> {
        let mut question = Self::NONE;
        question
            .message
            .get_mut(..message.len())?
            .copy_from_slice(message);
        if !question.begin(u32::try_from(message.len()).ok()?) {
            return None;
        }
        while question.label() {}
        question.end().then_some(question)
    }
}
