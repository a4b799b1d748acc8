//! ioctls: the features of a network device (ethtool) and the kind of a namespace (nsfs).
//!
//! Invariant: a buffer handed to the kernel is at least as large as what its request may write.

#![expect(
    unsafe_code,
    reason = "an ioctl takes a pointer that the compiler cannot check"
)]

use std::{
    io,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::net::UnixDatagram,
    },
};

/// linux/ethtool.h
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
/// `enum ethtool_stringset`: names of the features.
const ETH_SS_FEATURES: u32 = 4;
/// Bytes of one name, its NUL included.
const ETH_GSTRING_LEN: usize = 32;

/// 32 features of a device, one bit each (`struct ethtool_get_features_block`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureBlock {
    /// Those that can be changed.
    pub available: u32,
    /// Those that were asked for.
    pub requested: u32,
    /// Those in force.
    pub active: u32,
    /// Those that no device may change.
    pub never_changed: u32,
}

/// Asks one network namespace about its devices: that of the thread that opened it.
#[derive(Debug)]
pub struct Ethtool(UnixDatagram);

impl Ethtool {
    /// Opens a socket in the calling thread's network namespace. Device ioctls work on any socket
    /// (`net/socket.c`: `sock_do_ioctl` falls through to `dev_ioctl`).
    pub fn open() -> io::Result<Self> {
        UnixDatagram::unbound().map(Self)
    }

    /// The names of the kernel's features; the position is the bit. The same for every device.
    pub fn feature_names(&self, device: &str) -> io::Result<Vec<String>> {
        // struct ethtool_sset_info: cmd, reserved, a 64-bit mask, then one count per bit of it.
        let mask = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
        let (halves, _) = mask.as_chunks::<4>();
        let mut info = [
            ETHTOOL_GSSET_INFO,
            0,
            u32::from_ne_bytes(halves[0]),
            u32::from_ne_bytes(halves[1]),
            0,
        ];
        // SAFETY: one set is asked for, so the kernel writes the header and at most one count.
        unsafe { self.request(device, info.as_mut_ptr()) }?;
        let count = info[4];
        // struct ethtool_gstrings: cmd, set, count, then the names.
        let words = count as usize * ETH_GSTRING_LEN / size_of::<u32>();
        let mut strings = vec![0u32; 3 + words];
        strings[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count]);
        // SAFETY: the number of features is a constant of the running kernel
        // (net/ethtool/common.c: netdev_features_strings), so it writes `count` names, no more.
        unsafe { self.request(device, strings.as_mut_ptr()) }?;
        let bytes: Vec<u8> = strings[3..]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        Ok(bytes
            .chunks_exact(ETH_GSTRING_LEN)
            .map(|name| {
                let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
                String::from_utf8_lossy(&name[..end]).into_owned()
            })
            .collect())
    }

    /// The features of a device, `blocks` times 32 of them.
    pub fn features(&self, device: &str, blocks: usize) -> io::Result<Vec<FeatureBlock>> {
        let mut buffer = vec![0u32; 2 + blocks * 4];
        buffer[0] = ETHTOOL_GFEATURES;
        buffer[1] = u32::try_from(blocks).map_err(io::Error::other)?;
        // SAFETY: the kernel copies at most as many blocks as `size` (the second word) says
        // (net/ethtool/ioctl.c: ethtool_get_features).
        unsafe { self.request(device, buffer.as_mut_ptr()) }?;
        Ok(buffer[2..]
            .chunks_exact(4)
            .map(|block| FeatureBlock {
                available: block[0],
                requested: block[1],
                active: block[2],
                never_changed: block[3],
            })
            .collect())
    }

    /// Switches the features named by each `(which, on)` pair of 32-bit masks.
    ///
    /// `changes` must have one pair for each block of the kernel, else `EINVAL`. The kernel may
    /// still refuse some: read them back.
    pub fn set_features(&self, device: &str, changes: &[(u32, u32)]) -> io::Result<()> {
        let mut buffer = vec![ETHTOOL_SFEATURES];
        buffer.push(u32::try_from(changes.len()).map_err(io::Error::other)?);
        buffer.extend(changes.iter().flat_map(|(which, on)| [*which, *on]));
        // SAFETY: the kernel reads `size` pairs, which are there, and writes nothing back
        // (net/ethtool/ioctl.c: ethtool_set_features).
        unsafe { self.request(device, buffer.as_mut_ptr()) }
    }

    /// # Safety
    /// `data` must point to what its first word, an `ETHTOOL_*` command, makes the kernel read and
    /// write.
    unsafe fn request(&self, device: &str, data: *mut u32) -> io::Result<()> {
        // SAFETY: ifreq is made of integers and pointers, for which all zeroes are values.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if device.len() >= libc::IFNAMSIZ {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_data = data.cast();
        // SAFETY: the request is a whole ifreq that outlives the call; `data` is the caller's word.
        let rc =
            unsafe { libc::ioctl(self.0.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        if rc < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// The `CLONE_NEW*` flag of the namespace behind a descriptor (`ioctl_nsfs(2)`).
///
/// # Errors
/// `ENOTTY` when it is not a namespace.
pub fn namespace_kind(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: NS_GET_NSTYPE takes no argument and only returns a number.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), libc::NS_GET_NSTYPE as _) };
    if kind < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(kind)
}
