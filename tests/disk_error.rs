//! `disk-error`: calls on files fail with the error, the operations and the share that were asked for,
//! for whom it is meant and nobody else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::statistics::assert_rate;
use support::{Daemon, Instance, Options, Run, Told, wait_until};

use crate::file_scene::{Mounted, counted, scene, unable};
use crate::limits::{LONG, refused};

/// What `strerror(3)` says.
const EIO: &str = "Input/output error";
const EROFS: &str = "Read-only file system";

#[test]
fn a_kernel_that_cannot_says_what_to_boot_with_and_arms_nothing() -> Result<()> {
    if unable().is_none() {
        support::skip!(Ok(()), "this kernel lets calls on files fail");
    }
    let output = refused(&Instance::new()?, "disk-error: {path: /tmp}")?;
    for said in ["/sys/kernel/security/lsm", "CONFIG_BPF_LSM=y", "lsm="] {
        ensure!(output.stderr.contains(said), "no {said}: {}", output.stderr);
    }
    Ok(())
}

#[test]
fn what_is_no_fault_of_files_is_refused_with_what_to_type_instead() -> Result<()> {
    let instance = Instance::new()?;
    for (fault, said) in [
        ("disk-error: {}", "disk-error needs a path"),
        ("disk-error: {path: srv}", "not an absolute path"),
        ("disk-error: {path: /, rate: 0%}", "0% is nothing"),
        ("disk-error: {path: /, errno: 5}", "did you mean `EIO`?"),
        (
            "disk-error: {path: /, errno: enospace}",
            "did you mean `ENOSPC`?",
        ),
        (
            "disk-error: {path: /, operations: [raed]}",
            "did you mean `read`?",
        ),
        (
            "disk-error: {path: /, operations: [read, fsync]}",
            "the kernel asks no security module about it",
        ),
        ("disk-error: {path: /, rtae: 1%}", "did you mean `rate`?"),
    ] {
        let output = refused(&instance, fault)?;
        ensure!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    Ok(())
}

#[test]
fn a_plan_says_how_and_what_it_misses() -> Result<()> {
    let scene = scene!();
    let instance = Instance::new()?;
    let _mounted = Mounted::on(&scene.path("place/mounted"))?;
    let text = format!(
        "version: 1\nfaults:\n  - disk-error: {{path: {}, operations: [open, write], errno: enospc}}\n",
        scene.path("place").display()
    );
    let file = instance.file("profile.yaml", &text)?.display().to_string();
    let plan = instance.cli(["plan", &file])?;
    for said in [
        "lets 100 % of open, write on",
        "fail with ENOSPC",
        "security hooks (LSM)",
        "one store disarms it",
        "does not reach what is mounted below its path",
        "misses fsync",
        "lets a new file be made",
        "spares chaosd",
        "nothing was changed",
    ] {
        ensure!(plan.stdout.contains(said), "no {said}: {plan:?}");
    }
    let netns = instance.file(
        "netns.yaml",
        "version: 1\ntarget: {netns: /proc/self/ns/net}\nfaults: [{disk-error: {path: /tmp}}]\n",
    )?;
    let output = instance.cli(["plan", &netns.display().to_string()])?;
    ensure!(output.stderr.contains("no processes"), "{output:?}");
    Ok(())
}

#[test]
fn reads_below_the_path_fail_for_the_cgroup_and_for_nobody_else() -> Result<()> {
    let scene = scene!();
    let below = scene.cgroup.below("below")?;
    let daemon = Daemon::start(&Options::default())?;
    let run = scene.start(&daemon, "place", "--operation read")?;
    scene.inside("cat place/deep/file")?.failed_with(EIO)?;
    scene.inside("ls place/deep")?.failed_with(EIO)?;
    let mut deeper = below.command("cat");
    let deeper = deeper.arg(scene.path("place/deep/file")).output()?;
    ensure!(
        !deeper.status.success(),
        "the subtree is spared: {deeper:?}"
    );
    scene.inside("cat beside/file")?.passed()?;
    scene.inside("echo more >> place/deep/file")?.passed()?;
    scene
        .inside("mkdir place/new && touch place/new/file")?
        .passed()?;
    scene.outside("cat place/deep/file")?.passed()?;
    let told = run.revert()?;
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    // Each once, though an overlay asks again for the file below.
    ensure!(effect(&told).contains("read 3 of 3"), "{}", effect(&told));
    scene
        .inside("cat place/deep/file && ls place/deep")?
        .passed()
}

fn effect(told: &Told) -> &str {
    told.word("/faults/0/effect/told")
}

#[test]
fn each_operation_fails_with_the_error_that_was_named_and_does_nothing() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let before = scene.outside("find place -printf '%p %s\\n' | sort")?;
    for (operation, script) in [
        ("open", "cat place/deep/file"),
        ("read", "cat place/deep/file"),
        ("write", "cat beside/file >> place/deep/file"),
        ("create", "touch place/new"),
        ("create", "mkfifo place/new"),
        ("mkdir", "mkdir place/new"),
        ("unlink", "rm -f place/deep/file"),
        ("rmdir", "mkdir place/new; rmdir place/new"),
        ("rename", "mv -T place/deep/file place/new"),
        ("rename", "mv -T place/deep/file beside/new"),
        ("rename", "mv -T beside/file place/new"),
        ("link", "ln place/deep/file place/new"),
        ("symlink", "ln -s deep place/new"),
        ("truncate", "truncate -s 3 place/deep/file"),
        ("truncate", ": > place/deep/file"),
        ("stat", "stat place/deep/file"),
    ] {
        let flags = format!("--errno erofs --operation {operation}");
        let run = scene.start(&daemon, "place", &flags)?;
        let did = scene.inside(script)?;
        let told = run.revert()?;
        did.failed_with(EROFS)
            .with_context(|| format!("{operation}: {script}: {told:?}"))?;
        ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
        if operation == "rmdir" {
            std::fs::remove_dir(scene.path("place/new"))?;
        }
        let after = scene.outside("find place -printf '%p %s\\n' | sort")?;
        ensure!(after.said == before.said, "{script}: {after:?} {before:?}");
    }
    Ok(())
}

