//! Paths of this machine: its root, a loop device made for the test, and what is no disk.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

#[test]
fn numbers_are_read_and_written_as_the_kernel_does() {
    let number: Number = "259:12\n".parse().unwrap();
    assert_eq!((number.major, number.minor), (259, 12));
    assert_eq!(number.to_string(), "259:12");
    for wrong in ["", "8", "8:", "a:0", "8:0:0"] {
        assert!(wrong.parse::<Number>().is_err(), "{wrong}");
    }
}
