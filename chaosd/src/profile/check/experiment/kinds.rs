//! What each kind of probe takes, and what could never hold.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::probe::ProbeFields;
use crate::profile::{
    Bound, Pattern, PressureOf, ProbeKind, SHELL,
    problem::{Found, Mistake, quote},
    tree::{Node, Value},
    units::DomainName,
};

/// Every kind.
pub(super) const PROBE_KINDS: &[&str] = &[
    "http",
    "prometheus",
    "command",
    "tcp",
    "dns",
    "psi",
    "log",
    "load-average",
];
/// And what it takes.
pub(super) const KIND_KEYS: &[(&str, &[&str])] = &[
    ("http", &["url", "status", "within", "body"]),
    ("prometheus", &["url", "query", "below", "above"]),
    ("command", &["run", "exit", "within"]),
    ("tcp", &["address", "within"]),
    ("dns", &["name", "server", "answer", "within"]),
    (
        "psi",
        &["cgroup", "resource", "some", "full", "below", "above"],
    ),
    ("log", &["file", "matches", "at-most"]),
    ("load-average", &["below", "above"]),
];

/// Status codes of HTTP (RFC 9110 §15).
const STATUSES: std::ops::RangeInclusive<u16> = 100..=599;

impl Found {
    pub(super) fn probe_kind(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        match fields.key.name.as_str() {
            "http" => self.http(fields),
            "prometheus" => self.prometheus(fields),
            "command" => self.command(fields),
            "tcp" => {
                let address = self.needed(fields, "address", "10.0.0.7:5432");
                let within = self.within(fields);
                let address = address.and_then(|node| self.address(node));
                Some(ProbeKind::Tcp {
                    address: address?,
                    within: within?,
                })
            }
            "dns" => self.dns_probe(fields),
            "psi" => self.psi(fields),
            "log" => self.log(fields),
            _ => {
                let bound = self.bound(fields, "20", 0.0);
                Some(ProbeKind::LoadAverage { bound: bound? })
            }
        }
    }

