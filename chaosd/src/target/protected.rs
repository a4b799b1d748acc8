//! The protected set: connections that a fault must not cut, for they are its off-switch.

use chaosd_ebpf::FlowKey;

/// `peer:port -> local port`, for people.
pub fn label(flow: &FlowKey) -> String {
    let ip = if flow.family == 4 {
        let [a, b, c, d, ..] = flow.remote;
        std::net::IpAddr::from([a, b, c, d])
    } else {
        std::net::IpAddr::from(flow.remote)
    };
    format!(
        "{} to local port {}",
        std::net::SocketAddr::new(ip, flow.remote_port),
        flow.local_port
    )
}
