//! Which queries a DNS fault hits: names, zones, types, cgroups and namespaces. All the others get
//! the server's own answers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::dns::{Dig, Libc, Resolver, Server, message, zone};
use support::{Cgroup, Family, Lab, Member, Run, skip};

use crate::dns_scene::{Names, assert_real, assert_sound, needs_dns};

const PATIENCE: Duration = Duration::from_secs(5);

/// Fails unless exactly these of the zone's names are denied.
fn assert_denied(names: &Names, fields: &str, denied: &[&str]) -> Result<()> {
    let run = names.arm(&format!("{fields}, answer: nxdomain"))?;
    for name in zone::NAMES {
        for family in Family::BOTH {
            let server = SocketAddr::new(names.address(family)?, 53);
            let query = message::query(3, name, message::AAAA);
            let answer = message::ask(names.target(), server, &query, PATIENCE)?;
            let code = answer.as_deref().and_then(message::code);
            let expected = if denied.contains(&name) { 3 } else { 0 };
            ensure!(code == Some(expected), "{fields}: {name}: {answer:x?}");
        }
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_zone_is_its_own_name_and_all_below_and_what_is_excepted_is_spared() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-zone")?;
    let zone = [
        "payments.example",
        "api.payments.example",
        "a.b.payments.example",
        "metrics.payments.example",
    ];
    for (fields, denied) in [
        ("names: [\"*.payments.example\"]", &zone[..]),
        ("names: [\"*.PAYMENTS.Example.\"]", &zone[..]),
        ("names: [payments.example]", &zone[..1]),
        ("names: [b.payments.example]", &[]),
        (
            "names: [Api.Payments.EXAMPLE., db.internal]",
            &["api.payments.example", "db.internal"],
        ),
        (
            "names: [\"*.payments.example\", \"*.internal\"], not-names: [metrics.payments.example]",
            &[
                "payments.example",
                "api.payments.example",
                "a.b.payments.example",
                "db.internal",
                "cache.internal",
            ],
        ),
        (
            "names: [\"*.payments.example\"], not-names: [\"*.b.payments.example\", payments.example]",
            &["api.payments.example", "metrics.payments.example"],
        ),
        (
            "not-names: [\"*.example\"]",
            &["db.internal", "cache.internal"],
        ),
    ] {
        assert_denied(&names, fields, denied)?;
    }
    assert_denied(&names, "types: [A, AAAA]", &zone::NAMES)
}

#[test]
fn the_case_of_a_query_is_matched_by_none_and_kept_in_the_answer() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-case")?;
    let run = names.arm("names: [\"*.payments.example\"], answer: {A: 192.0.2.1}")?;
    for family in Family::BOTH {
        for name in [
            "API.PAYMENTS.EXAMPLE.",
            "aPi.pAyMeNtS.eXaMpLe.",
            "x-0._Y.Payments.example.",
        ] {
            let seen = names.dig(family)?.ask(&format!("{name} A"))?.answer();
            assert_sound(&seen)?;
            ensure!(seen.question == name, "{name}: {seen:?}");
            ensure!(seen.data("A") == ["192.0.2.1"], "{name}: {seen:?}");
        }
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_fault_of_some_types_leaves_the_others_to_the_server() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-types")?;
    let name = zone::TYPES;
    let all = ["A", "AAAA", "TXT", "MX"];
    for (types, hit) in [
        ("[A]", &["A"][..]),
        ("[AAAA]", &["AAAA"]),
        ("[TXT, MX]", &["TXT", "MX"]),
        ("[TYPE15]", &["MX"]),
        ("[A, AAAA, TXT, MX, SRV, PTR, HTTPS, CNAME]", &all),
    ] {
        let run = names.arm(&format!(
            "names: [{name}], types: {types}, answer: servfail"
        ))?;
        for family in Family::BOTH {
            for kind in all {
                let seen = names.dig(family)?.ask(&format!("{name} {kind}"))?.answer();
                let status = if hit.contains(&kind) {
                    "SERVFAIL"
                } else {
                    "NOERROR"
                };
                ensure!(seen.status == status, "{types}: {kind}: {seen:?}");
                let records = usize::from(status == "NOERROR");
                ensure!(
                    seen.data(kind).len() == records,
                    "{types}: {kind}: {seen:?}"
                );
            }
        }
        drop(run.revert()?);
    }
    // Addresses answer the types that have them, and no others.
    let run = names.arm(&format!("names: [{name}], answer: {{A: 192.0.2.1}}"))?;
    for (kind, records) in [("A", 1), ("AAAA", 0), ("TXT", 0), ("MX", 0)] {
        let seen = names
            .dig(Family::V4)?
            .ask(&format!("{name} {kind}"))?
            .answer();
        ensure!(
            seen.status == "NOERROR" && seen.records.len() == records,
            "{kind}: {seen:?}"
        );
        assert_sound(&seen)?;
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn several_faults_each_answer_for_their_own_names() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-several")?;
    let server = names.address(Family::V4)?;
    let faults = format!(
        "  - dns: {{names: [api.payments.example], answer: nxdomain}}\n\
         \x20 - dns: {{names: [\"*.internal\"], answer: servfail}}\n\
         \x20 - dns: {{names: [other.example], answer: refused}}\n    match: {{peers: [{server}]}}\n\
         \x20 - dns: {{answer: empty, types: [TXT]}}\n"
    );
    let run = Run::faults(&names.daemon, names.target(), &faults)?;
    for family in Family::BOTH {
        for (query, status) in [
            ("api.payments.example A", "NXDOMAIN"),
            ("db.internal AAAA", "SERVFAIL"),
            ("no.such.internal A", "SERVFAIL"),
            (
                "other.example A",
                if family == Family::V4 {
                    "REFUSED"
                } else {
                    "NOERROR"
                },
            ),
            ("payments.example A", "NOERROR"),
        ] {
            let seen = names.dig(family)?.ask(query)?.answer();
            ensure!(seen.status == status, "{family:?} {query}: {seen:?}");
        }
        let seen = names
            .dig(family)?
            .ask("metrics.payments.example TXT")?
            .answer();
        ensure!(seen.status == "NOERROR" && seen.others[0] == 0, "{seen:?}");
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn ten_thousand_names_are_hit_and_their_neighbours_are_not() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-many")?;
    let mut list = String::new();
    // Every name but each tenth.
    for n in (0..zone::MANY).filter(|n| n % 10 != 0) {
        write!(list, "{}, ", zone::many(n))?;
    }
    // And as many that nobody asks for, so that there are ten thousand.
    for n in 0..zone::MANY / 10 {
        write!(list, "x{n}.more.example, ")?;
    }
    let run = names.arm(&format!("names: [{list}], answer: nxdomain"))?;
    let server = SocketAddr::new(names.address(Family::V6)?, 53);
    for n in (0..zone::MANY).step_by(37) {
        let query = message::query(n, &zone::many(n), message::AAAA);
        let answer = message::ask(names.target(), server, &query, PATIENCE)?;
        let code = answer.as_deref().and_then(message::code);
        ensure!(
            code == Some(if n % 10 == 0 { 0 } else { 3 }),
            "{n}: {answer:?}"
        );
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn another_namespace_gets_real_answers() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-netns")?;
    let beside = Lab::new("dns-beside")?;
    let _server = Server::start(beside.peer())?;
    let run = names.arm("answer: servfail")?;
    for family in Family::BOTH {
        let address = beside.peer().address_facing(beside.target(), family)?;
        assert_real(&Dig::new(beside.target(), address), "db.internal")?;
        let seen = names.dig(family)?.ask("db.internal A")?.answer();
        ensure!(seen.status == "SERVFAIL", "{seen:?}");
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_cgroups_queries_are_hit_and_those_of_its_sibling_are_not() -> Result<()> {
    needs_dns!();
    let Some(cgroup) = Cgroup::new()? else {
        skip!(Ok(()), "this machine has no unified cgroup tree");
    };
    let sibling = Cgroup::new()?.context("the tree has gone")?;
    let below = cgroup.below("child")?;
    let names = Names::new("dns-cgroup")?;
    // By whom chaosd finds the cgroup's namespace.
    let _member = Member::start(&cgroup, names.target())?;
    let text = format!(
        "version: 1\nfor: 5m\ntarget: {{cgroup: {}}}\nfaults:\n  - dns: {{names: [db.internal], answer: nxdomain}}\n",
        cgroup.path()
    );
    let file = names.daemon.file("cgroup.yaml", &text)?;
    let run = Run::start(&names.daemon, ["run", &file.display().to_string()])?;
    for family in Family::BOTH {
        let dig = names.dig(family)?;
        let resolver = Resolver::new(Libc::Glibc, &[dig.server])?;
        for (group, hit) in [(&cgroup, true), (&below, true), (&sibling, false)] {
            let dig = Dig {
                cgroup: Some(group),
                ..dig
            };
            let results = resolver.ask(dig.from, Some(group), "db.internal", None, 2)?;
            if hit {
                let seen = dig.ask("db.internal A")?.answer();
                ensure!(seen.status == "NXDOMAIN", "{}: {seen:?}", group.path());
                ensure!(
                    results.iter().all(|one| one.result == "EAI_NONAME"),
                    "{results:?}"
                );
            } else {
                assert_real(&dig, "db.internal")?;
                ensure!(results.iter().all(|one| one.result == "OK"), "{results:?}");
            }
            assert_real(&dig, "other.example")?;
        }
    }
    drop(run.revert()?);
    Ok(())
}
