//! What a packet carries from one program to the next, in the 16 bits of `skb->tc_index`.
//!
//! `skb->mark` belongs to others and `skb->cb` does not survive a device; `tc_index` does (a veth
//! does not scrub it, GSO segmentation copies it) and nothing on a current kernel reads it.
//!
//! Layout: `1 0 d c c 0 | 10 bits of slot` on the way, `1 1 s s | 12 bits of plane` afterwards.

const OURS: u16 = 0x8000;
const DONE: u16 = 0x4000;
const STATE: u16 = 0x3000;
const RETURNED: u16 = 0x1000;
const UNDECIDED: u16 = 0x2000;
const OWNER: u16 = 0x0fff;
const SLOT: u16 = 0x03ff;

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
        /// Not 0: it goes round in the hold queue, in chunks of [`crate::CHUNKS_NS`].
        chunk: u32,
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
            Self::Steered {
                direction,
                slot,
                chunk,
            } => {
                OURS | ((direction & 1) << 13) as u16
                    | ((chunk & 3) << 11) as u16
                    | (slot as u16 & SLOT)
            }
            Self::Returned(plane) => OURS | DONE | RETURNED | (plane as u16 & OWNER),
            Self::Undecided(plane) => OURS | DONE | UNDECIDED | (plane as u16 & OWNER),
            Self::ReturnedUndecided(plane) => OURS | DONE | STATE | (plane as u16 & OWNER),
        }
    }

    /// From `tc_index`.
    #[inline(always)]
    pub const fn decode(v: u16) -> Self {
        if v & OURS == 0 {
            return Self::None;
        }
        if v & DONE == 0 {
            return Self::Steered {
                direction: (v >> 13 & 1) as u32,
                slot: (v & SLOT) as u32,
                chunk: (v >> 11 & 3) as u32,
            };
        }
        let owner = (v & OWNER) as u32;
        match v & STATE {
            RETURNED => Self::Returned(owner),
            UNDECIDED => Self::Undecided(owner),
            STATE => Self::ReturnedUndecided(owner),
            _ => Self::None,
        }
    }
}