    /// The node of a key that a kind cannot do without, or the kind's only value.
    fn needed<'t>(&mut self, fields: &ProbeFields<'t>, name: &str, such: &str) -> Option<&'t Node> {
        if fields.lacks(name) {
            let what = format!("{} needs {name}, such as {such}", fields.key.name);
            self.say(&fields.key.at, what);
        }
        fields.only.or_else(|| fields.own(name))
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether all was well, as everywhere here"
    )]
    fn within(&mut self, fields: &ProbeFields<'_>) -> Option<Option<Duration>> {
        match fields.get("within") {
            Some(node) => self.some_time(node).map(Some),
            None => Some(None),
        }
    }

    fn http(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        let url = self.needed(fields, "url", "\"http://shop.local/health\"");
        let url = url.and_then(|node| self.url(node));
        let status = match fields.get("status") {
            Some(node) => self.list(node, status),
            None => Some(Vec::new()),
        };
        let body = match fields.get("body") {
            Some(node) => self.text(node).map(|text| Some(Pattern::new(text))),
            None => Some(None),
        };
        let within = self.within(fields);
        Some(ProbeKind::Http {
            url: url?,
            status: status?,
            within: within?,
            body: body?,
        })
    }

    fn prometheus(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        if let Some(node) = fields.only {
            let what = "prometheus takes url, query and below or above";
            self.say(&node.at, what);
            return None;
        }
        let url = self.needed(fields, "url", "\"http://localhost:9090\"");
        let url = url.and_then(|node| self.url(node));
        let query = self.needed(fields, "query", "'rate(errors[1m])'");
        let query = query.and_then(|node| self.text(node).map(str::to_owned));
        let bound = self.bound(fields, "0.01", f64::NEG_INFINITY);
        Some(ProbeKind::Prometheus {
            url: url?,
            query: query?,
            bound: bound?,
        })
    }

    fn command(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        let run = self.needed(fields, "run", "./check.sh");
        let run = run.and_then(|node| self.command_words(node));
        let exit = match fields.get("exit") {
            Some(node) => self.integer(node, "an exit code (0 to 255)", 0),
            None => Some(0),
        };
        let within = self.within(fields);
        Some(ProbeKind::Command {
            run: run?,
            exit: exit?,
            within: within?,
        })
    }

    /// The words of a command; of one text, a shell's.
    pub(super) fn command_words(&mut self, node: &Node) -> Option<Vec<String>> {
        if let Value::List(items) = &node.value {
            if items.is_empty() {
                self.say(&node.at, "a command without words");
                return None;
            }
            let words: Vec<_> = items
                .iter()
                .map(|item| match &item.value {
                    // An argument may well be empty.
                    Value::Text(text) => Some(text.clone()),
                    _ => self.text(item).map(str::to_owned),
                })
                .collect();
            return words.into_iter().collect();
        }
        let line = self.text(node)?.to_owned();
        Some(vec![SHELL.to_owned(), "-c".to_owned(), line])
    }

    fn dns_probe(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        let node = self.needed(fields, "name", "db.internal");
        let name = node.and_then(|node| {
            let name = self.parse::<DomainName>(node)?;
            if name.is_zone() {
                self.say(&node.at, "a zone has no address: name one name");
                return None;
            }
            Some(name)
        });
        let server = match fields.get("server") {
            Some(node) => self.server(node).map(Some),
            None => Some(None),
        };
        let answer = match fields.get("answer") {
            Some(node) => self.list(node, |word| {
                word.parse::<IpAddr>()
                    .map_err(|_| Mistake::new(format!("{} is not an address", quote(word))))
            }),
            None => Some(Vec::new()),
        };
        let within = self.within(fields);
        Some(ProbeKind::Dns {
            name: name?,
            server: server?,
            answer: answer?,
            within: within?,
        })
    }

    fn psi(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        if let Some(node) = fields.only {
            self.say(
                &node.at,
                "psi takes a map, such as {resource: memory, below: 10%}",
            );
            return None;
        }
        let resource = self.needed(fields, "resource", "memory").and_then(|node| {
            self.word(
                node,
                "a resource: cpu, memory or io",
                &[
                    ("cpu", PressureOf::Cpu),
                    ("memory", PressureOf::Memory),
                    ("io", PressureOf::Io),
                ],
            )
        });
        let cgroup = match fields.get("cgroup") {
            Some(node) => self.text(node).map(|text| Some(PathBuf::from(text.trim()))),
            None => Some(None),
        };
        let [some, full] = ["some", "full"].map(|name| match fields.get(name) {
            Some(node) => self.boolean(node).map(Some),
            None => Some(None),
        });
        let (some, full) = (some?, full?);
        if let (Some(true), Some(true), Some(node)) = (some, full, fields.get("full")) {
            self.say(&node.at, "full beside some: one of them is meant");
        }
        let bound = self.bound(fields, "10%", 0.0)?;
        if let (Some(node), Some(least)) = (fields.get("above"), bound.above)
            && least >= 100.0
        {
            self.say(
                &node.at,
                "above 100 % can never hold: no more time can be lost",
            );
        }
        Some(ProbeKind::Psi {
            cgroup: cgroup?,
            resource: resource?,
            full: full == Some(true) || some == Some(false),
            bound,
        })
    }

    fn log(&mut self, fields: &ProbeFields<'_>) -> Option<ProbeKind> {
        if let Some(node) = fields.only {
            self.say(
                &node.at,
                "log takes a map, such as {file: /var/log/shop.log, matches: ERROR}",
            );
            return None;
        }
        let file = self.needed(fields, "file", "/var/log/shop.log");
        let file = file.and_then(|node| self.absolute(node));
        let matches = self.needed(fields, "matches", "ERROR");
        let matches = matches.and_then(|node| self.text(node).map(Pattern::new));
        let at_most = match fields.get("at-most") {
            Some(node) => self.integer(node, "a number of lines, from 0", 0),
            None => Some(0),
        };
        Some(ProbeKind::Log {
            file: file?,
            matches: matches?,
            at_most: at_most?,
        })
    }

    /// `below`, `above`, or both. `least`: what the value is at least.
    fn bound(&mut self, fields: &ProbeFields<'_>, such: &str, least: f64) -> Option<Bound> {
        if let Some(node) = fields.only {
            let what = format!(
                "below or above? write {}: {{below: {such}}}",
                fields.key.name
            );
            self.say(&node.at, what);
            return None;
        }
        if fields.lacks("below") && fields.lacks("above") {
            let what = format!("{} needs below or above, such as {such}", fields.key.name);
            self.say(&fields.key.at, what);
            return None;
        }
        let [below, above] = ["below", "above"].map(|name| match fields.get(name) {
            Some(node) => self.share_or_number(node).map(Some),
            None => Some(None),
        });
        let bound = Bound {
            below: below?,
            above: above?,
        };
        if let (Some(most), Some(node)) = (bound.below, fields.get("below"))
            && most <= least
        {
            let what = format!(
                "below {most} can never hold: {} is never less than {least}",
                fields.key.name
            );
            self.say(&node.at, what);
            return None;
        }
        if let (Some(least), Some(most), Some(node)) =
            (bound.above, bound.below, fields.get("below"))
            && most <= least
        {
            let what = format!("above {least} and below {most} can never hold");
            self.say(&node.at, what);
            return None;
        }
        Some(bound)
    }

    fn share_or_number(&mut self, node: &Node) -> Option<f64> {
        let text = self.text(node)?.trim();
        let bare = text.strip_suffix('%').unwrap_or(text).trim_end();
        let number = bare.parse::<f64>().ok().filter(|n| n.is_finite());
        if number.is_none() {
            self.say(&node.at, format!("{} is not a number", quote(text)));
        }
        number
    }
}

fn status(word: &str) -> Result<u16, Mistake> {
    match word.parse::<u16>() {
        Ok(status) if STATUSES.contains(&status) => Ok(status),
        Ok(status) => Err(Mistake::new(format!(
            "no server answers with status {status}: they go from 100 to 599"
        ))),
        Err(_) => Err(Mistake::new(format!(
            "{} is not a status of HTTP, such as 200",
            quote(word)
        ))),
    }
}
