//! Targets by name: as many are hit as were asked for, the others not at all, and one that is back
//! from a restart is hit again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::queue::no_fq;
use support::{Cgroup, Daemon, Family, Lab, Member, Options, Output, Run, SEED, skip, wait_until};

use crate::cgroup::Datagrams;

const PATIENCE: Duration = Duration::from_secs(20);
/// For longer than it takes to look for those that came.
const LOOKED: Duration = Duration::from_secs(2);
const DELAY: Duration = Duration::from_millis(300);
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

    /// What is told of a run.
    fn status(&self, id: &str) -> Result<serde_json::Value> {
        let status = self.daemon.cli(["status", "-o", "json"])?.json()?;
        let runs = status["runs"].as_array().context("no runs")?;
        let run = runs.iter().find(|run| run["id"] == id);
        run.cloned().context("it is not told of")
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
    let words = ["plan", "inject", "partition", "--process", "bash"];
    let whom = ["--process-args", scene.parent.path()];
    let typo = ["--target-exclude", "nobody-*"];
    let plan = scene
        .daemon
        .cli(words.into_iter().chain(whom).chain(typo))?;
    let note = "`exclude: nobody-*` (--target-exclude) spares none of those that answer";
    assert_eq!(plan.stdout.matches(note).count(), 1, "{plan:?}");
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

/// Others start beside the one that is hit, and then that one ends: each is hit by one fault at all times.
fn is_hit_once(name: &str, words: &str, is_hit: impl Fn(&Datagrams) -> bool) -> Result<()> {
    let Some(mut scene) = Scene::new(name, 1, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let id = scene.inject(words)?.id().to_owned();
    let mut beside = Vec::new();
    for _ in 0..2 {
        let mut member = Member::start(&scene.members[0].2, scene.lab.target())?;
        let its = Datagrams::new(&mut member, &scene.lab, Family::V4)?;
        beside.push((member, its));
    }
    let all_are_hit = || wait_until(PATIENCE, || beside.iter().all(|(_, its)| is_hit(its)));
    let lives = |scene: &Scene| -> Result<usize> {
        let told = scene.status(&id)?;
        let members = told["members"].as_array();
        members.map(Vec::len).context("no members")
    };
    std::thread::sleep(LOOKED);
    assert_eq!(lives(&scene)?, 1);
    ensure!(all_are_hit(), "{}", scene.daemon.log());

    scene.members[0].0.end()?;
    let again = || lives(&scene).is_ok_and(|lives| lives == 2);
    ensure!(wait_until(PATIENCE, again), "{}", scene.daemon.log());
    std::thread::sleep(LOOKED);
    assert_eq!(lives(&scene)?, 2);
    ensure!(all_are_hit(), "{}", scene.daemon.log());
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    ensure!(!beside.iter().any(|(_, its)| is_hit(its)));
    Ok(())
}

#[test]
fn who_starts_beside_one_that_is_hit_goes_on_being_hit_without_it() -> Result<()> {
    let is_hit = |its: &Datagrams| its.pass().is_ok_and(|passed| passed == [0, 0]);
    is_hit_once("named-beside", "partition --for 10m", is_hit)
}

#[test]
fn delays_do_not_add_up_when_others_start_beside_one_that_is_hit() -> Result<()> {
    if let Some(reason) = no_fq() {
        skip!(Ok(()), "{reason}");
    }
    let words = format!(
        "delay --time {}ms --direction out --for 10m",
        DELAY.as_millis()
    );
    // fq lets go up to 0.1 ms early. Twice the delay is the least that two faults come to.
    let once = DELAY.saturating_sub(Duration::from_millis(1))..2 * DELAY;
    let is_hit = |its: &Datagrams| its.takes().is_ok_and(|time| once.contains(&time));
    is_hit_once("named-added", &words, is_hit)
}

#[test]
fn of_two_that_come_for_one_that_is_gone_one_is_hit() -> Result<()> {
    let Some(mut scene) = Scene::new("named-rollout", 2, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let words = "partition --target-count 1 --for 10m";
    let id = scene.inject(words)?.id().to_owned();
    let hit = scene.hit()?;
    scene.end(hit[0])?;
    scene.add()?;
    let new = || scene.hit().is_ok_and(|hit| hit == [1]);
    ensure!(wait_until(PATIENCE, new), "{}", scene.daemon.log());
    scene.add()?;
    scene.add()?;
    std::thread::sleep(LOOKED);
    assert_eq!(scene.hit()?, [1], "{}", scene.daemon.log());
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    Ok(())
}

#[test]
fn those_that_join_are_no_more_than_the_host_allows() -> Result<()> {
    let Some(mut scene) = Scene::new("named-share", 1, &["--max-share", "50%"])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let id = scene.inject("partition --for 10m")?.id().to_owned();
    assert_eq!(scene.hit()?, [0]);
    for _ in 0..3 {
        scene.add()?;
    }
    let half = || scene.hit().is_ok_and(|hit| hit.len() == 2);
    ensure!(
        wait_until(PATIENCE, half),
        "{:?}\n{}",
        scene.hit(),
        scene.daemon.log()
    );
    std::thread::sleep(LOOKED);
    assert_eq!(scene.hit()?.len(), 2);
    let notes = scene.status(&id)?["notes"].to_string();
    assert_eq!(notes.matches("--max-share").count(), 1, "{notes}");
    let told = scene.daemon.cli(["revert", &id, "-o", "json"])?;
    ensure!(told.status == Some(0), "{told:?}");
    Ok(())
}

#[test]
fn who_shares_a_cgroup_with_one_that_is_hit_is_not_told_to_be_spared() -> Result<()> {
    let Some(scene) = Scene::new("named-within", 1, &["--max-share", "50%"])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let beside = Member::start(&scene.members[0].2, scene.lab.target())?;
    let ask = |flags: &str| -> Result<Output> {
        let words = ["plan", "inject"].into_iter().chain(flags.split(' '));
        let target = ["--process", "bash", "--process-args", scene.parent.path()];
        scene.daemon.cli(words.chain(target))
    };
    // A signal hits one alone.
    let told = ask("process --signal STOP --target-count 1 -o json")?.json()?;
    assert_eq!(told["spared"][0]["why"], "not-drawn", "{told}");
    let refused = scene.inject("partition --target-count 1").err();
    let refused = refused.context("it is allowed")?.to_string();
    ensure!(refused.contains("2 of 2"), "{refused}");
    let told = ask(&format!("partition --target-exclude {}:*", beside.pid()))?;
    ensure!(
        told.stderr.contains("is excluded, and would be hit"),
        "{told:?}"
    );

    let cgroups = [scene.parent.below("a")?, scene.parent.below("b")?];
    let start = |cgroup| Member::start(cgroup, scene.lab.target());
    let _elsewhere = cgroups.iter().map(start).collect::<Result<Vec<_>>>()?;
    let two = [beside.pid(), scene.members[0].0.pid()].map(|pid| format!("{pid}:"));
    let mut seen = [false; 2];
    for seed in 0..64 {
        let words = format!("partition --target-count 1 -o json --seed {seed}");
        let told = ask(&words)?.json()?;
        let hit = told["members"][0]["id"].as_str().context("nobody is hit")?;
        let is_within = two.iter().any(|pid| hit.starts_with(pid));
        let whys = told["spared"].as_array().context("nobody is spared")?;
        let with = whys.iter().filter(|one| one["why"] == "hit-with-another");
        assert_eq!(with.count(), usize::from(is_within), "{told}");
        seen[usize::from(is_within)] = true;
        if seen == [true; 2] {
            return Ok(());
        }
    }
    anyhow::bail!("64 seeds drew alike: {seen:?}")
}

#[test]
fn a_plan_tells_how_many_it_does_not_write_out() -> Result<()> {
    let Some(scene) = Scene::new("named-many", 0, &[])? else {
        skip!(Ok(()), "{NO_TREE}");
    };
    let mut members = Vec::new();
    for (count, more) in [
        (8, None),
        (10, Some("and 2 more, whose places `-o json` tells")),
    ] {
        while members.len() < count {
            members.push(Member::start(&scene.parent, scene.lab.target())?);
        }
        let words = ["plan", "inject", "process", "--signal", "CONT"];
        let target = ["--process", "bash", "--process-args", scene.parent.path()];
        let told = scene.daemon.cli(words.into_iter().chain(target))?;
        ensure!(told.stdout.contains(&format!("{count} hit")), "{told:?}");
        ensure!(told.stdout.matches("ends with").count() == 8, "{told:?}");
        let line = told.stdout.lines().find(|line| line.contains(" more, "));
        ensure!(line.map(str::trim) == more, "{told:?}");
    }
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
    std::thread::sleep(LOOKED);
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
        let ask = |verb: &str| -> Result<String> {
            let mut all: Vec<&str> = verb.split(' ').chain(words.split(' ')).collect();
            all.extend(["--process-args", scene.parent.path()]);
            let told = scene.daemon.cli(all)?;
            ensure!(told.status == Some(3) || told.status == Some(2), "{told:?}");
            Ok(told.stderr)
        };
        let told = ask("inject")?;
        // The dry run refuses what the daemon does.
        let planned = ask("plan inject")?;
        ensure!(planned == told, "{planned} and not {told}");
        Ok(told)
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
