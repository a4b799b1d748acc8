//! The protected set: connections that a fault must not cut, for they are its off-switch.
//!
//! These are the established TCP connections of SSH servers, and the one that chaosd was started
//! over. ARP, NDP and DHCP are the programs' own business.

use std::{
    collections::HashSet,
    fs, io,
    net::{IpAddr, SocketAddr},
    os::fd::BorrowedFd,
    path::Path,
};

use chaosd_ebpf::FlowKey;

use crate::netlink::established;

/// Most flows protected: a bound on the map that holds them.
pub const MAX_FLOWS: usize = 4096;

/// `peer:port -> local port`, for people.
pub fn label(flow: &FlowKey) -> String {
    let ip = if flow.family == 4 {
        let [a, b, c, d, ..] = flow.remote;
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(flow.remote)
    };
    format!(
        "{} to local port {}",
        SocketAddr::new(ip, flow.remote_port),
        flow.local_port
    )
}

/// The SSH connections that end in `netns`, at most [`MAX_FLOWS`].
pub fn flows(netns: BorrowedFd<'_>) -> io::Result<Vec<FlowKey>> {
    let owned = ssh_sockets()?;
    let mut flows: Vec<FlowKey> = established(netns)?
        .iter()
        .filter(|connection| owned.contains(&connection.inode))
        .map(|c| key(c.remote.ip(), c.remote.port(), c.local.port()))
        .collect();
    let started_over = std::env::var("SSH_CONNECTION").ok();
    if let Some(flow) = started_over.as_deref().and_then(from_ssh_connection)
        && !flows.contains(&flow)
    {
        flows.insert(0, flow);
    }
    flows.truncate(MAX_FLOWS);
    Ok(flows)
}

/// Inodes of the sockets that SSH servers have open. Socket inodes are unique over all namespaces.
fn ssh_sockets() -> io::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let process = entry.path();
        if entry.file_name().as_encoded_bytes()[0].is_ascii_digit() && is_ssh_server(&process) {
            // It may end, or belong to somebody who forbids the look: then it protects nothing.
            for link in fs::read_dir(process.join("fd"))
                .into_iter()
                .flatten()
                .flatten()
            {
                inodes.extend(
                    fs::read_link(link.path())
                        .ok()
                        .as_deref()
                        .and_then(socket_inode),
                );
            }
        }
    }
    Ok(inodes)
}

/// `sshd`, and `sshd-session` and `sshd-auth` since OpenSSH 9.8 and 10.0.
fn is_ssh_server(process: &Path) -> bool {
    fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.starts_with("sshd"))
}

/// From the target of a link in /proc/PID/fd: `socket:[12345]`.
fn socket_inode(link: &Path) -> Option<u64> {
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

/// `client-address client-port server-address server-port` (ssh(1)).
fn from_ssh_connection(value: &str) -> Option<FlowKey> {
    let mut words = value.split(' ');
    let address = words.next()?;
    // A link-local peer comes with its zone: fe80::1%eth0.
    let ip = address.split('%').next()?.parse().ok()?;
    let remote_port = words.next()?.parse().ok()?;
    let local_port = words.nth(1)?.parse().ok()?;
    Some(key(ip, remote_port, local_port))
}

/// As the packets look: a mapped address (`::ffff:a.b.c.d`) travels as IPv4.
fn key(remote: IpAddr, remote_port: u16, local_port: u16) -> FlowKey {
    let mut bytes = [0; 16];
    let family = match remote.to_canonical() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes = ip.octets();
            6
        }
    };
    FlowKey {
        remote: bytes,
        remote_port,
        local_port,
        family,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
        os::unix::process::CommandExt,
    };

    use super::*;
    use crate::target::own_netns;

    #[test]
    fn a_mapped_address_becomes_the_ipv4_key_of_its_packets() {
        let flow = key("::ffff:127.0.0.2".parse().unwrap(), 54_321, 22);
        assert_eq!(label(&flow), "127.0.0.2:54321 to local port 22");
        assert_eq!(flow.family, 4);
    }

    #[test]
    fn the_connection_of_the_shell_is_read_from_its_environment() {
        let flow = from_ssh_connection("fe80::1%eth0 50000 fe80::2%eth0 22").unwrap();
        assert_eq!(label(&flow), "[fe80::1]:50000 to local port 22");
        assert_eq!(from_ssh_connection("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(from_ssh_connection(""), None);
    }

    #[test]
    fn a_socket_of_another_program_is_not_protected() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let flows = flows(own_netns().unwrap().fd.as_fd()).unwrap();
        assert!(
            flows
                .iter()
                .all(|f| f.local_port != port && f.remote_port != port)
        );
    }

    /// A process that bears the name of an SSH server and ends with the guard.
    struct Named(std::process::Child, std::path::PathBuf);

    impl Drop for Named {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
            drop(fs::remove_file(&self.1));
        }
    }

    #[test]
    fn a_connection_of_an_ssh_server_is_protected_in_its_namespace_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let path = std::env::temp_dir().join(format!("sshd-chaosd-{}", std::process::id()));
        // A process is named after the file that was executed, also when that is a link.
        std::os::unix::fs::symlink("/bin/sleep", &path).unwrap();
        // The server's end of the connection becomes the process's standard input.
        let child = std::process::Command::new(&path)
            .arg0("sleep")
            .arg("60")
            .stdin(std::os::fd::OwnedFd::from(server))
            .spawn()
            .unwrap();
        let guard = Named(child, path);
        let port = listener.local_addr().unwrap().port();
        let wanted = key(peer.ip(), peer.port(), port);
        let here = own_netns().unwrap();
        // A process gets its name a moment after it was started (fs/exec.c: begin_new_exec).
        let protected = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(5));
            flows(here.fd.as_fd()).unwrap().contains(&wanted)
        });
        assert!(protected);
        let other = crate::netlink::tests::scratch_netns();
        let elsewhere = flows(other.as_fd()).unwrap();
        assert!(!elsewhere.contains(&wanted));
        drop((client, guard));
    }
}
