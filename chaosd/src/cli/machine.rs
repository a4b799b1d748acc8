//! The machine, for whoever undoes something: each means comes from the module that owns it.

use crate::{bpf, netlink, undo::Real};

/// The machine itself.
pub(super) fn machine() -> Real {
    Real::new(
        |netns, name, alias| Ok(netlink::delete_link(netns, name, alias)?),
        |map, _| Ok(bpf::fence(map)?),
        |netns, index, filters, clsact| {
            Ok(netlink::filters::remove(netns, index, filters, clsact)?)
        },
    )
}
