//! `dns`: queries for one name are answered by no server, and those for others by theirs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::dns::{Server, lacking, message};
use support::{Family, Node, statistics};

use crate::loss::NEAR;
use crate::row::{Group, Row, Seen, name};
use crate::scene::Scene;
use crate::words;

const NAME: &str = "api.payments.example";
const OTHER: &str = "other.example";
const QUERIES: u16 = 100;
const RATED: u16 = 2000;
const PATIENCE: Duration = Duration::from_secs(2);
/// A lost query is waited for in vain.
const QUIET: Duration = Duration::from_millis(20);

/// What is asked, as flags and as the table says it, and how its answers are told from the others.
struct Case {
    fault: &'static str,
    answer: &'static str,
    told: &'static str,
    is: fn(Option<&[u8]>) -> bool,
}

const CASES: [Case; 4] = [
    Case {
        fault: "dns nxdomain",
        answer: "nxdomain",
        told: "NXDOMAIN",
        is: |answer| answer.and_then(message::code) == Some(3),
    },
    Case {
        fault: "dns servfail",
        answer: "servfail",
        told: "SERVFAIL",
        is: |answer| answer.and_then(message::code) == Some(2),
    },
    Case {
        fault: "dns address",
        answer: "A=192.0.2.1",
        told: "192.0.2.1",
        is: |answer| answer.is_some_and(|bytes| bytes.ends_with(&[192, 0, 2, 1])),
    },
    Case {
        fault: "dns drop",
        answer: "drop",
        told: "unanswered",
        is: |answer| answer.is_none(),
    },
];

pub fn queries() -> Group {
    let needs = lacking().map(|_| "dnsmasq and dig (cargo xtask setup)");
    let mut rows = Vec::new();
    for case in CASES {
        for family in Family::BOTH {
            let Case {
                fault,
                answer,
                told,
                is,
            } = case;
            let row = Row::new(fault, name(family), "out", "all", move |scene| {
                let fault = format!("dns --name {NAME} --answer {answer}");
                let (hit, others, beside) = asked(scene, family, &fault, QUERIES, is)?;
                Ok(Seen {
                    measured: format!("{hit} of {QUERIES} {told}"),
                    off: "exact".to_owned(),
                    holds: hit == u64::from(QUERIES) && others,
                    beside,
                })
            });
            rows.push(row.needing(needs));
        }
    }
    for family in Family::BOTH {
        let row = Row::new("dns nxdomain", name(family), "out", "50 %", move |scene| {
            let fault = format!("dns --name {NAME} --answer nxdomain --rate 50%");
            let is = |answer: Option<&[u8]>| answer.and_then(message::code) == Some(3);
            let (hit, others, beside) = asked(scene, family, &fault, RATED, is)?;
            let off = statistics::sigmas(RATED.into(), 0.5, hit);
            Ok(Seen {
                measured: words::share(hit, RATED.into()),
                off: words::sigmas(off),
                holds: off <= NEAR && others,
                beside,
            })
        });
        rows.push(row.needing(needs));
    }
    for family in Family::BOTH {
        let row = Row::new("dns over tcp", name(family), "out", "all", move |scene| {
            let server = Server::silent(scene.peer())?;
            let to = Server::address(scene.peer(), scene.target(), family)?;
            let fault = format!("dns --name {NAME} --answer nxdomain");
            let ((reset, others), beside) = scene.under(&fault, || {
                let mut reset = 0;
                for _ in 0..QUERIES {
                    reset += u64::from(by_tcp(scene.target(), to, NAME)?.is_none());
                }
                let other = by_tcp(scene.target(), to, OTHER)?;
                Ok((reset, other.as_deref().and_then(message::code) == Some(0)))
            })?;
            drop(server);
            Ok(Seen {
                measured: format!("{reset} of {QUERIES} reset"),
                off: "exact".to_owned(),
                holds: reset == u64::from(QUERIES) && others,
                beside,
            })
        });
        rows.push(row.needing(needs));
    }
    Group {
        title: "DNS: queries for a name, beside those for another that its server answers",
        rows,
    }
}

/// How many queries for the name came out as asked, and whether all for the other name got the
/// server's own answer.
fn asked(
    scene: &Scene,
    family: Family,
    fault: &str,
    queries: u16,
    is: impl Fn(Option<&[u8]>) -> bool,
) -> Result<(u64, bool, crate::scene::Beside)> {
    let server = Server::silent(scene.peer())?;
    let to = Server::address(scene.peer(), scene.target(), family)?;
    let patience = if is(None) { QUIET } else { PATIENCE };
    let ((hit, others), beside) = scene.under(fault, || {
        let (mut hit, mut others) = (0, true);
        for id in 0..queries {
            let query = message::query(id, NAME, message::A);
            let answer = message::ask(scene.target(), to, &query, patience)?;
            hit += u64::from(is(answer.as_deref()));
            let query = message::query(id, OTHER, message::A);
            let answer = message::ask(scene.target(), to, &query, PATIENCE)?;
            others &= answer.as_deref().and_then(message::code) == Some(0);
        }
        Ok((hit, others))
    })?;
    drop(server);
    Ok((hit, others, beside))
}

/// The answer to a query over TCP (RFC 1035, 4.2.2); none: the connection was reset.
fn by_tcp(from: &Node, to: SocketAddr, name: &str) -> Result<Option<Vec<u8>>> {
    let mut stream = from
        .enter(|| TcpStream::connect_timeout(&to, PATIENCE))?
        .context("failed to connect")?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("failed to set a timeout")?;
    let query = message::query(1, name, message::A);
    let length = u16::try_from(query.len()).context("too long")?;
    stream
        .write_all(&[&length.to_be_bytes()[..], &query].concat())
        .context("failed to ask")?;
    let mut answer = [0; 512];
    match stream.read(&mut answer) {
        Ok(read) => {
            ensure!(read > 2, "the connection was closed");
            Ok(Some(answer[2..read].to_vec()))
        }
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
        Err(error) => Err(error).context("failed to read the answer"),
    }
}
