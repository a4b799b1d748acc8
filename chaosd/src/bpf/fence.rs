//! Disarms a plane from another process, by the id of its control map.

use std::io;

use aya::maps::{Map, MapData};
use chaosd_ebpf::Control;

use crate::sys::map::Mapped;

/// Writes the fence: every program of the plane lets every packet pass from now on, for good.
/// `Ok(false)`: no map has this id any more (its process is gone, and the effects with it), or it
/// is not a control map of ours.
pub fn fence(id: u32) -> io::Result<bool> {
    let data = match MapData::from_id(id) {
        Ok(data) => data,
        Err(aya::maps::MapError::SyscallError(e))
            if e.io_error.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(false);
        }
        Err(e) => return Err(io::Error::other(e)),
    };
    let info = data.info().map_err(io::Error::other)?;
    // Map ids are not used again before 2^31 maps were made; the name is a second witness.
    if info.name_as_str() != Some("CONTROL") || info.value_size() as usize != size_of::<Control>() {
        return Ok(false);
    }
    let map = Map::from_map_data(data).map_err(io::Error::other)?;
    let Map::Array(data) = &map else {
        return Ok(false);
    };
    let mut control = Mapped::<Control>::new(data.fd(), 1)?;
    control.set_field(0, |c| &mut c.fence, 1);
    // Not 0: from the time at which it was lost follows the order in which held packets leave.
    control.set_field(0, |c| &mut c.lease_ns, crate::clock::now_ns());
    Ok(true)
}

/// The id of a map, for the journal.
pub(super) fn id(data: &MapData) -> io::Result<u32> {
    Ok(data.info().map_err(io::Error::other)?.id())
}
