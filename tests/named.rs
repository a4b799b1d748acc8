//! Targets by name: as many are hit as were asked for, the others not at all, and one that is back
//! from a restart is hit again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::{Cgroup, Daemon, Family, Lab, Member, Options, Run, SEED, skip, wait_until};

use crate::cgroup::Datagrams;

const PATIENCE: Duration = Duration::from_secs(20);
const NO_TREE: &str = "this machine has no unified cgroup tree";

/// Processes of one name, each in a cgroup of its own with a socket of its own.
struct Scene {
    members: Vec<(Member, Datagrams, Cgroup)>,
    lab: Lab,
    daemon: Daemon,
    made: usize,
    // Last: removed when its processes are gone.
    parent: Cgroup,
}

impl Scene {
    fn new(name: &str, members: usize, daemon: &[&str]) -> Result<Option<Self>> {
        let Some(parent) = Cgroup::new()? else {
            return Ok(None);
        };
        let mut scene = Self {
            members: Vec::new(),
            lab: Lab::new(name)?,
            daemon: Daemon::start(&Options {
                args: daemon.iter().map(|word| (*word).to_owned()).collect(),
                ..Options::default()
            })?,
            made: 0,
            parent,
        };
        for _ in 0..members {
            scene.add()?;
        }
        Ok(Some(scene))
    }

    /// One more, whose cgroup stands in its command line.
    fn add(&mut self) -> Result<()> {
        self.made += 1;
        let cgroup = self.parent.below(&format!("member-{}", self.made))?;
        let mut member = Member::start(&cgroup, self.lab.target())?;
        let sockets = Datagrams::new(&mut member, &self.lab, Family::V4)?;
        self.members.push((member, sockets, cgroup));
        Ok(())
    }

    fn inject(&self, flags: &str) -> Result<Run<'_>> {
        let mut words: Vec<&str> = ["inject"].into_iter().chain(flags.split(' ')).collect();
        words.extend(["--process", "bash", "--process-args", self.parent.path()]);
        let seed = SEED.to_string();
        words.extend(["--seed", &seed]);
        Run::start(&self.daemon, words)
    }

    /// Which of them no datagram passes.
    fn hit(&self) -> Result<Vec<usize>> {
        let mut hit = Vec::new();
        for (n, (_, sockets, _)) in self.members.iter().enumerate() {
            match sockets.pass()? {
                [0, 0] => hit.push(n),
                [3, 3] => {}
                other => anyhow::bail!("member {n}: {other:?}"),
            }
        }
        Ok(hit)
    }

    /// Ends it as a crash would.
    fn end(&mut self, n: usize) -> Result<()> {
        let (mut member, ..) = self.members.remove(n);
        member.end()
    }
}

