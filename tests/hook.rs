//! `chaosd hook`, told of containers by a runtime's words: a process in a cgroup and a namespace stands for
//! each. What becomes of real ones is in `hook_runtimes`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{Instance, Lab, Output, skip, wait_until};

use crate::hook_scene::{Container, PINGS, answered, hook, scene, told};
use crate::scene::LONG;

#[test]
fn a_container_is_hit_from_the_hook_on_and_let_go_when_it_is_over() -> Result<()> {
    let scene = scene!("hook-life");
    let said = told(
        &scene.daemon,
        &scene.container.state("creating", &scene.wants()),
    )?;
    ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    ensure!(answered(&scene.lab)? == 0, "the fault has no effect");
    let runs = scene.daemon.armed()?;
    let target = runs[0]["target"].as_str().unwrap_or_default();
    ensure!(
        target == "container hook-life (by its annotations)",
        "{runs:?}"
    );
    let status = scene.daemon.cli(["status"])?;
    ensure!(status.stdout.contains("container hook-life"), "{status:?}");

    let said = told(
        &scene.daemon,
        &scene.container.state("stopped", &scene.wants()),
    )?;
    ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    ensure!(scene.daemon.armed()?.is_empty());
    ensure!(answered(&scene.lab)? == PINGS, "the fault goes on");
    // Once more is no mistake.
    let said = told(
        &scene.daemon,
        &scene.container.state("stopped", &scene.wants()),
    )?;
    ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    Ok(())
}

#[test]
fn one_that_dies_without_a_word_leaves_nothing() -> Result<()> {
    let mut scene = scene!("hook-dies");
    let said = told(
        &scene.daemon,
        &scene.container.state("created", &scene.wants()),
    )?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(answered(&scene.lab)? == 0, "the fault has no effect");
    kill(
        Pid::from_raw(scene.container.process.id().cast_signed()),
        Signal::SIGKILL,
    )?;
    scene.container.process.wait()?;
    let gone = wait_until(LONG, || {
        scene.daemon.armed().is_ok_and(|runs| runs.is_empty())
    });
    ensure!(gone, "the run goes on: {}", scene.daemon.log());
    ensure!(answered(&scene.lab)? == PINGS, "the fault goes on");
    Ok(())
}

