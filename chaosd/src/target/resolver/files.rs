//! What the files of a resolver say: resolv.conf(5), nsswitch.conf(5), hosts(5). They belong to the
//! target, so anything may stand in them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

/// Name servers that glibc uses (`MAXNS` of <resolv.h>).
const MOST_SERVERS: usize = 3;
/// `ndots` that glibc uses at most (`RES_MAXNDOTS`).
const MOST_NDOTS: usize = 15;

/// Names of a hosts file, in lower case.
pub type Hosts = BTreeSet<String>;

/// What resolv.conf says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conf {
    pub servers: Vec<IpAddr>,
    pub search: Vec<String>,
    pub ndots: usize,
    pub tcp: bool,
}

/// Which services nsswitch.conf lists for host names, before `dns`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Switch {
    pub files: bool,
    pub resolve: bool,
}

pub(super) fn resolv_conf(text: &str) -> Conf {
    let mut conf = Conf {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
        tcp: false,
    };
    for line in text.lines() {
        // A comment begins in the first column only, and a keyword too.
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") if conf.servers.len() < MOST_SERVERS => {
                conf.servers.extend(words.next().and_then(server));
            }
            // The last of both wins.
            Some("domain" | "search") => {
                conf.search = words
                    .map(|word| word.trim_end_matches('.').to_ascii_lowercase())
                    .filter(|word| !word.is_empty())
                    .collect();
            }
            Some("options") => {
                for option in words {
                    if let Some(ndots) = option.strip_prefix("ndots:") {
                        conf.ndots = ndots
                            .parse()
                            .map_or(conf.ndots, |n: usize| n.min(MOST_NDOTS));
                    }
                    conf.tcp |= matches!(option, "use-vc" | "usevc" | "tcp");
                }
            }
            _ => {}
        }
    }
    if conf.servers.is_empty() {
        conf.servers.push(Ipv4Addr::LOCALHOST.into());
    }
    conf
}

/// An address, perhaps with the zone of a link-local one.
fn server(word: &str) -> Option<IpAddr> {
    let address = word.split_once('%').map_or(word, |(address, _)| address);
    address.parse().ok().map(|a: IpAddr| a.to_canonical())
}

pub(super) fn nsswitch(text: &str) -> Switch {
    let hosts = text.lines().find_map(|line| {
        let line = line.split_once('#').map_or(line, |(before, _)| before);
        line.trim_start().strip_prefix("hosts:")
    });
    // glibc's default since 2.32: `files dns`.
    let mut switch = Switch {
        files: hosts.is_none(),
        resolve: false,
    };
    for service in hosts.unwrap_or_default().split_ascii_whitespace() {
        match service {
            "files" => switch.files = true,
            "resolve" => switch.resolve = true,
            "dns" => break,
            _ => {}
        }
    }
    switch
}

pub(super) fn hosts(text: &str) -> Hosts {
    text.lines()
        .flat_map(|line| {
            let line = line.split_once('#').map_or(line, |(before, _)| before);
            line.split_ascii_whitespace().skip(1)
        })
        .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
        .collect()
}
