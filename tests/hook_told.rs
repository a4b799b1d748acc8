//! What `chaosd hook` says of containers that do not get their fault, and where.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use support::{Instance, Output};

use crate::hook_scene::{PARTITION, PINGS, answered, scene, told, told_to};
use crate::scene::LONG;

/// A mount namespace whose system's log is the test's.
fn hook_with_log(instance: &Instance, state: &Value) -> Result<(Output, String)> {
    let place = instance.file("log-of-the-test", "")?;
    std::fs::remove_file(&place)?;
    let log = UnixDatagram::bind(&place)?;
    log.set_read_timeout(Some(LONG))?;
    let program = instance.command()?;
    let script = "mount -t tmpfs none /dev && ln -s \"$0\" /dev/log && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-euc", script])
        .arg(&place)
        .arg(program.get_program())
        .args(["hook", "--within", "30s"]);
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let output = told_to(&mut command, state.to_string().as_bytes())?;
    let mut line = [0; 4096];
    let length = log
        .recv(&mut line)
        .with_context(|| format!("no line: {output:?}"))?;
    Ok((
        output,
        String::from_utf8_lossy(&line[..length]).into_owned(),
    ))
}

#[test]
fn who_is_passed_over_is_told_in_the_system_s_log() -> Result<()> {
    let scene = scene!("hook-passed");
    let mut wants = scene.wants();
    wants["chaosd.required"] = json!("true");
    wants["chaosd.container"] = json!("wbe");
    wants["io.kubernetes.cri.container-type"] = json!("container");
    wants["io.kubernetes.cri.container-name"] = json!("web");
    let state = scene.container.state("created", &wants);
    let (said, line) = hook_with_log(&scene.daemon, &state)?;
    ensure!(said.status == Some(0), "{said:?}");
    for word in ["<29>chaosd[", "hook-passed (web)", "names `wbe`"] {
        ensure!(line.contains(word), "{word}: {line}");
    }
    ensure!(scene.daemon.armed()?.is_empty());
    ensure!(answered(&scene.lab)? == PINGS, "something was armed");
    Ok(())
}

#[test]
fn what_annotations_say_moves_no_cursor_and_begins_no_line_of_the_log() -> Result<()> {
    let instance = Instance::new()?;
    let state = json!({
        "ociVersion": "1.0.2", "id": "shop\u{1b}[2J", "pid": 1, "status": "creating",
        "annotations": { "chaosd.profile": "x\u{1b}]0;title\u{7}\r<0>kernel: \u{9b}2J" },
    });
    let (said, line) = hook_with_log(&instance, &state)?;
    ensure!(said.status == Some(0), "{said:?}");
    let lines: String = said.stderr.lines().collect();
    for text in [&lines, &line] {
        ensure!(text.contains("x?]0;title??<0>kernel: ?2J"), "{text:?}");
        ensure!(text.contains("shop?[2J"), "{text:?}");
        ensure!(!text.contains(char::is_control), "{text:?}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_keeps_a_container_from_starting_only_if_it_says_so() -> Result<()> {
    let scene = scene!("hook-wrong");
    let broken = scene
        .daemon
        .file("broken.yaml", "version: 1\nfaults: [{drop: {rtae: 1%}}]\n")?;
    let experiment = scene.daemon.file(
        "shop.yaml",
        &format!("{PARTITION}abort-when: [{{load-average: {{above: 20}}}}]\n"),
    )?;
    let absent = Instance::new()?;
    for (instance, annotations, words) in [
        (
            &*scene.daemon,
            json!({ "chaosd.profile": experiment.display().to_string() }),
            &["chaosd.profile", "an experiment", "chaosd run"][..],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "packet-los" }),
            &["chaosd.profile", "did you mean `packet-loss`?"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": broken.display().to_string() }),
            &["chaosd.profile", "broken.yaml:2:", "`rate`"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "packet-loss", "chaosd.set.rtae": "1%", "chaosd.for": "soon" }),
            &["rtae", "soon"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": scene.profile, "chaosd.for": "300d" }),
            &["the fault is not armed", "cap of 1h"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "clock-skew" }),
            &["no container may ask for"],
        ),
        (
            &*scene.daemon,
            json!({ "chaosd.profile": "packet-loss", "chaosd.requierd": "true" }),
            &["did you mean chaosd.required?"],
        ),
        (
            &absent,
            json!({ "chaosd.profile": "packet-loss" }),
            &[
                "the fault is not armed",
                "no daemon answers",
                "chaosd serve",
            ],
        ),
    ] {
        for required in ["true", "false"] {
            let mut annotations = annotations.clone();
            annotations["chaosd.required"] = json!(required);
            let said = told(instance, &scene.container.state("creating", &annotations))?;
            let refused = said.status != Some(0);
            ensure!(refused == (required == "true"), "{annotations}: {said:?}");
            for word in words {
                ensure!(said.stderr.contains(word), "{word}: {said:?}");
            }
            let outcome = if refused {
                "does not start"
            } else {
                "goes on without"
            };
            ensure!(said.stderr.contains(outcome), "{said:?}");
        }
        // A container that ends is never held up.
        let mut annotations = annotations.clone();
        annotations["chaosd.required"] = json!("true");
        let said = told(instance, &scene.container.state("stopped", &annotations))?;
        ensure!(said.status == Some(0), "{said:?}");
    }
    ensure!(scene.daemon.armed()?.is_empty());
    ensure!(answered(&scene.lab)? == PINGS, "something was armed");
    Ok(())
}
