//! Which names a fault hits, and which of them it remembers.

use std::time::{Duration, Instant};

use chaosd_ebpf::dns::MAX_NAMES;

use super::*;

/// A rule for names: to be lost.
fn lost(names: &[&str], not_names: &[&str]) -> DnsRule {
    rule(ANSWER_DROP, names, not_names)
}

/// Asserts which of two lists of names are hit.
#[track_caller]
fn check(wire: &mut Wire<'_>, rule: &DnsRule, hit: &[&str], spared: &[&str]) {
    let n = wire.install(rule);
    for name in hit {
        assert_eq!(wire.ask(name), Lost, "{name} by {rule:?}");
    }
    for name in spared {
        assert_eq!(wire.ask(name), Passed, "{name} by {rule:?}");
    }
    let hits = u64::try_from(hit.len()).unwrap();
    assert_eq!(wire.affected(n), (hits, hits));
    wire.uninstall(n);
}

#[test]
fn a_name_is_itself_alone_and_a_zone_is_all_of_it() {
    on_a_wire(|wire| {
        let under = ["a.payments.example", "A.b.Payments.EXAMPLE"];
        let beside = ["xpayments.example", "example", "payments.example.x", ""];
        let zone = [&["payments.example"], &under[..]].concat();
        check(wire, &lost(&["*.payments.example"], &[]), &zone, &beside);
        let others = [&under[..], &beside].concat();
        let own = ["payments.example", "PAYMENTS.example"];
        check(wire, &lost(&["payments.example"], &[]), &own, &others);
        check(wire, &lost(&[], &[]), &zone, &[]);
        check(
            wire,
            &lost(&["*."], &[]),
            &[&zone[..], &beside].concat(),
            &[],
        );
        check(wire, &lost(&["."], &[]), &[""], &zone);
        let several = lost(&["db.internal", "*.example"], &[]);
        check(
            wire,
            &several,
            &["db.internal", "x.example"],
            &["x.internal"],
        );
    });
}

#[test]
fn a_name_that_is_spared_wins() {
    on_a_wire(|wire| {
        let but_metrics = lost(&["*.payments.example"], &["metrics.payments.example"]);
        let hit = ["payments.example", "x.metrics.payments.example"];
        check(wire, &but_metrics, &hit, &["metrics.payments.example", "x"]);
        let but_zone = lost(&[], &["*.payments.example", "db.internal"]);
        let hit = ["example", "x.db.internal", ""];
        let spared = ["payments.example", "a.b.payments.example", "db.internal"];
        check(wire, &but_zone, &hit, &spared);
        let same = lost(&["*.example"], &["*.example"]);
        check(wire, &same, &[], &["example", "x.example"]);
    });
}

#[test]
fn the_longest_names_and_the_deepest_are_known() {
    let long = vec!["a".repeat(63); 3].join(".") + "." + &"b".repeat(61);
    let deep = vec!["x"; 127].join(".");
    for name in [&long, &deep] {
        assert_eq!(super::wire(name).len(), 255);
        on_a_wire(|wire| {
            let (_, zone) = name.split_once('.').unwrap();
            check(wire, &lost(&[name], &[]), &[name], &[zone]);
            let below = format!("*.{zone}");
            check(wire, &lost(&[&below], &[]), &[zone, name], &["x"]);
        });
    }
}

#[test]
fn a_fault_hits_the_types_that_it_names() {
    on_a_wire(|wire| {
        let of_types = |types: &[u16]| {
            let mut rule = lost(&["db.internal"], &[]);
            rule.program.type_count = u32::try_from(types.len()).unwrap();
            rule.program.types[..types.len()].copy_from_slice(types);
            rule
        };
        let ask = |wire: &Wire<'_>, qtype| {
            wire.outcome(&asks(v4(UDP), query("db.internal", qtype)).bytes(Way::Out))
        };
        let n = wire.install(&of_types(&[A, 65]));
        let got = [A, AAAA, 65, 255].map(|qtype| ask(wire, qtype));
        assert_eq!(got, [Lost, Passed, Lost, Passed]);
        let other = wire.install(&of_types(&[AAAA]));
        let got = [A, AAAA, 65, 255].map(|qtype| ask(wire, qtype));
        assert_eq!(got, [Lost, Lost, Lost, Passed]);
        wire.uninstall(n);
        let got = [A, AAAA, 65, 255].map(|qtype| ask(wire, qtype));
        assert_eq!(got, [Passed, Lost, Passed, Passed]);
        wire.uninstall(other);
        wire.install(&of_types(&[]));
        let got = [A, AAAA, 65, 255].map(|qtype| ask(wire, qtype));
        assert_eq!(got, [Lost, Lost, Lost, Lost]);
    });
}