#[test]
fn so_many_are_hit_and_the_others_not_at_all() -> Result<()> {
    let Some(scene) = Scene::new("named-count", 3, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    for (flags, wanted) in [
        ("partition --target-count 1", 1),
        ("partition --target-percent 70%", 2),
        ("partition", 3),
    ] {
        let run = scene.inject(flags)?;
        let (hit, told) = (scene.hit()?, run.report()?);
        assert_eq!(hit.len(), wanted, "{flags}: {hit:?}");
        let members = told.0["members"].as_array().context("no members")?;
        let pids = hit.iter().map(|n| scene.members[*n].0.pid().to_string());
        for pid in pids {
            let named = |member: &&serde_json::Value| {
                let target = member["target"].as_str().unwrap_or_default();
                target.ends_with(&format!("(pid {pid})"))
            };
            let member = members.iter().find(named).context("not told")?;
            assert_eq!(member["faults"][0]["verdict"], "effective", "{member}");
        }
        drop(run.revert()?);
        assert!(scene.hit()?.is_empty(), "{flags}");
    }
    Ok(())
}

#[test]
fn one_that_restarts_is_hit_again_and_the_spared_stay_spared() -> Result<()> {
    let Some(mut scene) = Scene::new("named-restart", 3, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let words = "partition --target-count 1 --for 10m";
    let id = scene.inject(words)?.id().to_owned();
    for turn in 0..10 {
        let hit = scene.hit()?;
        ensure!(
            hit.len() == 1,
            "turn {turn}: {hit:?}\n{}",
            scene.daemon.log()
        );
        scene.end(hit[0])?;
        scene.add()?;
        let since = Instant::now();
        let new = scene.members.len() - 1;
        let again = wait_until(PATIENCE, || scene.hit().is_ok_and(|hit| hit == [new]));
        let took = since.elapsed();
        ensure!(
            again,
            "turn {turn}: {:?}\n{}",
            scene.hit()?,
            scene.daemon.log()
        );
        println!("turn {turn}: on again after {took:?}");
    }
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    ensure!(scene.hit()?.is_empty());
    Ok(())
}

#[test]
fn one_that_is_moved_is_hit_where_it_is_now_and_who_stays_behind_is_not() -> Result<()> {
    let Some(mut scene) = Scene::new("named-moved", 1, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let mut beside = Member::beside(scene.members[0].0.pid().as_raw())?;
    let its = Datagrams::new(&mut beside, &scene.lab, Family::V4)?;
    let elsewhere = scene.parent.below("elsewhere")?;
    let id = scene.inject("partition --for 10m")?.id().to_owned();
    ensure!(scene.hit()? == [0] && its.pass()? == [0, 0]);

    let (member, sockets, _) = &mut scene.members[0];
    member.move_to(&elsewhere)?;
    *sockets = Datagrams::new(member, &scene.lab, Family::V4)?;
    let again = wait_until(PATIENCE, || scene.hit().is_ok_and(|hit| hit == [0]));
    ensure!(again, "it is not hit\n{}", scene.daemon.log());
    ensure!(its.pass()? == [3, 3], "who stays is hit");
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    let log = scene.daemon.log();
    ensure!(log.contains("has left the cgroup"), "{log}");
    ensure!(scene.hit()?.is_empty());
    // A cgroup goes when nobody is in it.
    drop((its, beside));
    scene.end(0)?;
    drop(elsewhere);
    Ok(())
}

#[test]
fn one_can_be_let_go_alone_and_is_not_hit_again() -> Result<()> {
    let Some(scene) = Scene::new("named-alone", 2, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let run = scene.inject("partition")?;
    assert_eq!(scene.hit()?, [0, 1]);
    let first = format!("{}.1", run.id());
    let told = scene.daemon.cli(["revert", &first])?;
    ensure!(told.status == Some(0), "{told:?}");
    // For longer than it takes to look for restarted ones.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(scene.hit()?.len(), 1);
    let told = run.revert()?;
    assert_eq!(told.word("/members/0/ended"), "reverted");
    assert!(scene.hit()?.is_empty());
    Ok(())
}

#[test]
fn a_run_ends_early_when_nobody_answers_to_the_name_any_more() -> Result<()> {
    let Some(mut scene) = Scene::new("named-gone", 2, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let id = scene.inject("partition --for 10m")?.id().to_owned();
    scene.end(1)?;
    scene.end(0)?;
    let ended = || -> Result<String> {
        let status = scene.daemon.cli(["status", "-o", "json"])?.json()?;
        let run = &status["runs"][0];
        ensure!(run["id"] == id.as_str(), "{status}");
        Ok(run["ended"].as_str().unwrap_or_default().to_owned())
    };
    let gone = wait_until(PATIENCE, || ended().is_ok_and(|why| why == "target-gone"));
    ensure!(gone, "{:?}", ended());
    Ok(())
}

#[test]
fn whoever_dies_all_of_them_are_free_again() -> Result<()> {
    for both in [false, true] {
        let Some(mut scene) = Scene::new("named-killed", 3, &[])? else {
            skip!(Ok(()), "{NO_TREE}");
        };
        let _run = scene.inject("partition --target-count 2")?;
        ensure!(scene.hit()?.len() == 2);
        if both {
            nix::sys::signal::kill(scene.daemon.watchdog()?, Signal::SIGKILL)?;
        }
        scene.daemon.kill(Signal::SIGKILL)?;
        scene.daemon.wait(PATIENCE)?;
        ensure!(wait_until(PATIENCE, || scene
            .hit()
            .is_ok_and(|hit| hit.is_empty())));
    }
    Ok(())
}

#[test]
fn what_cannot_be_hit_is_told_with_what_to_type_instead() -> Result<()> {
    let Some(scene) = Scene::new("named-refused", 4, &["--max-share", "50%"])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let refused = |words: &str| -> Result<String> {
        let mut all: Vec<&str> = ["inject"].into_iter().chain(words.split(' ')).collect();
        all.extend(["--process-args", scene.parent.path()]);
        let told = scene.daemon.cli(all)?;
        ensure!(told.status == Some(3) || told.status == Some(2), "{told:?}");
        Ok(told.stderr)
    };
    let told = refused("partition --process bash")?;
    ensure!(
        told.contains("4 of 4") && told.contains("--target-count 2"),
        "{told}"
    );
    let told = refused("partition --process bash --target-exclude *")?;
    ensure!(
        told.contains("nobody is left to hit") && told.contains("excluded"),
        "{told}"
    );
    let told = refused("partition --process no-such-program")?;
    ensure!(told.contains("no-such-program"), "{told}");
    assert!(scene.hit()?.is_empty());
    drop(scene.inject("partition --target-count 2")?.revert()?);
    Ok(())
}
