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

use crate::netlink::in_netns;

/// Most flows protected: a bound on the map that holds them.
pub const MAX_FLOWS: usize = 4096;
/// `TCP_ESTABLISHED` in /proc/net/tcp (`include/net/tcp_states.h`).
const ESTABLISHED: &str = "01";

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
    let (v4, v6) = in_netns(netns, || {
        // /proc/net follows the process's main thread; this one has a namespace of its own.
        (
            fs::read_to_string("/proc/thread-self/net/tcp"),
            fs::read_to_string("/proc/thread-self/net/tcp6"),
        )
    })?;
    // A kernel without IPv6 has no tcp6.
    let tables = [v4?, v6.unwrap_or_default()];
    let mut flows: Vec<FlowKey> = tables
        .iter()
        .flat_map(|table| table.lines().filter_map(connection))
        .filter(|(_, inode)| owned.contains(inode))
        .map(|(flow, _)| flow)
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

/// An established connection and its inode, from a line of /proc/net/tcp or tcp6 (`proc_pid_net(5)`).
fn connection(line: &str) -> Option<(FlowKey, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = socket_address(fields.next()?)?;
    let remote = socket_address(fields.next()?)?;
    if fields.next()? != ESTABLISHED {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    Some((key(remote.0, remote.1, local.1), inode))
}

/// `0100007F:0016`: words of the address as the machine reads them, the port as people do.
fn socket_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = [0u8; 16];
    let words = address.len() / 8;
    if !matches!(address.len(), 8 | 32) || !address.is_ascii() {
        return None;
    }
    for (at, word) in bytes.chunks_exact_mut(4).enumerate().take(words) {
        let word_text = &address[at * 8..at * 8 + 8];
        word.copy_from_slice(&u32::from_str_radix(word_text, 16).ok()?.to_ne_bytes());
    }
    let ip = if words == 1 {
        let [a, b, c, d, ..] = bytes;
        IpAddr::from([a, b, c, d])
    } else {
        IpAddr::from(bytes)
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
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
        os::unix::{fs::MetadataExt, process::CommandExt},
    };

    use super::*;
    use crate::target::own_netns;

    const MAPPED: &str = "   0: 0000000000000000FFFF00000100007F:0016 \
        0000000000000000FFFF00000200007F:D431 01 00000000:00000000 02:000A 00000000 0 0 4242 2 x";

    #[test]
    fn a_mapped_address_becomes_the_ipv4_key_of_its_packets() {
        let (flow, inode) = connection(MAPPED).unwrap();
        assert_eq!(label(&flow), "127.0.0.2:54321 to local port 22");
        assert_eq!((flow.family, inode), (4, 4242));
    }

    #[test]
    fn a_listening_socket_is_no_flow() {
        assert_eq!(connection(&MAPPED.replace(" 01 ", " 0A ")), None);
        assert_eq!(connection("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn the_connection_of_the_shell_is_read_from_its_environment() {
        let flow = from_ssh_connection("fe80::1%eth0 50000 fe80::2%eth0 22").unwrap();
        assert_eq!(label(&flow), "[fe80::1]:50000 to local port 22");
        assert_eq!(from_ssh_connection("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(from_ssh_connection(""), None);
    }

    #[test]
    fn a_live_connection_is_read_back_from_the_kernel() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(listen).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let fd = server.as_fd().try_clone_to_owned().unwrap();
            let inode = fs::File::from(fd).metadata().unwrap().ino();
            let table = if peer.is_ipv4() { "tcp" } else { "tcp6" };
            let table = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap();
            let (flow, _) = table
                .lines()
                .filter_map(connection)
                .find(|(_, found)| *found == inode)
                .unwrap();
            let port = listener.local_addr().unwrap().port();
            assert_eq!(label(&flow), format!("{peer} to local port {port}"));
            drop(client);
        }
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
        let own = flows(own_netns().unwrap().fd.as_fd()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let wanted = key(peer.ip(), peer.port(), port);
        assert!(own.contains(&wanted), "{own:?}");
        let other = crate::netlink::tests::scratch_netns();
        let elsewhere = flows(other.as_fd()).unwrap();
        assert!(!elsewhere.contains(&wanted));
        drop((client, guard));
    }
}
