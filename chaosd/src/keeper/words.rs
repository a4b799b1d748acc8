//! What a keeper and its starter say to each other: messages of one length, each whole in one write.

use nix::sys::signal::Signal;

/// The length of a message.
pub(super) const LENGTH: usize = 5;

const STARTED: u8 = b'S';
const UNABLE: u8 = b'E';
const OVER: u8 = b'X';
const SIGNAL: u8 = b'K';
const LEAVE: u8 = b'L';

/// What a keeper says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The command runs.
    Started,
    /// It could not be started, for this error (errno(3)). The keeper ends.
    Unable(i32),
    /// The command itself is over, with what a shell calls its exit code.
    Over(u8),
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// This signal is for the command and all that it started. After SIGKILL it goes on until nobody is left.
    Signal(Signal),
    /// Leave them be, and end.
    Leave,
}

impl Said {
    pub(super) fn encode(self) -> [u8; LENGTH] {
        match self {
            Self::Started => message(STARTED, 0),
            Self::Unable(errno) => message(UNABLE, errno),
            Self::Over(code) => message(OVER, code.into()),
        }
    }

    /// `None`: no message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match parts(bytes)? {
            (STARTED, _) => Some(Self::Started),
            (UNABLE, errno) => Some(Self::Unable(errno)),
            (OVER, code) => Some(Self::Over(code.try_into().ok()?)),
            _ => None,
        }
    }
}

impl Order {
    pub(super) fn encode(self) -> [u8; LENGTH] {
        match self {
            Self::Signal(signal) => message(SIGNAL, signal as i32),
            Self::Leave => message(LEAVE, 0),
        }
    }

    /// `None`: no message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match parts(bytes)? {
            (SIGNAL, number) => Some(Self::Signal(number.try_into().ok()?)),
            (LEAVE, _) => Some(Self::Leave),
            _ => None,
        }
    }
}

fn message(what: u8, number: i32) -> [u8; LENGTH] {
    let [a, b, c, d] = number.to_le_bytes();
    [what, a, b, c, d]
}

fn parts(bytes: &[u8]) -> Option<(u8, i32)> {
    let [what, a, b, c, d] = *bytes else {
        return None;
    };
    Some((what, i32::from_le_bytes([a, b, c, d])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_nothing_else_is() {
        for said in [Said::Started, Said::Unable(2), Said::Over(137)] {
            assert_eq!(Said::decode(&said.encode()), Some(said));
        }
        for order in [Order::Signal(Signal::SIGTERM), Order::Leave] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
        for bytes in [&b""[..], b"S", b"K\xff\0\0\0", b"X\0\x01\0\0", b"S000000"] {
            assert_eq!((Said::decode(bytes), Order::decode(bytes)), (None, None));
        }
    }
}
