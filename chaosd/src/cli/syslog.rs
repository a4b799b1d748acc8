//! The system's log, for those whose standard error nobody reads.

use std::os::unix::net::UnixDatagram;

/// Where whoever keeps the log listens (syslog(3), systemd-journald.service(8)).
const SOCKET: &str = "/dev/log";
/// `LOG_DAEMON` and `LOG_WARNING` (RFC 3164 §4.1.1).
const PRIORITY: u32 = 3 << 3 | 4;

/// Tells it, if somebody listens and is quick.
pub(super) fn syslog(text: &str) {
    let line = text.replace('\n', "; ");
    let message = format!("<{PRIORITY}>chaosd[{}]: {line}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(message.as_bytes(), SOCKET)
    });
    // Nobody is left to tell.
    sent.ok();
}
