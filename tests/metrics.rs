//! The metrics of a daemon as Prometheus takes them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::{Daemon, Prometheus, run_with_input, wait_until};

use crate::scene::{Fault, LONG, Scene};

/// The page, as a scraper gets it.
fn page(daemon: &Daemon) -> Result<String> {
    let mut stream = UnixStream::connect(daemon.socket()).context("failed to connect")?;
    stream.set_read_timeout(Some(LONG))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.contains(" 200 "), "{head}");
    Ok(body.to_owned())
}

#[test]
fn what_is_scraped_has_the_form_that_prometheus_asks_for() -> Result<()> {
    if !Prometheus::is_there() {
        support::skip!(Ok(()), "no promtool: cargo xtask setup brings it");
    }
    let scene = Scene::new("promtool", Fault::Drop)?;
    let daemon = scene.daemon()?;
    let netns = scene.lab.target().netns();
    for fault in ["dns --answer nxdomain", "partition --port 9"] {
        let line = format!("inject {fault} --netns {netns} --for 60s -d");
        let said = daemon.cli(line.split(' '))?;
        ensure!(said.status == Some(0), "{said:?}");
    }
    let said = run_with_input("promtool", &["check", "metrics"], &page(&daemon)?)?;
    ensure!(said.is_empty(), "{said}");
    scene.assert_clean_after_revert(&daemon)?;
    // Of runs that are over too.
    run_with_input("promtool", &["check", "metrics"], &page(&daemon)?).map(drop)
}

#[test]
fn a_real_prometheus_sees_a_fault_come_act_and_go() -> Result<()> {
    if !Prometheus::is_there() {
        support::skip!(Ok(()), "no prometheus: cargo xtask setup brings it");
    }
    let scene = Scene::new("prometheus", Fault::Drop)?;
    let daemon = scene.daemon()?;
    let prometheus = Prometheus::start(&daemon.socket(), Duration::from_millis(250))?;
    let is = |query: &str, good: &dyn Fn(f64) -> bool| {
        wait_until(LONG * 2, || {
            prometheus
                .query(query)
                .is_ok_and(|values| !values.is_empty() && values.iter().all(|value| good(*value)))
        })
    };
    ensure!(is("up", &|up| up > 0.5), "{}", prometheus.log());
    ensure!(
        is("chaosd_faults_armed", &|n| n > 0.5),
        "{}",
        prometheus.log()
    );
    let affected = "sum(chaosd_packets_affected_total)";
    ensure!(is(affected, &|n| n > 0.0), "{}", prometheus.log());
    scene.assert_clean_after_revert(&daemon)?;
    ensure!(
        is("chaosd_faults_armed", &|n| n < 0.5),
        "{}",
        prometheus.log()
    );
    Ok(())
}
