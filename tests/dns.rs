//! Each answer of a DNS fault as real clients see it: dig, glibc's and musl's getaddrinfo, over
//! both IPs.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::dns::{Edns, Libc, Resolver, Seen, message, zone};
use support::statistics::assert_rate;
use support::{Family, SEED};

use crate::dns_scene::{Names, assert_sound, needs_dns};
use crate::held::needs_fq;

const NAME: &str = "api.payments.example";
/// What resolvers wait for each answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// No answer of a program takes so long, on a machine that is busy with builds.
const QUICK: Duration = Duration::from_millis(500);

#[test]
fn without_a_fault_every_client_gets_the_servers_own_answers() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-plain")?;
    for name in zone::NAMES {
        names.assert_real(name)?;
    }
    for family in Family::BOTH {
        for libc in Libc::all() {
            let resolver = Resolver::new(libc, &[names.address(family)?])?;
            for resolved in resolver.ask(names.target(), None, NAME, None, 2)? {
                let mut found = resolved.addresses.clone();
                found.sort();
                ensure!(found == zone::addresses(NAME), "{libc:?}: {resolved:?}");
            }
        }
        let answer = names.dig(family)?.ask("no.such.example A")?.answer();
        ensure!(answer.status == "NXDOMAIN", "{answer:?}");
    }
    Ok(())
}

/// What dig's words put into a query besides its name and type. `+adflag` is dig's own wish.
const QUERIES: [&str; 11] = [
    "",
    "+noedns +nocookie",
    "+noedns +nocookie +norecurse +noadflag",
    "+dnssec",
    "+dnssec +cdflag +nocookie",
    "+bufsize=512",
    "+bufsize=4096 +cookie=0123456789abcdef",
    "+subnet=192.0.2.0/24 +nsid",
    "+padding=128",
    "+norecurse",
    "+cdflag +adflag",
];

/// Under an emulator, where each dig takes ten times as long, those that differ most.
fn queries() -> &'static [&'static str] {
    if support::is_emulated() {
        &QUERIES[..4]
    } else {
        &QUERIES
    }
}

