//! How programs come onto interfaces.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::probe;

/// How programs come onto interfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// tcx links (Linux 6.6): they go with the process.
    #[default]
    Tcx,
    /// `cls_bpf` filters at a clsact qdisc: they stay, inert, when chaosd and its watchdog are killed
    /// together, until the next start or `chaosd revert --all`.
    Clsact,
}

impl Mechanism {
    /// The better one that this kernel has. When it does not say, tcx: attaching will tell.
    pub fn of_this_kernel() -> Self {
        match probe::tcx() {
            Ok(false) => Self::Clsact,
            Ok(true) | Err(_) => Self::Tcx,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Tcx => "tcx links",
            Self::Clsact => "clsact filters",
        }
    }
}
