//! What a packet carries from one program to the next, in the 16 bits of `skb->tc_index`.
//!
//! `skb->mark` belongs to others and `skb->cb` does not survive a device; `tc_index` does (a veth
//! does not scrub it, GSO segmentation copies it) and nothing on a current kernel reads it.
//!
//! Layout: `1 s s | 12 or 13 bits`, bit 15 says that it is ours.

const OURS: u16 = 0x8000;
const STATE: u16 = 0x6000;
const OWNER: u16 = 0x0fff;

/// A decoded `tc_index`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// Not ours.
    None,
    /// On its way into the detour: where it came from.
    Steered {
        /// [`crate::EGRESS`] or [`crate::INGRESS`]
        direction: u32,
        /// Slot of the interface to go back to.
        slot: u32,
    },
    /// Comes back from the detour of this plane: pass.
    Returned(u32),
    /// Its socket's cgroup was not known at tcx ingress: the cgroup program of this plane decides.
    Undecided(u32),
    /// Both of the above.
    ReturnedUndecided(u32),
}

impl Mark {
    /// As stored in `tc_index`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "masked to fewer bits, in u16 or u32"
    )]
    #[inline(always)]
    pub const fn encode(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Steered { direction, slot } => {
                OURS | ((direction & 1) << 12) as u16 | (slot & 0x3ff) as u16
            }
            Self::Returned(plane) => OURS | 0x2000 | (plane as u16 & OWNER),
            Self::Undecided(plane) => OURS | 0x4000 | (plane as u16 & OWNER),
            Self::ReturnedUndecided(plane) => OURS | 0x6000 | (plane as u16 & OWNER),
        }
    }

    /// From `tc_index`.
    #[inline(always)]
    pub const fn decode(v: u16) -> Self {
        if v & OURS == 0 {
            return Self::None;
        }
        let owner = (v & OWNER) as u32;
        match v & STATE {
            0x0000 => Self::Steered {
                direction: (v >> 12 & 1) as u32,
                slot: (v & 0x3ff) as u32,
            },
            0x2000 => Self::Returned(owner),
            0x4000 => Self::Undecided(owner),
            _ => Self::ReturnedUndecided(owner),
        }
    }
}
