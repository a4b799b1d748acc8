//! DNS by real parts: a server with a zone (dnsmasq), and clients that know nothing of the tests
//! (dig, glibc's and musl's `getaddrinfo`, dnsperf).
//!
//! All of it is what Debian packages; [`lacking`] names what is not there.

mod dig;
mod load;
pub mod malformed;
pub mod message;
mod resolve;
mod scratch;
mod server;
pub mod zone;

pub use dig::{Answer, Dig, Edns, Record, Seen};
pub use load::{Load, Loaded};
pub use resolve::{Libc, Resolved, Resolver};
pub use server::Server;

/// Why the tests of DNS cannot run here; `None`: they can.
pub fn lacking() -> Option<String> {
    ["dnsmasq", "dig", "cc"].into_iter().find_map(missing)
}

/// Why dnsperf cannot; `None`: it can.
pub fn no_load() -> Option<String> {
    missing("dnsperf")
}

fn missing(program: &str) -> Option<String> {
    let there = path_of(program).is_some();
    (!there).then(|| format!("{program} is not installed (cargo xtask setup brings it)"))
}

/// Where a program is: Debian keeps servers where no user's `PATH` leads.
fn path_of(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
