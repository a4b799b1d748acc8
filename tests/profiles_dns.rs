//! The profiles of DNS faults that ship: a client is answered as each says, and by nobody afterwards.
//! The server of these tests sends each query back as it is: every answer is the fault's.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use support::dns::message::{self, A, AAAA};
use support::{Daemon, Family, Lab, Options, Run, SEED, Snapshot, record_skip};

use crate::profiles::words;

/// The profiles, and what they cannot do without.
pub const DNS: [(&str, &[&str]); 5] = [
    ("dns-blackhole", &[]),
    ("dns-hijack", &["names=*.shop.example,db"]),
    ("dns-nxdomain", &[]),
    ("dns-servfail", &[]),
    ("slow-dns", &[]),
];

/// Longer than an answer takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(2);
const MX: u16 = 15;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Came {
    /// The code of an answer, and the data of its last record.
    Answer(u8, Vec<u8>),
    /// The query itself, from the server that it had reached.
    Query,
    /// Nothing, in time.
    Nothing,
}

/// Sends back what it gets, over both families.
struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    fn start(lab: &Lab) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for family in [Family::V4, Family::V6] {
            let address = lab.peer().address_facing(lab.target(), family)?;
            let address = SocketAddr::new(address, 53);
            let socket = lab.peer().enter(|| UdpSocket::bind(address))??;
            socket.set_read_timeout(Some(Duration::from_millis(50)))?;
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || {
                let mut query = [0; 512];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut query) {
                        socket.send_to(&query[..length], from).ok();
                    }
                }
            }));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

struct Bench {
    _server: Server,
    lab: Lab,
    daemon: Daemon,
}

impl Bench {
    fn new(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        Ok(Self {
            _server: Server::start(&lab)?,
            lab,
            daemon: Daemon::start(&Options::default())?,
        })
    }

    fn run(&self, name: &str, sets: &[&str]) -> Result<Run<'_>> {
        let needed = DNS.iter().find(|(shipped, _)| *shipped == name);
        let sets = [needed.map_or(&[][..], |(_, needed)| needed), sets].concat();
        let (target, seed) = (self.lab.target(), SEED.to_string());
        Run::start(&self.daemon, words("run", name, &sets, target, &seed))
    }

    /// Asks the peer for a name.
    fn ask(&self, family: Family, name: &str, kind: u16) -> Result<Came> {
        let (target, peer) = (self.lab.target(), self.lab.peer());
        let server = SocketAddr::new(peer.address_facing(target, family)?, 53);
        let query = message::query(0x1234, name, kind);
        let mut answer = [0; 512];
        let socket = message::socket(target, server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(&query)?;
        let length = loop {
            match socket.recv(&mut answer) {
                // A wait with an end is not taken up again after a signal (signal(7)).
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break 0,
                // Somebody listens all the while: a refusal is none of what may come back.
                received => break received?,
            }
        };
        let answer = &answer[..length];
        if answer.is_empty() {
            return Ok(Came::Nothing);
        }
        if answer == query {
            return Ok(Came::Query);
        }
        assert_eq!(answer[..2], query[..2], "{answer:?}");
        assert_eq!(answer[2] & 0x80, 0x80, "{answer:?}");
        let question = 12..query.len();
        assert_eq!(answer[question.clone()], query[question.clone()]);
        let records = answer.get(question.end + 12..).unwrap_or_default();
        Ok(Came::Answer(answer[3] & 15, records.to_vec()))
    }

    /// Ends the run, which must have acted, and then queries reach the peer.
    fn end(&self, run: Run<'_>) -> Result<()> {
        let told = run.revert()?;
        assert_eq!(told.word("/phase"), "reverted", "{told:?}");
        assert_eq!(told.word("/faults/0/verdict"), "effective", "{told:?}");
        for family in [Family::V4, Family::V6] {
            assert_eq!(self.ask(family, "db", A)?, Came::Query);
        }
        Ok(())
    }
}

fn code(code: u8) -> Came {
    Came::Answer(code, Vec::new())
}

#[test]
fn a_plan_of_each_dns_profile_tells_whom_the_target_asks_and_changes_nothing() -> Result<()> {
    let bench = Bench::new("dns-plans")?;
    let target = bench.lab.target();
    let before = Snapshot::take(target)?;
    for (name, sets) in DNS {
        let seed = SEED.to_string();
        let plan = bench.daemon.cli(words("plan", name, sets, target, &seed))?;
        if plan.status == Some(3) && plan.stderr.contains("CONFIG_NET_SCH_FQ") {
            assert_eq!(name, "slow-dns");
            continue;
        }
        assert_eq!(plan.status, Some(0), "{name}: {plan:?}");
        for word in ["asked of", "resolv.conf", "DNS queries", "remote port 53"] {
            assert!(plan.stdout.contains(word), "{name}: no {word} in {plan:?}");
        }
        Snapshot::take(target)?.assert_same(&before);
    }
    Ok(())
}