#[test]
fn containers_that_start_at_once_are_each_hit_and_free_again_when_chaosd_dies() -> Result<()> {
    // More than programs are loaded for ahead: while the daemon dies, others are being loaded.
    let scene = scene!("hook-burst");
    let mut others = Vec::new();
    for id in ["hook-burst-1", "hook-burst-2", "hook-burst-3"] {
        let lab = Lab::new(id)?;
        let container = Container::start(id, lab.target())?.context("no cgroup")?;
        others.push((lab, container));
    }
    let containers = others.iter().map(|(_, container)| container);
    let states = containers
        .chain([&scene.container])
        .map(|container| container.state("creating", &scene.wants()));
    let states: Vec<Value> = states.collect();
    let said = std::thread::scope(|scope| {
        let hooks = states
            .iter()
            .map(|state| scope.spawn(|| told(&scene.daemon, state)));
        let hooks: Vec<_> = hooks.collect();
        let said = hooks.into_iter().map(|hook| {
            let said = hook.join();
            said.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        said.collect::<Result<Vec<Output>>>()
    })?;
    for said in said {
        ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    }
    let labs = || others.iter().map(|(lab, _)| lab).chain([&scene.lab]);
    for lab in labs() {
        ensure!(answered(lab)? == 0, "a fault has no effect");
    }
    kill(scene.daemon.watchdog()?, Signal::SIGKILL)?;
    scene.daemon.kill(Signal::SIGKILL)?;
    for lab in labs() {
        let free = || answered(lab).is_ok_and(|answered| answered == PINGS);
        ensure!(wait_until(LONG, free), "a fault outlives chaosd");
    }
    Ok(())
}

#[test]
fn one_that_shares_its_network_is_hit_by_its_own_sockets_alone() -> Result<()> {
    let scene = scene!("hook-shared");
    let Some(beside) = Container::start("beside", scene.lab.target())? else {
        skip!(Ok(()), "there is no unified cgroup tree");
    };
    let said = told(
        &scene.daemon,
        &scene.container.state("created", &scene.wants()),
    )?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(!scene.talks(&scene.container)?, "the fault has no effect");
    ensure!(scene.talks(&beside)?, "its neighbour is hit");
    ensure!(answered(&scene.lab)? == PINGS, "others are hit");
    let notes = scene.daemon.armed()?[0]["notes"].to_string();
    ensure!(notes.contains("shares its network"), "{notes}");
    Ok(())
}

/// CRI-O starts nobody before it that would hold the pod's namespaces.
#[test]
fn the_first_of_a_pod_is_hit_and_not_who_comes_into_its_network_later() -> Result<()> {
    let scene = scene!("hook-first");
    let mut wants = scene.wants();
    wants["io.kubernetes.cri-o.ContainerType"] = json!("container");
    let said = told(&scene.daemon, &scene.container.state("created", &wants))?;
    ensure!(said.status == Some(0), "{said:?}");
    let Some(sidecar) = Container::start("sidecar", scene.lab.target())? else {
        skip!(Ok(()), "there is no unified cgroup tree");
    };
    ensure!(!scene.talks(&scene.container)?, "the fault has no effect");
    ensure!(scene.talks(&sidecar)?, "the one beside it is hit");
    let notes = scene.daemon.armed()?[0]["notes"].to_string();
    ensure!(notes.contains("shares its network"), "{notes}");
    Ok(())
}

#[test]
fn a_container_that_is_made_again_is_hit_once() -> Result<()> {
    let scene = scene!("hook-again");
    for _ in 0..3 {
        let said = told(
            &scene.daemon,
            &scene.container.state("created", &scene.wants()),
        )?;
        ensure!(said.status == Some(0), "{said:?}");
        ensure!(scene.daemon.armed()?.len() == 1);
    }
    Ok(())
}

/// Two namespaces of containerd may have one each of a name, and two directories of runc.
#[test]
fn of_two_with_one_id_each_has_its_own_fault() -> Result<()> {
    let scene = scene!("hook-twin");
    let lab = Lab::new("hook-twin-2")?;
    let mut twin = Container::start("hook-twin", lab.target())?.context("no cgroup")?;
    twin.bundle = "/nonexistent/a path & more".to_owned();
    for container in [&scene.container, &twin] {
        let said = told(&scene.daemon, &container.state("created", &scene.wants()))?;
        ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
    }
    ensure!(scene.daemon.armed()?.len() == 2, "{}", scene.daemon.log());
    ensure!(
        answered(&scene.lab)? == 0,
        "the second ended the first's fault"
    );
    ensure!(answered(&lab)? == 0, "the second has no fault");
    let said = told(&scene.daemon, &twin.state("stopped", &scene.wants()))?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(answered(&lab)? == PINGS, "the fault goes on");
    ensure!(
        answered(&scene.lab)? == 0,
        "the end of one ended the other's"
    );
    // Whoever knows of no bundles ends all that have the id.
    twin.bundle = String::new();
    let said = told(&scene.daemon, &twin.state("stopped", &scene.wants()))?;
    ensure!(said.status == Some(0), "{said:?}");
    ensure!(answered(&scene.lab)? == PINGS, "the fault goes on");
    Ok(())
}

#[test]
fn a_daemon_that_hangs_holds_nobody_up_and_arms_nothing_later() -> Result<()> {
    let scene = scene!("hook-hangs");
    for required in ["true", "false"] {
        let mut annotations = scene.wants();
        annotations["chaosd.required"] = json!(required);
        let state = scene.container.state("creating", &annotations).to_string();
        scene.daemon.kill(Signal::SIGSTOP)?;
        let (said, took) = hook(&scene.daemon, &["--within", "2s"], state.as_bytes())?;
        scene.daemon.kill(Signal::SIGCONT)?;
        ensure!((said.status != Some(0)) == (required == "true"), "{said:?}");
        ensure!(said.stderr.contains("no answer within 2s"), "{said:?}");
        ensure!(took < Duration::from_secs(10), "it took {took:?}");
        // It wakes, and reads what it was asked.
        let read = || {
            let log = scene.daemon.log();
            log.matches("DELETE /v1/containers/hook-hangs").count() > 0
        };
        ensure!(wait_until(LONG, read), "{}", scene.daemon.log());
        let calm = || answered(&scene.lab).is_ok_and(|answers| answers == PINGS);
        ensure!(wait_until(LONG, calm), "{}", scene.daemon.log());
        ensure!(scene.daemon.armed()?.is_empty(), "{}", scene.daemon.log());
    }
    Ok(())
}

#[test]
fn containers_that_ask_for_nothing_cost_nothing() -> Result<()> {
    let instance = Instance::new()?;
    let state = json!({
        "ociVersion": "1.0.2", "id": "shop", "pid": 1, "status": "creating", "bundle": "/",
        "annotations": { "app": "shop" },
    });
    let mut times = Vec::new();
    for _ in 0..20 {
        let (said, took) = hook(&instance, &[], state.to_string().as_bytes())?;
        ensure!(said.status == Some(0) && said.stderr.is_empty(), "{said:?}");
        times.push(took);
    }
    times.sort_unstable();
    println!(
        "a hook for nothing: median {:?}, best {:?}",
        times[10], times[0]
    );
    let most = if support::is_emulated() { 2000 } else { 100 };
    ensure!(times[0] < Duration::from_millis(most), "{times:?}");
    Ok(())
}

#[test]
fn what_is_no_state_keeps_no_container_from_starting() -> Result<()> {
    let instance = Instance::new()?;
    for state in [&b""[..], b"{", b"\xff", br#"{"id": 7}"#] {
        let (said, _) = hook(&instance, &["--within", "30s"], state)?;
        ensure!(said.status == Some(0), "{said:?}");
        ensure!(said.stderr.contains("chaosd hook install"), "{said:?}");
    }
    // Nor does a runtime that never closes its end.
    let mut command = instance.command()?;
    command
        .args(["hook", "--within", "200ms"])
        .stdin(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn()?;
    let kept = child.stdin.take();
    let mut status = None;
    let ended = wait_until(LONG, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    child.kill().ok();
    child.wait()?;
    drop(kept);
    ensure!(
        ended && status.is_some_and(|status| status.success()),
        "{status:?}"
    );
    Ok(())
}
