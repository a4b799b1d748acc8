//! Takes our filters off an interface, on kernels where programs hang at clsact.

use std::fmt;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};

use super::{NetnsId, Reverted, System, quoted};

/// Where a filter hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Arriving packets.
    Ingress,
    /// Leaving packets.
    Egress,
}

impl Hook {
    /// As tc(8) calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// One filter, and what proves that it is still ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Where it hangs.
    pub hook: Hook,
    /// Its priority (tc-bpf(8): the lower, the earlier).
    pub priority: u16,
    /// Its handle, unique at its hook and priority.
    pub handle: u32,
    /// The id of its program, which the kernel does not give twice while it is up.
    pub program: u32,
}

/// Our filters on one interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// Where the interface is.
    pub netns: NetnsId,
    /// Its name, for the reader.
    pub interface: String,
    /// Its index, for the kernel.
    pub index: u32,
    /// True when the clsact qdisc is there because of chaosd: it goes with the last filter.
    pub clsact: bool,
    /// The filters.
    pub filters: Vec<Filter>,
}

impl Filters {
    pub(super) fn revert(&self, system: &dyn System) -> Reverted {
        let Some(netns) = self.netns.open()? else {
            return Ok(super::Outcome::AlreadyGone);
        };
        system.remove_filters(netns.as_fd(), self.index, &self.filters, self.clsact)
    }

    pub(super) fn by_hand(&self) -> String {
        let (enter, device) = (self.netns.nsenter(), quoted(&self.interface));
        let deletion = |filter: &Filter| {
            format!(
                "{enter} tc filter del dev {device} {} prio {} handle {:#x} bpf",
                filter.hook.name(),
                filter.priority,
                filter.handle
            )
        };
        let mut lines: Vec<_> = self.filters.iter().map(deletion).collect();
        if self.clsact {
            lines.push(format!(
                "{enter} tc qdisc del dev {device} clsact # if nobody else has a filter there"
            ));
        }
        lines.join("; ")
    }
}

impl fmt::Display for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "take the filters off {} (index {}) in {}",
            self.interface, self.index, self.netns
        )
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::{Outcome, Undo, fake::Fake};
    use super::*;

    fn undo(clsact: bool) -> Undo {
        let filter = |hook| Filter {
            hook,
            priority: 1,
            handle: 7,
            program: 9,
        };
        Undo::Filters(Filters {
            netns: NetnsId::current().unwrap(),
            interface: "eth0".into(),
            index: 2,
            clsact,
            filters: vec![filter(Hook::Ingress), filter(Hook::Egress)],
        })
    }

    #[test]
    fn filters_go_once() {
        let fake = Fake::default();
        fake.add_filters(2);
        assert_eq!(undo(true).revert(&fake).unwrap(), Outcome::Done);
        assert_eq!(undo(true).revert(&fake).unwrap(), Outcome::AlreadyGone);
    }

    #[test]
    fn filters_of_a_namespace_that_is_gone_need_nothing() {
        let fake = Fake::default();
        fake.add_filters(2);
        let Undo::Filters(mut filters) = undo(true) else {
            unreachable!("it was made a line above");
        };
        filters.netns.ino = u64::MAX;
        let outcome = Undo::Filters(filters).revert(&fake).unwrap();
        assert_eq!(outcome, Outcome::AlreadyGone);
    }

    #[test]
    fn the_line_for_the_shell_names_clsact_only_when_it_is_ours() {
        let ours = undo(true).by_hand();
        assert!(
            ours.contains("tc filter del dev eth0 ingress prio 1 handle 0x7 bpf; "),
            "{ours}"
        );
        assert!(ours.contains("tc qdisc del dev eth0 clsact"), "{ours}");
        assert!(!undo(false).by_hand().contains("qdisc"));
    }
}