/// An answer, its status, the data of A and AAAA, and their time to live.
type Expected = (&'static str, &'static str, [&'static str; 2], u32);

const ANSWERS: [Expected; 7] = [
    ("nxdomain", "NXDOMAIN", ["", ""], 0),
    ("servfail", "SERVFAIL", ["", ""], 0),
    ("refused", "REFUSED", ["", ""], 0),
    ("empty", "NOERROR", ["", ""], 0),
    (
        "{A: 192.0.2.1, AAAA: \"2001:db8::1\"}",
        "NOERROR",
        ["192.0.2.1", "2001:db8::1"],
        5,
    ),
    (
        "{A: 192.0.2.1, ttl: 1w}",
        "NOERROR",
        ["192.0.2.1", ""],
        604_800,
    ),
    (
        "{AAAA: \"2001:db8::1\", ttl: 0s}",
        "NOERROR",
        ["", "2001:db8::1"],
        0,
    ),
];

#[test]
fn dig_finds_each_answer_well_formed_and_fit_for_its_query() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-answers")?;
    for (answer, status, addresses, ttl) in ANSWERS {
        let run = names.arm(&format!("names: [{NAME}], answer: {answer}"))?;
        let mut asked = 0;
        for family in Family::BOTH {
            let dig = names.dig(family)?;
            for query in queries() {
                let edns = !query.contains("+noedns");
                for (kind, address) in ["A", "AAAA"].into_iter().zip(addresses) {
                    let words = format!("{NAME} {kind} {query}");
                    let what = format!("{answer}, {words}");
                    let seen = dig.ask(&words)?.answer();
                    asked += 1;
                    assert_sound(&seen)?;
                    ensure!(seen.status == status, "{what}: {seen:?}");
                    let data: Vec<&str> = [address].into_iter().filter(|a| !a.is_empty()).collect();
                    ensure!(seen.data(kind) == data, "{what}: {seen:?}");
                    ensure!(seen.records.len() == data.len(), "{what}: {seen:?}");
                    ensure!(
                        seen.records.iter().all(|record| record.ttl == ttl),
                        "{what}: {seen:?}"
                    );
                    ensure!(seen.question == format!("{NAME}."), "{what}: {seen:?}");
                    for (flag, set) in [
                        ("qr", true),
                        ("rd", !query.contains("+norecurse")),
                        ("ra", true),
                        ("cd", query.contains("+cdflag")),
                        ("aa", false),
                        ("tc", false),
                        ("ad", false),
                    ] {
                        ensure!(seen.has(flag) == set, "{what}: {flag}: {seen:?}");
                    }
                    let expected = edns.then_some(Edns {
                        version: 0,
                        dnssec: query.contains("+dnssec"),
                        udp: 1232,
                    });
                    ensure!(seen.edns == expected, "{what}: {seen:?}");
                    ensure!(seen.others == [0, u32::from(edns)], "{what}: {seen:?}");
                }
            }
        }
        let told = run.revert()?;
        ensure!(told.total(0).affected == asked, "{answer}: {told:?}");
        ensure!(
            names.server.asked(NAME) == 0,
            "{answer}: {}",
            names.server.log()
        );
    }
    names.assert_real(NAME)
}

/// What a C library says of an answer, and whether it takes it for one at once.
fn verdict(libc: Libc, answer: &str) -> (&'static str, bool) {
    match (libc, answer) {
        (_, "nxdomain") | (Libc::Musl, "empty") => ("EAI_NONAME", true),
        (Libc::Glibc, "servfail" | "refused") => ("EAI_AGAIN", true),
        (Libc::Glibc, "empty") => ("EAI_NODATA", true),
        // musl goes on waiting: another server may know.
        (Libc::Musl, "servfail" | "refused") | (_, "drop") => ("EAI_AGAIN", false),
        _ => ("OK", true),
    }
}

#[test]
fn programs_of_both_c_libraries_see_each_answer_as_what_it_is() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-libc")?;
    let addresses: [IpAddr; 2] = ["192.0.2.1".parse()?, "2001:db8::1".parse()?];
    for family in Family::BOTH {
        for libc in Libc::all() {
            let resolver = Resolver::new(libc, &[names.address(family)?])?;
            let resolve = |name, count| resolver.ask(names.target(), None, name, None, count);
            for (answer, ..) in ANSWERS
                .into_iter()
                .take(5)
                .chain([("drop", "", ["", ""], 0)])
            {
                let what = format!("{libc:?}, {family:?}, {answer}");
                let run = names.arm(&format!("names: [{NAME}], answer: {answer}"))?;
                let (result, at_once) = verdict(libc, answer);
                for seen in resolve(NAME, if at_once { 3 } else { 1 })? {
                    ensure!(seen.result == result, "{what}: {seen:?}");
                    if result == "OK" {
                        let mut found = seen.addresses.clone();
                        found.sort();
                        ensure!(found == addresses, "{what}: {seen:?}");
                    }
                    let in_time = if at_once {
                        seen.took < QUICK
                    } else {
                        (PATIENCE.mul_f64(0.9)..PATIENCE * 10).contains(&seen.took)
                    };
                    ensure!(in_time, "{what}: {seen:?}");
                }
                let other = resolve("other.example", 1)?;
                ensure!(other[0].result == "OK", "{what}: {other:?}");
                drop(run.revert()?);
                let after = resolve(NAME, 1)?;
                ensure!(after[0].result == "OK", "{what}: {after:?}");
            }
        }
    }
    ensure!(names.server.asked("other.example") > 0, "nobody asked");
    Ok(())
}

#[test]
fn a_dropped_query_reaches_no_server_and_gets_no_answer() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-drop")?;
    let run = names.arm(&format!("names: [{NAME}], answer: drop"))?;
    for family in Family::BOTH {
        let seen = names.dig(family)?.ask(&format!("{NAME} A"))?;
        ensure!(
            matches!(seen, Seen::Nothing),
            "{family:?}: {seen:?}, {:?}",
            run.report()
        );
    }
    names.assert_real("other.example")?;
    let told = run.revert()?;
    ensure!(told.total(0).affected == 2, "{told:?}");
    ensure!(names.server.asked(NAME) == 0, "{}", names.server.log());
    names.assert_real(NAME)
}