/// A shell in the cgroup that waits for a line before it does something; and what it says then.
struct Waiting(Child);

impl Waiting {
    fn start(command: &mut std::process::Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(Self(command.spawn()?))
    }

    fn go(&mut self) -> Result<String> {
        writeln!(self.0.stdin.as_mut().context("no input")?, "go")?;
        let mut line = String::new();
        let output = self.0.stdout.as_mut().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // It may have ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn what_was_open_before_is_hit_too() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let script = "exec 3< place/deep/file; echo ready; read go; cat <&3 2>&1 >/dev/null; echo done";
    let mut reader = Waiting::start(&mut scene.command(script))?;
    let mut line = String::new();
    let output = reader.0.stdout.as_mut().context("no output")?;
    let mut output = BufReader::new(output);
    output.read_line(&mut line)?;
    ensure!(line.trim() == "ready", "{line}");
    let run = scene.start(&daemon, "place", "")?;
    writeln!(reader.0.stdin.as_mut().context("no input")?, "go")?;
    line.clear();
    output.read_line(&mut line)?;
    ensure!(line.contains(EIO), "{line}");
    drop(run.revert()?);
    Ok(())
}

#[test]
fn a_share_of_the_calls_fails_and_the_seed_says_which() -> Result<()> {
    const CALLS: u64 = 10_000;
    let scene = scene!();
    let bytes: Vec<u8> = (0..CALLS).map(|n| b'a' + (n % 23) as u8).collect();
    std::fs::write(scene.path("place/many"), bytes)?;
    let daemon = Daemon::start(&Options::default())?;
    let copy = "LC_ALL=C dd if=place/many of=copy bs=1 conv=noerror 2>&1";
    let mut copies = Vec::new();
    for seed in ["7", "7", "8"] {
        let flags = format!("--operation read --rate 10% --seed {seed}");
        let run = scene.start(&daemon, "place/many", &flags)?;
        let (read, errors) = counted(&scene.inside(copy)?.said)?;
        let told = run.revert()?;
        ensure!(read + errors >= CALLS, "{read} and {errors}: {told:?}");
        assert_rate("reads that failed", read + errors, 0.1, errors);
        let counted = format!("read {errors} of ");
        ensure!(
            effect(&told).contains(&counted),
            "{errors}: {}",
            effect(&told)
        );
        copies.push(std::fs::read(scene.path("copy"))?);
    }
    ensure!(copies[0] == copies[1], "the same seed, and others fail");
    ensure!(copies[0] != copies[2], "another seed, and the same fail");
    Ok(())
}

#[test]
fn a_file_is_hit_by_all_its_names_and_a_file_system_as_a_whole() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let mounted = Mounted::on(&scene.path("place/mounted"))?;
    scene
        .outside("cd place/mounted && echo a > file && ln file name && echo b > other && mkdir d && echo c > d/f")?
        .passed()?;
    let run = scene.start(&daemon, "place/mounted/file", "")?;
    scene.inside("cat place/mounted/name")?.failed_with(EIO)?;
    scene
        .inside("cat place/mounted/other place/deep/file")?
        .passed()?;
    drop(run.revert()?);
    let run = scene.start(&daemon, "place/mounted", "")?;
    scene.inside("cat place/mounted/d/f")?.failed_with(EIO)?;
    scene.inside("cat place/deep/file")?.passed()?;
    drop(run.revert()?);
    // What is mounted below is another file system.
    let run = scene.start(&daemon, "place", "")?;
    scene.inside("cat place/deep/file")?.failed_with(EIO)?;
    scene.inside("cat place/mounted/d/f")?.passed()?;
    drop(run.revert()?);
    drop(mounted);
    Ok(())
}