#[test]
fn nxdomain_and_servfail_answer_in_the_place_of_a_server() -> Result<()> {
    let bench = Bench::new("dns-codes")?;
    for (name, rcode) in [("dns-nxdomain", 3), ("dns-servfail", 2)] {
        let run = bench.run(name, &["names=*.shop.example,db"])?;
        for family in [Family::V4, Family::V6] {
            for hit in ["db", "shop.example", "a.b.SHOP.example"] {
                assert_eq!(bench.ask(family, hit, A)?, code(rcode), "{name} {hit}");
            }
            for passes in ["x.db", "example", "workshop.example"] {
                let came = bench.ask(family, passes, A)?;
                assert_eq!(came, Came::Query, "{name} {passes}");
            }
        }
        bench.end(run)?;
    }
    Ok(())
}

#[test]
fn a_blackhole_swallows_queries_to_the_servers_it_names() -> Result<()> {
    let bench = Bench::new("dns-hole")?;
    let run = bench.run("dns-blackhole", &[])?;
    for family in [Family::V4, Family::V6] {
        assert_eq!(bench.ask(family, "any.name", MX)?, Came::Nothing);
    }
    bench.end(run)?;
    let peer = bench
        .lab
        .peer()
        .address_facing(bench.lab.target(), Family::V4)?;
    let run = bench.run("dns-blackhole", &[&format!("servers={peer}")])?;
    assert_eq!(bench.ask(Family::V4, "any.name", A)?, Came::Nothing);
    assert_eq!(bench.ask(Family::V6, "any.name", A)?, Came::Query);
    bench.end(run)
}

#[test]
fn a_hijack_leads_names_to_its_addresses_and_says_nothing_of_other_types() -> Result<()> {
    let bench = Bench::new("dns-hijack")?;
    let run = bench.run("dns-hijack", &["a=198.51.100.7", "ttl=1h"])?;
    for family in [Family::V4, Family::V6] {
        let Came::Answer(0, record) = bench.ask(family, "www.shop.example", A)? else {
            panic!("no answer over {family:?}");
        };
        assert_eq!(record, [198, 51, 100, 7]);
        let Came::Answer(0, record) = bench.ask(family, "db", AAAA)? else {
            panic!("no answer over {family:?}");
        };
        let default: std::net::Ipv6Addr = "2001:db8::1".parse()?;
        assert_eq!(record, default.octets());
        assert_eq!(bench.ask(family, "db", MX)?, code(0));
        assert_eq!(bench.ask(family, "other.example", A)?, Came::Query);
    }
    bench.end(run)
}

#[test]
fn slow_dns_holds_each_query_and_lets_it_go() -> Result<()> {
    let bench = Bench::new("dns-slow")?;
    let target = bench.lab.target();
    let seed = SEED.to_string();
    let plan = bench
        .daemon
        .cli(words("plan", "slow-dns", &[], target, &seed))?;
    if plan.status == Some(3) && plan.stderr.contains("CONFIG_NET_SCH_FQ") {
        record_skip(plan.stderr.trim());
        return Ok(());
    }
    let delay = Duration::from_millis(200);
    let run = bench.run("slow-dns", &["names=db", "delay=200ms"])?;
    for family in [Family::V4, Family::V6] {
        let (asked, came) = (Instant::now(), bench.ask(family, "db", A)?);
        assert_eq!(came, Came::Query);
        assert!(asked.elapsed() >= delay, "{:?}", asked.elapsed());
        let (asked, came) = (Instant::now(), bench.ask(family, "x.db", A)?);
        assert_eq!(came, Came::Query);
        assert!(asked.elapsed() < delay, "{:?}", asked.elapsed());
    }
    bench.end(run)
}

#[test]
fn status_and_metrics_tell_the_last_names_and_how_they_were_answered() -> Result<()> {
    let bench = Bench::new("dns-told")?;
    let run = bench.run("dns-nxdomain", &["names=*.shop.example"])?;
    for (name, kind) in [("a.shop.example", A), ("B.shop.example", AAAA), ("db", A)] {
        bench.ask(Family::V4, name, kind)?;
    }
    let status = bench.daemon.cli(["status", "-o", "json"])?.json()?;
    let dns = status
        .pointer("/runs/0/faults/0/dns")
        .context("no word of DNS")?;
    assert_eq!(
        (dns["answer"].as_str(), dns["answered"].as_u64()),
        (Some("nxdomain"), Some(2))
    );
    let last: Vec<(&str, &str)> = dns["last"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|query| Some((query["name"].as_str()?, query["type"].as_str()?)))
        .collect();
    // As they were asked for, the newest first; what is not hit is nobody's business.
    assert_eq!(last, [("B.shop.example", "AAAA"), ("a.shop.example", "A")]);
    let told = bench.daemon.cli(["status"])?.stdout;
    assert!(
        told.contains(
            "answered 2 queries with nxdomain; last B.shop.example AAAA, a.shop.example A"
        ),
        "{told}"
    );
    bench.end(run)
}
