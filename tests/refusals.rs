//! What cannot be done is refused before anything is changed, and the refusal names why.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use support::{Daemon, Instance, Options, Output};

use crate::scene::{Fault, LONG, Scene, files};

/// Nobody, on every distribution.
const NOBODY: u32 = 65_534;

#[test]
fn a_target_that_is_not_there_is_refused_by_name_in_the_foreground_and_by_the_daemon() -> Result<()>
{
    let scene = Scene::new("targets", Fault::Partition)?;
    let netns = scene.lab.target().netns().to_owned();
    let mut dead = Command::new("true")
        .spawn()
        .context("failed to start true")?;
    let pid = dead.id().to_string();
    dead.wait().context("failed to wait for true")?;
    let cases: [(&[&str], &str); 7] = [
        (&["--pid", &pid], &pid),
        (&["--netns", "chaosd-no-such"], "chaosd-no-such"),
        (&["--netns", "/etc/passwd"], "/etc/passwd"),
        (&["--netns", "/chaosd/no/such"], "/chaosd/no/such"),
        (&["--cgroup", "/chaosd/no/such"], "/chaosd/no/such"),
        (&["--netns", &netns, "--interface", "nosuch0"], "nosuch0"),
        (&["--netns", &netns, "--pid", "1"], "--pid"),
    ];
    let alone = Instance::new()?;
    let daemon = Daemon::start(&Options::default())?;
    for (flags, named) in cases {
        for instance in [&alone, &daemon] {
            let said = instance
                .cli([&["inject", "drop", "--rate", "10%", "--for", "1s"], flags].concat())?;
            ensure!(
                said.status == Some(2) && said.stderr.contains(named),
                "{flags:?}: {said:?}"
            );
        }
    }
    ensure!(files(&alone.state_dir()).is_empty(), "something was begun");
    scene.assert_unchanged()
}

#[test]
fn a_profile_with_five_mistakes_is_told_of_all_five_and_nothing_is_touched() -> Result<()> {
    let instance = Instance::new()?;
    let profile = instance.file(
        "five.yaml",
        "version: 1\n\
         for: 1 fortnight\n\
         seeed: 4\n\
         target: {host: true}\n\
         faults:\n\
         \x20 - drop: {rate: 300%}\n\
         \x20   match: {peers: [300.1.1.1], ports: [70000]}\n",
    )?;
    let path = profile.display().to_string();
    for verb in ["run", "plan"] {
        let said = instance.cli([verb, &path])?;
        ensure!(said.status == Some(2), "{verb}: {said:?}");
        for (place, word) in [
            (":2:6", "fortnight"),
            (":3:1", "seed"),
            (":6:", "300%"),
            (":7:", "300.1.1.1"),
            (":7:", "70000"),
        ] {
            let told = |line: &str| line.contains(&format!("{path}{place}")) && line.contains(word);
            ensure!(said.stderr.lines().any(told), "{verb}, {word}: {said:?}");
        }
    }
    ensure!(
        !instance.state_dir().exists(),
        "the state directory was made"
    );
    Ok(())
}

#[test]
fn an_ordinary_user_is_told_what_is_missing_and_gets_nowhere() -> Result<()> {
    let scene = Scene::new("nobody", Fault::Drop)?;
    let daemon = scene.daemon()?;
    let doctor = as_nobody(&daemon, &["doctor"])?;
    ensure!(doctor.status == Some(3), "{doctor:?}");
    for missing in ["CAP_NET_ADMIN", "CAP_BPF", "uid 65534", "sudo"] {
        ensure!(doctor.stdout.contains(missing), "{missing}: {doctor:?}");
    }
    for line in [
        "inject drop --rate 10% --for 1s",
        "run packet-loss --set rate=10%",
        "revert --all",
        "status",
        "serve",
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let said = as_nobody(&daemon, &words)?;
        let both = format!("{}{}", said.stdout, said.stderr);
        ensure!(said.status == Some(3), "{line}: {said:?}");
        ensure!(
            both.contains("root") || both.contains("sudo"),
            "{line}: {said:?}"
        );
    }
    // The root user's fault is still in force, and his to revert.
    let status = daemon.cli(["status", "-o", "json"])?.json()?;
    ensure!(status["runs"][0]["phase"] == "armed", "{status}");
    scene.assert_clean_after_revert(&daemon)
}