#[test]
fn one_process_is_hit_and_not_its_children() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let script = "while read go; do read x < place/deep/file && echo ok || echo failed; done";
    let mut shell = Waiting::start(&mut scene.command(script))?;
    ensure!(shell.go()? == "ok");
    let pid = shell.0.id().to_string();
    let run = scene.aimed(&daemon, "place", "", &["--pid", &pid])?;
    ensure!(shell.go()? == "failed", "{:?}", run.report()?);
    scene.inside("cat place/deep/file")?.passed()?;
    drop(run.revert()?);
    ensure!(shell.go()? == "ok");
    let ours = daemon.pid().to_string();
    let path = scene.path("place").display().to_string();
    let words = ["inject", "disk-error", "--path", &path, "--pid", &ours];
    let output = daemon.cli(words)?;
    ensure!(output.stderr.contains("is spared"), "{output:?}");
    Ok(())
}

#[test]
fn a_whole_host_is_hit_but_for_what_has_to_end_it() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let run = scene.aimed(&daemon, "place", "--operation read", &["--host"])?;
    scene.outside("cat place/deep/file")?.failed_with(EIO)?;
    scene.inside("cat place/deep/file")?.failed_with(EIO)?;
    // chaosd runs below this process.
    ensure!(std::fs::read(scene.path("place/deep/file")).is_ok());
    // And it knows whom it is to spare when it was just born.
    let sshd = "cp \"$(command -v cat)\" sshd && ./sshd place/deep/file";
    scene.outside(sshd)?.passed()?;
    drop(run.revert()?);
    scene.outside("cat place/deep/file")?.passed()
}

#[test]
fn it_comes_and_goes_with_a_pulse_and_grows_with_a_ramp() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let fails = || scene.inside("cat place/deep/file").is_ok_and(|did| !did.ok);
    let run = scene.start(&daemon, "place", "--pulse-on 1s --pulse-off 1s")?;
    for wanted in [true, false, true] {
        ensure!(
            wait_until(LONG, || fails() == wanted),
            "{:?}",
            run.report()?
        );
    }
    drop(run.revert()?);
    let run = scene.start(&daemon, "place", "--ramp 30s")?;
    ensure!((0..5).any(|_| !fails()), "at once: {:?}", run.report()?);
    drop(run.revert()?);
    Ok(())
}

#[test]
fn two_faults_of_one_place_both_act() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let first = scene.start(&daemon, "place", "--operation read")?;
    let second = scene.start(&daemon, "place", "--operation write,read --errno erofs")?;
    scene.inside("cat place/deep/file")?.failed_with("cat: ")?;
    scene.inside("echo x >> place/deep/file")?.failed_with("")?;
    drop(first.revert()?);
    scene.inside("cat place/deep/file")?.failed_with(EROFS)?;
    drop(second.revert()?);
    scene.inside("cat place/deep/file")?.passed()
}

/// Fails unless files can be read again soon; how long it took.
fn is_over(scene: &crate::file_scene::Scene, what: &str) -> Result<()> {
    let since = std::time::Instant::now();
    let passes = || scene.inside("cat place/deep/file").is_ok_and(|did| did.ok);
    ensure!(wait_until(LONG, passes), "{what}: reads fail still");
    println!("{what}: reads pass after {:?}", since.elapsed());
    Ok(())
}

#[test]
fn it_ends_with_chaosd_and_when_chaosd_is_late() -> Result<()> {
    let scene = scene!();
    let armed = || -> Result<Daemon> {
        let daemon = Daemon::start(&Options::default())?;
        let _run: Run = scene.start(&daemon, "place", "")?;
        scene.inside("cat place/deep/file")?.failed_with(EIO)?;
        Ok(daemon)
    };
    let daemon = armed()?;
    daemon.kill(Signal::SIGKILL)?;
    is_over(&scene, "daemon killed")?;
    drop(daemon);

    let daemon = armed()?;
    nix::sys::signal::kill(daemon.watchdog()?, Signal::SIGKILL)?;
    daemon.kill(Signal::SIGKILL)?;
    is_over(&scene, "both killed")?;
    drop(daemon);

    let daemon = armed()?;
    daemon.kill(Signal::SIGSTOP)?;
    is_over(&scene, "daemon stopped")?;
    daemon.kill(Signal::SIGCONT)?;
    drop(daemon);

    // Another watchdog takes over, and the fault stays.
    let daemon = armed()?;
    let old = daemon.watchdog()?;
    nix::sys::signal::kill(old, Signal::SIGKILL)?;
    let replaced = || {
        daemon
            .watchdog()
            .is_ok_and(|new| new != old && new.as_raw() > 0)
    };
    ensure!(wait_until(LONG, replaced), "{}", daemon.log());
    scene.inside("cat place/deep/file")?.failed_with(EIO)?;
    let output = daemon.cli(["revert", "--all"])?;
    ensure!(output.status == Some(0), "{output:?}");
    is_over(&scene, "reverted")
}

#[test]
fn it_ends_at_its_time() -> Result<()> {
    let scene = scene!();
    let daemon = Daemon::start(&Options::default())?;
    let run = scene.start(&daemon, "place", "--for 1s")?;
    ensure!(wait_until(LONG, || run.is_over()), "{:?}", run.report()?);
    scene.inside("cat place/deep/file")?.passed()
}
