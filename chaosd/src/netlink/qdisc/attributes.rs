//! Netlink attributes as bytes: what the kernel's queues take as their options.
//!
//! Invariant: each attribute starts at a multiple of four and its length fits its header
//! (netlink(7)); one that does not fit is an error, never a shorter one.

/// Bytes of an attribute's header (`struct nlattr`).
const HEADER: usize = 4;
/// `NLA_F_NESTED`: its value is attributes again.
const NESTED: u16 = 1 << 15;

/// Attributes, one after the other.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

/// An attribute longer than its 16-bit length can say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Attributes {
    /// Begins with bytes that are no attribute, as netem's options do.
    pub(super) const fn after(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Appends one.
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) -> Result<(), TooLong> {
        let length = u16::try_from(HEADER + value.len()).map_err(|_| TooLong)?;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(HEADER), 0);
        Ok(())
    }

    /// Appends words of 32 bits.
    pub(super) fn put_words(&mut self, kind: u16, words: &[u32]) -> Result<(), TooLong> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.put(kind, &bytes)
    }

    /// Appends one whose value is attributes.
    pub(super) fn nest(&mut self, kind: u16, inner: &Self) -> Result<(), TooLong> {
        self.put(kind | NESTED, &inner.0)
    }

    /// The bytes, if they fit one attribute.
    pub(super) fn finish(self) -> Result<Vec<u8>, TooLong> {
        if HEADER + self.0.len() > usize::from(u16::MAX) {
            return Err(TooLong);
        }
        Ok(self.0)
    }
}

/// The first attribute of that kind among `bytes`.
pub(super) fn find(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
        let value = bytes.get(HEADER..length)?;
        if kind & !NESTED == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(HEADER)..)?;
    }
}

/// A word of 32 bits at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_again() {
        let mut inner = Attributes::default();
        inner.put_words(7, &[70]).unwrap();
        let mut outer = Attributes::default();
        outer.put(1, &[9]).unwrap();
        outer.nest(2, &inner).unwrap();
        let bytes = outer.finish().unwrap();
        assert_eq!(bytes.len(), 8 + 4 + 8);
        assert_eq!(find(&bytes, 1), Some(&[9][..]));
        let nested = find(&bytes, 2).unwrap();
        assert_eq!(word(find(nested, 7).unwrap(), 0), Some(70));
        assert_eq!(find(&bytes, 3), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut attributes = Attributes::default();
        assert_eq!(attributes.put(1, &vec![0; 65_532]), Err(TooLong));
        attributes.put(1, &vec![0; 40_000]).unwrap();
        attributes.put(2, &vec![0; 40_000]).unwrap();
        assert_eq!(attributes.finish(), Err(TooLong));
    }

    #[test]
    fn bytes_that_are_cut_short_hold_nothing() {
        assert_eq!(find(&[8, 0, 1, 0, 5], 1), None);
        assert_eq!(find(&[0, 0, 9, 0], 1), None);
        assert_eq!(word(&[1, 2, 3], 0), None);
    }
}
