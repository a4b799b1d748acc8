//! The devices that hold packets, and the interface that they are held for, which does not notice.

use anyhow::{Context as _, Result};

use support::{Daemon, Family, Instance, Lab, Node, Options, Snapshot, Timed, run, skip};

use crate::held::{Bench, LONG, ROOM, ms, needs_fq, queues};
use crate::hold::ways;
use crate::scene::files;

/// A statistic of the node's `eth0`, received and sent.
fn statistics(node: &Node, what: &str) -> Result<[u64; 2]> {
    let text = run(
        "ip",
        &["-n", node.netns(), "-s", "-j", "link", "show", "eth0"],
    )?;
    let links: serde_json::Value = serde_json::from_str(&text)?;
    let get = |way| links[0]["stats64"][way][what].as_u64();
    let pair = get("rx").zip(get("tx"));
    let (rx, tx) = pair.with_context(|| format!("no statistics in {text}"))?;
    Ok([rx, tx])
}

/// Packets that `eth0` had no room for.
pub fn dropped(node: &Node) -> Result<u64> {
    let [rx, tx] = statistics(node, "dropped")?;
    Ok(rx + tx)
}

#[test]
fn the_interface_keeps_its_queue_its_mtu_and_its_offloads_and_counts_each_packet_once() -> Result<()>
{
    needs_fq!();
    let bench = Bench::new("untouched", 1)?;
    let (target, peer) = (bench.lab.target(), bench.lab.peer());
    let eth0 = || -> Result<Vec<String>> {
        let of = |program: &str, args: &[&str]| target.enter(|| run(program, args))?;
        let link = of("ip", &["-d", "-o", "link", "show", "eth0"])?;
        Ok(vec![
            link,
            queues(target)?,
            of("ethtool", &["-k", "eth0"])?,
            of("ethtool", &["-l", "eth0"]).unwrap_or_default(),
        ])
    };
    let before = (Snapshot::take(target)?, eth0()?);
    let run_id = bench.inject("delay --time 30ms")?;
    let narrow = bench.inject("bandwidth --rate 100mbit")?;
    assert_eq!(eth0()?, before.1);
    let counted = statistics(target, "packets")?;
    for (from, to) in [(target, peer), (peer, target)] {
        let held = Timed::start(from, to, Family::V4, 0)?;
        assert_eq!(held.ways(500, ms(1), LONG)?.len(), 500);
        assert_eq!(held.arrivals().len(), 500);
    }
    let now = statistics(target, "packets")?;
    for (now, then) in now.into_iter().zip(counted) {
        // Neighbours are asked for now and then.
        assert!((500..540).contains(&(now - then)), "{now} - {then}");
    }
    // Neither is a packet decided twice.
    let told = run_id.report()?;
    let [into, out] = told.counts(0);
    for count in [into, out] {
        assert!((500..540).contains(&count.matched), "{told:?}");
        assert_eq!(count.matched, count.affected, "{told:?}");
    }
    assert_eq!(eth0()?, before.1);
    for over in [narrow, run_id] {
        drop(over.revert()?);
    }
    assert_eq!(eth0()?, before.1);
    drop(bench.daemon.cli(["revert", "--all"])?);
    Snapshot::take(target)?.assert_same(&before.0);
    Ok(())
}

#[test]
fn the_pairs_have_no_address_no_ipv6_no_multicast_and_our_name() -> Result<()> {
    needs_fq!();
    let bench = Bench::new("pairs", 1)?;
    let target = bench.lab.target();
    let held = bench.inject("delay --time 30ms --jitter 5ms --keep-order false")?;
    let links = run("ip", &["-n", target.netns(), "-d", "-j", "addr", "show"])?;
    let links: serde_json::Value = serde_json::from_str(&links)?;
    let links = links.as_array().context("no list")?;
    let ours: Vec<_> = links
        .iter()
        .filter(|link| {
            let name = link["ifname"].as_str().unwrap_or_default();
            name.starts_with("chaosd")
        })
        .collect();
    assert_eq!(ours.len(), 4, "a detour and a hold queue: {ours:?}");
    for link in ours {
        let flags: Vec<_> = link["flags"].as_array().into_iter().flatten().collect();
        let has = |flag: &str| flags.iter().any(|word| *word == flag);
        assert!(has("NOARP") && has("UP") && !has("MULTICAST"), "{link}");
        let addresses = link["addr_info"].as_array().map_or(0, |list| {
            list.iter()
                .filter(|entry| entry.get("family").is_some())
                .count()
        });
        assert_eq!(addresses, 0, "{link}");
        // Or IPv6 has let go of the device altogether.
        let mode = &link["inet6_addr_gen_mode"];
        assert!(mode.is_null() || mode == "none", "{link}");
        let alias = link["ifalias"].as_str().unwrap_or_default();
        assert!(alias.contains("chaosd"), "{link}");
        let name = link["ifname"].as_str().unwrap_or_default();
        let disabled = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        let disabled = target.enter(|| std::fs::read_to_string(&disabled))?;
        // There is no such file where IPv6 has let go of the device altogether.
        assert!(
            disabled.is_err() || disabled.is_ok_and(|text| text.trim() == "1"),
            "{link}"
        );
    }
    drop(held.revert()?);
    Ok(())
}

/// This one is for kernels that cannot.
#[test]
fn a_kernel_without_the_queue_is_told_so_and_nothing_is_changed() -> Result<()> {
    if support::queue::no_fq().is_none() {
        skip!(Ok(()), "this kernel can hold packets");
    }
    let lab = Lab::new("no-fq")?;
    let before = Snapshot::take(lab.target())?;
    let alone = Instance::new()?;
    let daemon = Daemon::start(&Options::default())?;
    for fault in [
        "delay --time 20ms",
        "delay --time 20ms --jitter 5ms",
        "reorder --rate 5%",
        "bandwidth --rate 10mbit",
    ] {
        for instance in [&alone, &daemon] {
            let words = ["inject"].into_iter().chain(fault.split(' '));
            let said =
                instance.cli(words.chain(["--netns", lab.target().netns(), "--for", "1s"]))?;
            assert_eq!(said.status, Some(3), "{fault}: {said:?}");
            assert!(
                said.stderr.contains("CONFIG_NET_SCH_FQ"),
                "{fault}: {said:?}"
            );
            assert!(said.stdout.is_empty(), "{fault}: {said:?}");
            Snapshot::take(lab.target())?.assert_same(&before);
        }
    }
    assert!(files(&alone.state_dir()).is_empty(), "something was begun");
    // Nor is anything late.
    let passes = Timed::start(lab.target(), lab.peer(), Family::V4, 0)?;
    assert!(ways(&passes).is_empty());
    let ways = passes.ways(20, ms(1), LONG)?;
    assert!(support::statistics::median(&ways) < ROOM, "{ways:?}");
    Ok(())
}
