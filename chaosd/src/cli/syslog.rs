//! The system's log, for those whose standard error nobody reads.

use std::os::unix::net::UnixDatagram;

use crate::printable::printable;

/// Where whoever keeps the log listens (syslog(3), systemd-journald.service(8)).
const SOCKET: &str = "/dev/log";
/// `LOG_DAEMON` (RFC 3164 §4.1.1).
const FACILITY: u32 = 3 << 3;

/// How much it matters (RFC 3164 §4.1.1).
#[derive(Clone, Copy, Debug)]
pub(super) enum Severity {
    Warning = 4,
    Notice = 5,
}

/// Tells it in one line, if somebody listens and is quick.
pub(super) fn syslog(severity: Severity, text: &str) {
    let line = printable(&text.replace('\n', "; "));
    let priority = FACILITY | severity as u32;
    let message = format!("<{priority}>chaosd[{}]: {line}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(message.as_bytes(), SOCKET)
    });
    // Nobody is left to tell.
    sent.ok();
}