#[test]
fn a_rate_hits_that_part_of_the_queries_and_the_rest_get_real_answers() -> Result<()> {
    const QUERIES: u16 = 1000;
    needs_dns!();
    let names = Names::new("dns-rate")?;
    let run = names.arm(&format!("names: [{NAME}], answer: nxdomain, rate: 50%"))?;
    let server = std::net::SocketAddr::new(names.address(Family::V4)?, 53);
    let mut denied = 0;
    for id in 0..QUERIES {
        let query = message::query(id, NAME, message::A);
        let answer = message::ask(names.target(), server, &query, PATIENCE)?
            .with_context(|| format!("no answer to {id}"))?;
        ensure!(answer[..2] == query[..2], "another's answer: {answer:?}");
        match message::code(&answer) {
            Some(0) => {}
            Some(3) => denied += 1,
            _ => anyhow::bail!("{answer:?}"),
        }
    }
    let told = run.revert()?;
    ensure!(told.total(0).affected == denied, "{denied}: {told:?}");
    assert_rate(&format!("seed {SEED}"), QUERIES.into(), 0.5, denied);
    Ok(())
}

#[test]
fn a_delay_makes_real_answers_late_and_other_names_are_not() -> Result<()> {
    const LATE: Duration = Duration::from_millis(300);
    needs_dns!();
    needs_fq!();
    let names = Names::new("dns-slow")?;
    for (fields, status) in [
        ("delay: 300ms", "NOERROR"),
        ("delay: 300ms, answer: nxdomain", "NXDOMAIN"),
        ("delay: 300ms, answer: {A: 192.0.2.1}", "NOERROR"),
    ] {
        let run = names.arm(&format!("names: [{NAME}], {fields}"))?;
        for family in Family::BOTH {
            let dig = names.dig(family)?;
            let slow = dig.ask(&format!("{NAME} A"))?.answer();
            ensure!(
                slow.status == status && slow.took >= LATE,
                "{fields}: {slow:?}"
            );
            assert_sound(&slow)?;
            let other = dig.ask("other.example A")?.answer();
            ensure!(other.status == "NOERROR" && other.took < LATE, "{other:?}");
        }
        drop(run.revert()?);
        names.assert_real(NAME)?;
    }
    Ok(())
}

#[test]
fn the_report_counts_what_was_answered_and_tells_the_last_names() -> Result<()> {
    const KEPT: usize = 64;
    needs_dns!();
    let names = Names::new("dns-told")?;
    let run = names.arm("names: [\"*.payments.example\"], answer: refused")?;
    let server = std::net::SocketAddr::new(names.address(Family::V4)?, 53);
    let asked: Vec<String> = (0..100).map(|n| format!("Q{n}.Payments.example")).collect();
    for name in asked.iter().map(String::as_str).chain(["other.example"]) {
        let query = message::query(1, name, message::AAAA);
        let answer = message::ask(names.target(), server, &query, PATIENCE)?;
        ensure!(answer.is_some(), "no answer: {name}");
    }
    let seen = names.dig(Family::V6)?.ask(&format!("{NAME} TXT +tcp"))?;
    ensure!(matches!(seen, Seen::Reset), "{seen:?}");
    // Reading takes nothing away.
    for told in [run.report()?, run.revert()?] {
        let dns = &told.0["faults"][0]["dns"];
        ensure!(dns["answer"] == "refused", "{dns}");
        ensure!(dns["answered"] == 100 && dns["tcp"] == 1, "{dns}");
        let last = dns["last"].as_array().context("no names")?;
        let field = |one: &serde_json::Value, field: &str| {
            one[field].as_str().unwrap_or_default().to_owned()
        };
        let mut told: Vec<String> = last.iter().map(|one| field(one, "name")).collect();
        ensure!(told.len() <= KEPT && told.len() > 1, "{dns}");
        // The newest comes first.
        ensure!(
            told.remove(0) == NAME && field(&last[0], "type") == "TXT",
            "{dns}"
        );
        let newest = asked.iter().rev().take(told.len());
        ensure!(newest.eq(&told), "{dns}");
        ensure!(
            last[1..].iter().all(|one| field(one, "type") == "AAAA"),
            "{dns}"
        );
    }
    Ok(())
}