#[test]
fn without_a_daemon_an_ordinary_user_is_told_which_capabilities_are_missing() -> Result<()> {
    let instance = Instance::new()?;
    let said = as_nobody(
        &instance,
        &["inject", "drop", "--rate", "10%", "--for", "1s"],
    )?;
    ensure!(said.status == Some(3), "{said:?}");
    ensure!(
        said.stderr.contains("CAP_NET_ADMIN") && said.stderr.contains("sudo"),
        "{said:?}"
    );
    ensure!(
        !instance.state_dir().exists(),
        "the state directory was made"
    );
    Ok(())
}

#[test]
fn a_second_daemon_is_refused_and_told_of_the_first_which_lives_on() -> Result<()> {
    let daemon = Daemon::start(&Options::default())?;
    let said = daemon.cli(["serve"])?;
    ensure!(said.status == Some(3), "{said:?}");
    ensure!(said.stderr.contains(&daemon.pid().to_string()), "{said:?}");
    let status = daemon.cli(["status", "-o", "json"])?.json()?;
    ensure!(status["daemon"]["pid"] == daemon.pid().as_raw(), "{status}");
    // A second one with a socket of its own, too: it is the state that there is one of.
    let other = daemon.state_dir().with_file_name("other");
    let said = daemon.cli(["serve", "--socket", &other.display().to_string()])?;
    ensure!(said.status == Some(3) && !other.exists(), "{said:?}");
    Ok(())
}

#[test]
fn a_daemon_that_has_lost_its_socket_is_told_by_status_and_ended_by_revert_all() -> Result<()> {
    let scene = Scene::new("nosocket", Fault::Drop)?;
    let mut daemon = scene.daemon()?;
    std::fs::remove_file(daemon.socket()).context("failed to remove the socket")?;
    let pid = daemon.pid().to_string();
    let said = daemon.cli(["status"])?;
    ensure!(
        said.status == Some(3) && said.stdout.contains(&pid),
        "{said:?}"
    );
    let said = daemon.cli(["revert", "--all"])?;
    ensure!(
        said.status == Some(0) && said.stdout.contains(&pid),
        "{said:?}"
    );
    daemon.wait(LONG)?;
    scene.assert_clean(&daemon)
}

fn as_nobody(instance: &Instance, args: &[&str]) -> Result<Output> {
    // The binary may lie where nobody may go: this process opens it, the kernel runs it.
    let mut command = instance.command()?;
    let output = command
        .args(args)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .context("failed to start chaosd as nobody")?;
    Ok(Output {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

#[test]
fn a_plan_refuses_what_goes_beyond_the_daemon_s_limits_and_an_experiment_by_its_stages()
-> Result<()> {
    let daemon = Daemon::start(&Options {
        args: vec!["--max-for".to_owned(), "5s".to_owned()],
        ..Options::default()
    })?;
    let alone = Instance::new()?;
    let stages = |stages: &str| {
        format!(
            "version: 1\ntarget: {{host: true}}\nfaults: [{{drop: 1%, match: {{interfaces: [lo]}}}}]\n\
             stages: [{stages}]\n"
        )
    };
    let four = "{for: 4s, faults: all}";
    let two = daemon.file("two.yaml", &stages(&format!("{four}, {four}")))?;
    let long = daemon.file("long.yaml", &stages("{for: 6s, faults: all}"))?;
    let two = two.to_string_lossy().into_owned();
    let long = long.to_string_lossy().into_owned();
    let inject = ["inject", "drop", "--rate", "1%", "--for", "10s"];
    // None: it is planned.
    let cases: [(&Instance, &[&str], Option<&str>); 5] = [
        (&daemon, &inject, Some("5s")),
        (&alone, &inject, None),
        (&daemon, &[&two], None),
        (&daemon, &[&long], Some("5s")),
        (&alone, &[&long], None),
    ];
    for (instance, words, refused) in cases {
        let said = instance.cli([&["plan"], words].concat())?;
        let expected = if refused.is_some() { Some(2) } else { Some(0) };
        let told = refused.is_none_or(|cap| said.stderr.contains(cap));
        ensure!(said.status == expected && told, "{words:?}: {said:?}");
    }
    Ok(())
}
