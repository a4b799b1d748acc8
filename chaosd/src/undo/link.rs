//! Deletes a network device that we made: the detour's pair.

use std::{fmt, os::fd::AsFd};

use serde::{Deserialize, Serialize};

use super::{NetnsId, Outcome, Reverted, System, quoted};

/// A network device to delete, if its alias is still ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it is.
    pub netns: NetnsId,
    /// Its name.
    pub name: String,
    /// Its `ifalias`, which says that it is ours.
    pub alias: String,
}

impl Link {
    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        let Some(netns) = self.netns.open()? else {
            return Ok(Outcome::AlreadyGone);
        };
        Ok(
            if system.delete_link(netns.as_fd(), &self.name, &self.alias)? {
                Outcome::Done
            } else {
                Outcome::AlreadyGone
            },
        )
    }

    pub(super) fn by_hand(&self) -> String {
        format!(
            "{} ip link delete {}",
            self.netns.nsenter(),
            quoted(&self.name)
        )
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delete link {} in {}", self.name, self.netns)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::{Undo, fake::Fake};
    use super::*;

    #[test]
    fn a_device_of_ours_goes_once_and_one_with_another_alias_stays() {
        let fake = Fake::default();
        fake.add_link("chaosd0", "chaosd:1");
        fake.add_link("chaosd1", "of somebody else");
        let undo = |name: &str| {
            Undo::Link(Link {
                netns: NetnsId::current().unwrap(),
                name: name.into(),
                alias: "chaosd:1".into(),
            })
        };
        assert_eq!(undo("chaosd0").revert(&fake).unwrap(), Outcome::Done);
        assert_eq!(undo("chaosd0").revert(&fake).unwrap(), Outcome::AlreadyGone);
        assert_eq!(undo("chaosd1").revert(&fake).unwrap(), Outcome::AlreadyGone);
        assert_eq!(fake.links(), ["chaosd1"]);
    }
}
