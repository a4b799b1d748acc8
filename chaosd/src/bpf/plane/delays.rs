//! The delays of faults that have one for each peer: they stand in the tries exactly as long as the
//! fault does, so that a number which is used again inherits none.

use std::collections::BTreeMap;

use aya::maps::{MapError, lpm_trie::Key};
use ipnet::IpNet;

use super::{Object, PlaneError, map_error};

/// What stands in the tries, by fault.
#[derive(Debug, Default)]
pub(super) struct Delays {
    installed: BTreeMap<u8, Vec<IpNet>>,
}

impl Delays {
    /// Writes the delays of fault `n`, in ns.
    pub fn provide(
        &mut self,
        object: &mut Object,
        n: u8,
        times: &[(IpNet, u64)],
    ) -> Result<(), PlaneError> {
        if times.is_empty() {
            return Ok(());
        }
        let installed = self.installed.entry(n).or_default();
        for (net, time) in times {
            match net {
                IpNet::V4(_) => object.delays4.insert(&key(n, *net), time, 0),
                IpNet::V6(_) => object.delays6.insert(&key(n, *net), time, 0),
            }
            .map_err(map_error("DELAYS"))?;
            installed.push(*net);
        }
        Ok(())
    }

    /// Takes the delays of fault `n` out. Goes on after an error, and returns the first.
    pub fn forget(&mut self, object: &mut Object, n: u8) -> Result<(), PlaneError> {
        let mut result = Ok(());
        for net in self.installed.remove(&n).unwrap_or_default() {
            let removed = match net {
                IpNet::V4(_) => object.delays4.remove(&key(n, net)),
                IpNet::V6(_) => object.delays6.remove(&key(n, net)),
            };
            let removed = match removed {
                // Given twice, it is out already.
                Err(MapError::KeyNotFound) => Ok(()),
                other => other,
            };
            result = result.and(removed.map_err(map_error("DELAYS")));
        }
        result
    }
}

/// The fault's number, big-endian, then the address.
fn key<const N: usize>(n: u8, net: IpNet) -> Key<[u8; N]> {
    let mut data = [0; N];
    data[3] = n;
    match net.network() {
        std::net::IpAddr::V4(v4) => data[4..].copy_from_slice(&v4.octets()),
        std::net::IpAddr::V6(v6) => data[4..].copy_from_slice(&v6.octets()),
    }
    Key::new(32 + u32::from(net.prefix_len()), data)
}
