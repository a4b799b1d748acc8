//! Remote addresses: one, a CIDR, or a host name.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::{IpNet, Ipv4Net};

use crate::profile::{
    Peer,
    problem::{Mistake, quote},
};

impl FromStr for Peer {
    type Err = Mistake;

    /// An address, a CIDR (its host bits are cleared; IPv4-mapped IPv6 becomes IPv4) or a host name.
    fn from_str(text: &str) -> Result<Self, Mistake> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Net(IpNet::from(address.to_canonical())));
        }
        if let Ok(net) = text.parse::<IpNet>() {
            return Ok(Self::Net(canonical(net)));
        }
        if let Some(mistake) = almost_an_address(text) {
            return Err(mistake);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if is_host_name(&name) {
            return Ok(Self::Name(name));
        }
        Err(Mistake::new(format!(
            "{} is not an address, a CIDR or a host name",
            quote(text)
        )))
    }
}

impl fmt::Display for Peer {
    /// As profiles write it: a single address without its prefix length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// IPv4-mapped networks (`::ffff:0:0/96` and within, RFC 4291 §2.5.5.2) appear as IPv4 on the wire.
fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(prefix) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(v4.trunc());
    }
    net.trunc()
}

fn almost_an_address(text: &str) -> Option<Mistake> {
    let mistake = |why: &str| Mistake::new(format!("{} {why}", quote(text)));
    let address = |text: &str| text.parse::<IpAddr>().is_ok();
    if text == "*" || text == "any" || text == "all" {
        return Some(mistake(
            "is not a peer: leave peers out to mean all of them",
        ));
    }
    if let Some(bare) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'))
        && address(bare)
    {
        return Some(mistake("has brackets").instead(bare));
    }
    if let Some((bare, _)) = text.split_once('%')
        && address(bare)
    {
        return Some(mistake("has a zone: name the interface in interfaces").instead(bare));
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(mistake("has a port: name it in ports").instead(socket.ip().to_string()));
    }
    if let Some((bare, prefix)) = text.split_once('/') {
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let most = if ip.is_ipv4() { 32 } else { 128 };
            return Some(mistake(&format!(
                "has the prefix length {}, which is not 0 to {most}",
                quote(prefix)
            )));
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', ':', '?']).next().unwrap_or(rest);
            let mistake = mistake("is a URL");
            return Some(if is_host_name(host) || address(host) {
                mistake.instead(host)
            } else {
                mistake
            });
        }
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && is_host_name(host)
        && port.parse::<u16>().is_ok()
    {
        return Some(mistake("has a port: name it in ports").instead(host));
    }
    None
}

/// RFC 1123 §2.1: labels of letters, digits and inner hyphens, 253 characters in all; the last
/// label is not a number, or it would be a mistyped address.
fn is_host_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    name.len() <= 253
        && name.split('.').all(label)
        && name
            .rsplit('.')
            .next()
            .is_some_and(|l| !l.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn peers_are_normalised() {
        for (text, canonical) in [
            ("10.0.0.7", "10.0.0.7"),
            ("10.2.3.4/16", "10.2.0.0/16"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("::ffff:10.1.2.3/112", "10.1.0.0/16"),
            ("::/0", "::/0"),
            ("2001:DB8::1", "2001:db8::1"),
            ("Shop.Local.", "shop.local"),
            ("db-1", "db-1"),
            ("3com.example", "3com.example"),
        ] {
            let peer: Peer = text.parse().unwrap();
            assert_eq!(peer.to_string(), canonical);
            assert_eq!(canonical.parse::<Peer>().unwrap(), peer);
        }
    }

    #[test]
    fn a_bad_peer_says_what_to_type() {
        for (text, said) in [
            (
                "10.0.0.1:5432",
                "`10.0.0.1:5432` has a port: name it in ports; did you mean `10.0.0.1`?",
            ),
            (
                "db.local:5432",
                "`db.local:5432` has a port: name it in ports; did you mean `db.local`?",
            ),
            ("[::1]", "`[::1]` has brackets; did you mean `::1`?"),
            (
                "fe80::1%eth0",
                "`fe80::1%eth0` has a zone: name the interface in interfaces; did you mean `fe80::1`?",
            ),
            (
                "10.0.0.0/33",
                "`10.0.0.0/33` has the prefix length `33`, which is not 0 to 32",
            ),
            (
                "http://shop.local/x",
                "`http://shop.local/x` is a URL; did you mean `shop.local`?",
            ),
            (
                "*",
                "`*` is not a peer: leave peers out to mean all of them",
            ),
            (
                "10.0.0.256",
                "`10.0.0.256` is not an address, a CIDR or a host name",
            ),
            ("a..b", "`a..b` is not an address, a CIDR or a host name"),
            (
                "under_score",
                "`under_score` is not an address, a CIDR or a host name",
            ),
            ("-a", "`-a` is not an address, a CIDR or a host name"),
            ("", "`` is not an address, a CIDR or a host name"),
        ] {
            assert_eq!(text.parse::<Peer>().unwrap_err().to_string(), said);
        }
    }
}
