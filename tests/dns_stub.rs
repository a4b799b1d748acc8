//! A stub on a loopback address, as most machines have one: its clients are hit on lo.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use support::dns::{Dig, Libc, Resolver, Seen, Server};
use support::{Family, Snapshot};

use crate::dns_scene::{Names, assert_real, assert_sound, needs_dns};

const NAME: &str = "api.payments.example";

#[test]
fn a_stub_on_lo_is_answered_for_and_afterwards_all_is_as_it_was() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-stub")?;
    for (stub, family) in [
        ("127.0.0.53", Family::V4),
        ("127.0.0.1", Family::V4),
        ("::1", Family::V6),
    ] {
        let address: IpAddr = stub.parse()?;
        let server = Server::stub(names.target(), address, names.address(family)?)?;
        let dig = Dig::new(names.target(), address);
        assert_real(&dig, NAME)?;
        let asked = server.asked(NAME);
        let before = Snapshot::take(names.target())?;
        for (answer, status, result) in [
            ("nxdomain", "NXDOMAIN", "EAI_NONAME"),
            ("servfail", "SERVFAIL", "EAI_AGAIN"),
            ("{A: 192.0.2.1}", "NOERROR", "OK"),
        ] {
            let what = format!("{stub} {answer}");
            let fields = format!("names: [{NAME}], answer: {answer}");
            let run = names.arm_matching(&fields, &format!("peers: [\"{stub}\"]"))?;
            for options in ["", "+noedns", "+dnssec"] {
                let seen = dig.ask(&format!("{NAME} A {options}"))?.answer();
                ensure!(seen.status == status, "{what}: {seen:?}");
                assert_sound(&seen)?;
            }
            let tcp = dig.ask(&format!("{NAME} A +tcp"))?;
            ensure!(matches!(tcp, Seen::Reset), "{what}: {tcp:?}");
            let resolver = Resolver::new(Libc::Glibc, &[address])?;
            for one in resolver.ask(names.target(), None, NAME, None, 2)? {
                ensure!(one.result == result, "{what}: {one:?}");
            }
            assert_real(&dig, "other.example")?;
            drop(run.revert()?);
            assert_real(&dig, "other.example")?;
        }
        ensure!(server.asked(NAME) == asked, "{stub}: {}", server.log());
        let run = names.arm_matching(
            &format!("names: [{NAME}], answer: drop"),
            &format!("peers: [\"{stub}\"]"),
        )?;
        let seen = dig.ask(&format!("{NAME} A"))?;
        ensure!(matches!(seen, Seen::Nothing), "{stub}: {seen:?}");
        drop(run.revert()?);
        assert_real(&dig, NAME)?;
        let said = names.daemon.cli(["revert", "--all"])?;
        ensure!(said.status == Some(0), "{stub}: {said:?}");
        Snapshot::take(names.target())?.assert_same(&before);
    }
    Ok(())
}

#[test]
fn what_a_stub_asks_itself_is_hit_where_it_leaves() -> Result<()> {
    needs_dns!();
    let names = Names::new("dns-upstream")?;
    let stub: IpAddr = "127.0.0.53".parse()?;
    let server = Server::stub(names.target(), stub, names.address(Family::V4)?)?;
    let fields = format!("names: [{NAME}], answer: nxdomain");
    let run = names.arm_matching(&fields, &format!("peers: [{}]", names.address(Family::V4)?))?;
    let dig = Dig::new(names.target(), stub);
    let seen = dig.ask(&format!("{NAME} A"))?.answer();
    ensure!(seen.status == "NXDOMAIN", "{seen:?}");
    assert_sound(&seen)?;
    ensure!(server.asked(NAME) == 1, "{}", server.log());
    assert_real(&dig, "other.example")?;
    drop(run.revert()?);
    assert_real(&dig, NAME)
}