#[test]
fn faults_share_names_and_leave_those_of_the_others() {
    on_a_wire(|wire| {
        let first = wire.install(&lost(&["*.example", "db.internal"], &[]));
        let second = wire.install(&rule(
            ANSWER_NXDOMAIN,
            &["db.internal", "x"],
            &["*.example"],
        ));
        assert_eq!(wire.ask("db.internal"), Lost);
        assert!(matches!(wire.ask("x"), Answered(_)));
        wire.uninstall(first);
        assert_eq!(wire.ask("a.example"), Passed);
        assert!(matches!(wire.ask("db.internal"), Answered(_)));
        assert_eq!(wire.affected(second), (2, 2));
        wire.uninstall(second);
        let third = wire.install(&lost(&["y"], &[]));
        assert_eq!(third, first, "its number is used again");
        let names = ["db.internal", "x", "a.example", "y"];
        assert_eq!(
            names.map(|name| wire.ask(name)),
            [Passed, Passed, Passed, Lost]
        );
    });
}

#[test]
fn ten_thousand_names_cost_no_more_than_one() {
    on_a_wire(|wire| {
        let mut many = lost(&[], &[]);
        many.names.names = (0..10_000)
            .map(|i| name(&format!("*.host-{i}.payments.example")))
            .collect();
        let start = Instant::now();
        let n = wire.install(&many);
        println!("10,000 names took {:?}", start.elapsed());
        for i in [0, 1, 4711, 9999] {
            let hit = format!("x.host-{i}.payments.example");
            assert_eq!(wire.ask(&hit), Lost, "{hit}");
        }
        assert_eq!(wire.ask("x.host-10000.payments.example"), Passed);
        let cost = |wire: &Wire<'_>| {
            let frame = asks(v4(UDP), query("x.host-10000.payments.example", A)).bytes(Way::Out);
            let run = || wire.bench.run(Way::Out, &frame, &wire.on, 2000).unwrap();
            (0..20).map(|_| run().duration_ns).min().unwrap()
        };
        let of_many = cost(wire);
        wire.uninstall(n);
        wire.install(&lost(&["*.host-1.payments.example"], &[]));
        let of_one = cost(wire);
        println!("{of_many} ns a query against {of_one} ns with one name");
        assert!(of_many < of_one * 2, "{of_many} ns against {of_one} ns");
    });
}

#[test]
fn a_plane_says_how_many_names_it_holds() {
    on_a_wire(|wire| {
        let mut many = lost(&[], &[]);
        many.names.names = (0..=MAX_NAMES).map(|i| name(&i.to_string())).collect();
        let run = wire.bench.run;
        let full = wire
            .bench
            .plane
            .install_dns(matching(), Fault { run, ..fault() }, &many)
            .unwrap_err();
        assert_eq!(
            full.to_string(),
            "a plane holds at most 65536 DNS names at once"
        );
        assert!(wire.bench.plane.is_idle(), "nothing is left of it");
        many.names.names.pop();
        let n = wire.install(&many);
        assert_eq!([wire.ask("65535"), wire.ask("65536")], [Lost, Passed]);
        wire.uninstall(n);
        assert_eq!(wire.ask("65535"), Passed);
    });
}

#[test]
fn what_was_hit_last_is_remembered_as_it_was_asked() {
    on_a_wire(|wire| {
        assert_eq!(wire.bench.plane.dns_hits(), []);
        let n = wire.install(&lost(&["*.example"], &[]));
        assert_eq!(wire.ask("x.internal"), Passed);
        for name in ["A.Example", "b\u{1}c\\.example"] {
            assert_eq!(wire.ask(name), Lost);
        }
        let hits = wire.bench.plane.dns_hits();
        let names: Vec<&str> = hits.iter().map(|hit| hit.name.as_str()).collect();
        assert_eq!(names, ["A.Example", r"b\001c\\.example"]);
        for hit in &hits {
            assert!(hit.faults.has(n));
            assert_eq!(hit.qtype, A);
            let age = Duration::from_nanos(crate::clock::now_ns().saturating_sub(hit.when_ns));
            assert!(age < Duration::from_mins(1), "{age:?}");
        }
        for i in 0..100 {
            assert_eq!(wire.ask(&format!("{i}.example")), Lost);
        }
        let hits = wire.bench.plane.dns_hits();
        assert_eq!(hits.len(), 64);
        assert_eq!(
            (&*hits[0].name, &*hits[63].name),
            ("36.example", "99.example")
        );
    });
}
