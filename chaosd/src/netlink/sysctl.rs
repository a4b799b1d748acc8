//! The sysctls of a network namespace.
//!
//! /proc/sys/net shows the network namespace of the task that looks
//! (`net/sysctl_net.c`: `net_ctl_header_lookup`), so a thread inside it does the reading.

use std::{fs, io, os::fd::BorrowedFd, path::PathBuf};

use super::in_netns;

/// Reads a sysctl of `netns`, without its newline. `key` is a path below /proc/sys/net, such as
/// `ipv6/conf/eth0/disable_ipv6`: with slashes, for an interface's name may hold dots.
pub fn read_sysctl(netns: BorrowedFd<'_>, key: &str) -> io::Result<String> {
    let path = path_of(key)?;
    let value = in_netns(netns, || fs::read_to_string(&path))??;
    Ok(value.trim_end_matches('\n').to_owned())
}

/// Writes a sysctl of `netns`; see [`read_sysctl`].
pub fn write_sysctl(netns: BorrowedFd<'_>, key: &str, value: &str) -> io::Result<()> {
    let path = path_of(key)?;
    in_netns(netns, || fs::write(&path, value))?
}

fn path_of(key: &str) -> io::Result<PathBuf> {
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{key} is not the path of a sysctl below /proc/sys/net"),
        ));
    }
    Ok(PathBuf::from("/proc/sys/net").join(key))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::netlink::tests::scratch_netns;

    #[test]
    fn a_sysctl_is_that_of_the_namespace_and_not_of_the_caller() {
        let netns = scratch_netns();
        let before = fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
        write_sysctl(netns.as_fd(), "ipv4/ip_default_ttl", "77").unwrap();
        assert_eq!(
            read_sysctl(netns.as_fd(), "ipv4/ip_default_ttl").unwrap(),
            "77"
        );
        let after = fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn a_key_cannot_leave_proc_sys_net() {
        let netns = scratch_netns();
        let error = read_sysctl(netns.as_fd(), "../kernel/hostname").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
