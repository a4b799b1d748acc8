//! Which netem a packet goes through next: one device for each such fault, in the order of their
//! numbers. What a netem does to a packet is its own affair, so that what is counted as affected is
//! what went in.

use chaosd_ebpf::{Bits, Control};

use crate::{act::Place, decide, maps, packet::Packet};

/// The fault whose netem ends at this device, plus one; 0: none.
#[inline(always)]
pub fn past(device: u32) -> u32 {
    // Asked also when no fault has one any more: what the last of them held still comes out of it.
    // SAFETY: a number, replaced as a whole by user space.
    unsafe { maps::NETEM_ENDS.get(device) }.map_or(0, |n| n + 1)
}

/// The device to send the packet into; 0: no netem is left for it. `way`: [`way`].
#[inline(never)]
pub fn next(ctl: &Control, bits: &Bits, now: u64, p: &Packet, way: u32) -> u32 {
    let mut left = bits.and(&ctl.netem);
    let (direction, past) = (way & 1, way >> 1);
    let flow = p.flow_hash();
    let mut tries = 0;
    // Those that rest or spare this flow are passed over; more than eight in a row are not.
    while tries < 8 {
        let Some(n) = left.pop() else {
            return 0;
        };
        if n >= past
            && let Some(f) = maps::FAULTS.get(n)
            && decide::active(f, now, flow).is_some()
        {
            return through(n, direction, p).unwrap_or(0);
        }
        tries += 1;
    }
    0
}

/// Direction and the netem that the packet comes from, in one number: a function of a program takes
/// five.
#[inline(always)]
pub fn way(direction: u32, place: Place) -> u32 {
    let past = match place {
        Place::Interface => 0,
        Place::Detour { past, .. } => past,
    };
    direction & 1 | past << 1
}

#[inline(always)]
fn through(n: u32, direction: u32, p: &Packet) -> Option<u32> {
    let device = *maps::NETEMS.get(n)?;
    if device == 0 {
        return None;
    }
    let counters = maps::COUNTERS.get_ptr_mut(n * 2 + (direction & 1))?;
    // SAFETY: this CPU's own value.
    unsafe {
        (*counters).matched += u64::from(p.segments);
        (*counters).affected += u64::from(p.segments);
    }
    Some(device)
}
