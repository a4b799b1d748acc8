//! dig, which says what it thinks of an answer.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cgroup::Cgroup;
use crate::node::Node;

/// A client in a node's namespace, and in a cgroup if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Dig<'a> {
    /// Where it runs.
    pub from: &'a Node,
    /// As whose process.
    pub cgroup: Option<&'a Cgroup>,
    /// Whom it asks.
    pub server: IpAddr,
}

/// What became of a query.
#[derive(Clone, Debug)]
pub enum Seen {
    /// An answer.
    Answer(Answer),
    /// None in time.
    Nothing,
    /// The connection was reset.
    Reset,
}

/// An answer, as dig reads it.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// `NOERROR`, `NXDOMAIN`, ...
    pub status: String,
    /// `qr`, `rd`, ...
    pub flags: Vec<String>,
    /// Its OPT record.
    pub edns: Option<Edns>,
    /// Its question's name, its last dot included, in the case that came back.
    pub question: String,
    /// Its answer section.
    pub records: Vec<Record>,
    /// How many records stand in the authority and in the additional section.
    pub others: [u32; 2],
    /// What dig finds wrong.
    pub warnings: Vec<String>,
    /// From query to answer.
    pub took: Duration,
}

/// An OPT record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edns {
    /// Its version.
    pub version: u32,
    /// Whether DO is set.
    pub dnssec: bool,
    /// The largest datagram.
    pub udp: u32,
}

/// A record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: String,
    /// In seconds.
    pub ttl: u32,
    /// `A`, ...
    pub kind: String,
    /// The rest.
    pub data: String,
}

impl Seen {
    /// The answer.
    ///
    /// # Panics
    /// When there was none.
    #[track_caller]
    pub fn answer(self) -> Answer {
        match self {
            Self::Answer(answer) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }
}

impl Answer {
    /// The data of its records of a type.
    pub fn data(&self, kind: &str) -> Vec<&str> {
        let of_kind = |record: &&Record| record.kind == kind;
        self.records
            .iter()
            .filter(of_kind)
            .map(|record| record.data.as_str())
            .collect()
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }
}

impl<'a> Dig<'a> {
    /// One that belongs to no cgroup of the test's.
    pub fn new(from: &'a Node, server: IpAddr) -> Self {
        Self {
            from,
            cgroup: None,
            server,
        }
    }

    /// Asks once, as dig's words say (`api.payments.example AAAA +tcp`), and waits for a second.
    pub fn ask(&self, words: &str) -> Result<Seen> {
        let mut command = match self.cgroup {
            Some(cgroup) => cgroup.command("dig"),
            None => Command::new("dig"),
        };
        command
            // Reads nobody's .digrc; counts in microseconds.
            .args(["-r", "-u", &format!("@{}", self.server)])
            .args(["+tries=1", "+time=1"])
            .args(words.split_whitespace())
            .env("LC_ALL", "C");
        let output = self
            .from
            .enter(|| command.output())?
            .context("failed to start dig")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("->>HEADER<<-") {
            return parse(&text)
                .map(Seen::Answer)
                .with_context(|| format!("dig says: {text}"));
        }
        let all = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
        if all.contains("connection reset") {
            Ok(Seen::Reset)
        } else if all.contains("timed out") {
            Ok(Seen::Nothing)
        } else {
            bail!("dig {words}: {}: {all}", output.status)
        }
    }
}

fn parse(text: &str) -> Result<Answer> {
    let mut answer = Answer::default();
    let mut section = "";
    for line in text.lines() {
        let lower = line.to_ascii_lowercase();
        if ["warning", "malformed", "mismatch", "unexpected", "got bad"]
            .iter()
            .any(|word| lower.contains(word))
        {
            answer.warnings.push(line.to_owned());
        } else if let Some(header) = line.strip_prefix(";; ->>HEADER<<- ") {
            between(header, "status: ", ",")?.clone_into(&mut answer.status);
        } else if let Some(flags) = line.strip_prefix(";; flags: ") {
            let set = flags.split(';').next().unwrap_or_default();
            answer.flags = set.split_whitespace().map(str::to_owned).collect();
            answer.others = [
                between(flags, "AUTHORITY: ", ",")?.parse()?,
                flags
                    .rsplit("ADDITIONAL: ")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .parse()?,
            ];
        } else if let Some(edns) = line.strip_prefix("; EDNS: ") {
            answer.edns = Some(Edns {
                version: between(edns, "version: ", ",")?.parse()?,
                dnssec: between(edns, "flags:", ";")?.contains("do"),
                udp: edns
                    .rsplit("udp: ")
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .parse()?,
            });
        } else if let Some(time) = line.strip_prefix(";; Query time: ") {
            let number = time.split(' ').next().unwrap_or_default();
            answer.took = Duration::from_micros(number.parse()?);
        } else if line.ends_with("SECTION:") {
            section = line;
        } else if line.starts_with(";; ") {
            section = "";
        } else if section.contains("QUESTION") && line.starts_with(';') {
            let words = line.trim_start_matches(';').split_whitespace();
            words
                .take(1)
                .for_each(|name| name.clone_into(&mut answer.question));
        } else if section.contains("ANSWER") && !line.starts_with(';') && !line.is_empty() {
            answer.records.push(record(line)?);
        }
    }
    Ok(answer)
}

/// `api.payments.example. 60 IN A 192.0.2.1`
fn record(line: &str) -> Result<Record> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [name, ttl, _class, kind, data @ ..] = &words[..] else {
        bail!("no record: {line}");
    };
    Ok(Record {
        name: (*name).to_owned(),
        ttl: ttl.parse()?,
        kind: (*kind).to_owned(),
        data: data.join(" "),
    })
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Result<&'t str> {
    text.split_once(before)
        .and_then(|(_, rest)| rest.split_once(after))
        .map(|(found, _)| found.trim())
        .with_context(|| format!("no {before:?} in {text:?}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use super::{Edns, parse};

    #[test]
    fn an_answer_is_read_as_dig_prints_it() {
        let text = ";; Warning: query response not set\n\
            ;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 13\n\
            ;; flags: qr rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1\n\n\
            ;; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags: do; udp: 1232\n\
            ;; QUESTION SECTION:\n;Db.Internal.\t\t\tIN\tA\n\n\
            ;; ANSWER SECTION:\ndb.internal.\t60\tIN\tA\t198.51.100.1\n\n\
            ;; Query time: 120 usec\n;; MSG SIZE  rcvd: 56\n";
        let answer = parse(text).unwrap();
        assert_eq!(answer.status, "NOERROR");
        assert!(answer.has("rd") && !answer.has("aa"));
        let edns = Edns {
            version: 0,
            dnssec: true,
            udp: 1232,
        };
        assert_eq!(answer.edns, Some(edns));
        assert_eq!(answer.question, "Db.Internal.");
        assert_eq!(answer.data("A"), ["198.51.100.1"]);
        assert_eq!(answer.records[0].ttl, 60);
        assert_eq!(answer.others, [0, 1]);
        assert_eq!(answer.warnings.len(), 1);
        assert_eq!(answer.took.as_micros(), 120);
    }
}
