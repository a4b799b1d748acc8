//! Puts a sysctl of a network namespace back.

use std::{fmt, io, os::fd::AsFd};

use serde::{Deserialize, Serialize};

use super::{NetnsId, Outcome, Reverted, System, quoted};

/// A sysctl to restore, if it still has the value that we wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// Where it is.
    pub netns: NetnsId,
    /// Below /proc/sys: `net/ipv4/conf/lo/accept_local`.
    pub key: String,
    /// The value it had.
    pub prior: String,
    /// The value that we wrote.
    pub ours: String,
}

impl Sysctl {
    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        let Some(netns) = self.netns.open()? else {
            return Ok(Outcome::AlreadyGone);
        };
        let Some(found) = system.read_sysctl(netns.as_fd(), &self.key)? else {
            return Ok(Outcome::AlreadyGone);
        };
        if same(&found, &self.prior) {
            return Ok(Outcome::AlreadyGone);
        }
        if !same(&found, &self.ours) {
            return Ok(Outcome::LeftAlone { found });
        }
        system.write_sysctl(netns.as_fd(), &self.key, &self.prior)?;
        match system.read_sysctl(netns.as_fd(), &self.key)? {
            Some(now) if !same(&now, &self.prior) => {
                Err(io::Error::other(format!("wrote {}, but it reads {now}", self.prior)).into())
            }
            _ => Ok(Outcome::Done),
        }
    }

    pub(super) fn by_hand(&self) -> String {
        let line = format!(
            "echo {} > {}",
            quoted(&self.prior),
            quoted(&format!("/proc/sys/{}", self.key))
        );
        format!("{} sh -c {}", self.netns.nsenter(), quoted(&line))
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "set sysctl {} in {} back to {}",
            self.key, self.netns, self.prior
        )
    }
}

/// The kernel prints a vector of numbers with tabs, and people write it with spaces.
fn same(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::{Undo, fake::Fake};
    use super::*;

    const KEY: &str = "net/ipv4/tcp_rmem";

    #[test]
    fn a_value_of_ours_is_put_back_once() {
        let fake = Fake::default();
        fake.set(KEY, "1\t2\t3");
        let undo = Undo::Sysctl(fake.sysctl(KEY, "4 5 6", "1 2 3"));
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::Done);
        assert_eq!(fake.get(KEY).unwrap(), "4 5 6");
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
        assert_eq!(fake.writes(), 1);
    }

    #[test]
    fn a_value_that_somebody_else_wrote_is_left_alone_and_told() {
        let fake = Fake::default();
        fake.set(KEY, "7 8 9");
        let undo = Undo::Sysctl(fake.sysctl(KEY, "4 5 6", "1 2 3"));
        let found = "7 8 9".to_owned();
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::LeftAlone { found });
        assert_eq!(fake.writes(), 0);
    }

    #[test]
    fn a_key_whose_interface_is_gone_needs_nothing() {
        let fake = Fake::default();
        let undo = Undo::Sysctl(fake.sysctl(KEY, "4 5 6", "1 2 3"));
        assert_eq!(undo.revert(&fake).unwrap(), Outcome::AlreadyGone);
    }
}
