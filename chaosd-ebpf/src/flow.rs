//! The key of a flow, as seen from the target.

/// A TCP connection. IPv4 addresses stand in the first four bytes, the rest is 0.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FlowKey {
    /// The peer.
    pub remote: [u8; 16],
    /// The peer's port, host byte order.
    pub remote_port: u16,
    /// Our port, host byte order.
    pub local_port: u16,
    /// 4 or 6.
    pub family: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 24);
