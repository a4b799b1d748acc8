//! The flags of `dns`.

use clap::Args;

use super::{Entries, SharedFlags};

#[derive(Args, Clone, Debug)]
pub(super) struct DnsFlags {
    /// Name that is asked for, or *.zone: it and all below it (repeatable; default: all names)
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Exception to --name (repeatable)
    #[arg(long, value_name = "NAME")]
    not_name: Vec<String>,
    /// Type that is asked for, such as A, AAAA or TYPE65 (repeatable; default: all types)
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// drop, nxdomain, servfail, refused, empty or addresses
    #[arg(
        long,
        help = "drop, nxdomain, servfail, refused, empty or A=192.0.2.1,AAAA=2001:db8::1,ttl=5s"
    )]
    answer: Option<String>,
    /// Share of the queries (default: 100%)
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    rate: Option<String>,
    /// Hold the answer, or without one the query, for this long, such as 2s (up to 10m)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    delay: Option<String>,
    /// What happens to DNS over TLS and QUIC, and over HTTPS to --resolver: drop or reset
    #[arg(long, value_name = "FATE")]
    encrypted: Option<String>,
    /// Address or CIDR of a resolver of DNS over HTTPS (repeatable)
    #[arg(long, value_name = "ADDRESS")]
    resolver: Vec<String>,
    #[command(flatten)]
    pub(super) shared: SharedFlags,
}

impl DnsFlags {
    pub(super) fn settings(&self) -> Entries {
        let mut map = Entries::words([
            ("answer", "--answer", &self.answer),
            ("rate", "--rate", &self.rate),
            ("delay", "--delay", &self.delay),
            ("encrypted", "--encrypted", &self.encrypted),
        ]);
        map.list("names", "--name", &self.name);
        map.list("not-names", "--not-name", &self.not_name);
        map.list("types", "--type", &self.types);
        map.list("resolvers", "--resolver", &self.resolver);
        map
    }
}
