//! `chaosd hook install`: the file by which runtimes find the hook, on a machine and from a container on it.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::{Instance, run, skip};

/// Makes a root directory for the machine and one for a container on it, with what a program needs that asks
/// for libraries; then the machine's first process goes on with the other script.
const MACHINE: &str = r#"
mount -t tmpfs none "$1"
for root in "$1" "$1/container"; do
    mkdir -p "$root/usr" "$root/proc"
    mount --bind /usr "$root/usr"
    mount -t proc proc "$root/proc"
    for link in bin lib lib64; do
        if [ -L "/$link" ]; then cp -P "/$link" "$root/$link"; fi
    done
done
touch "$1/container/chaosd"
mount --bind "$2" "$1/container/chaosd"
mkdir -p "$1/var/opt"
ln -s /var/opt "$1/opt"
exec chroot "$1" /bin/sh -uc "$3"
"#;

/// What is done there. Whoever reads along tells the steps by their headings.
const STEPS: &str = r#"
hook() { chroot /container /chaosd hook "$@" --dir /hooks.d 2>&1; echo "code $?"; }
echo '# refused'; hook install; hook uninstall; ls -d /hooks.d /container/hooks.d /container/opt
echo '# wrote'; hook install --root /proc/1/root
echo '# file'; cat /hooks.d/chaosd.json
echo '# copy'; /opt/chaosd/bin/chaosd --version; ls -A /var/opt/chaosd/bin; ls -d /container/opt /container/var
echo '# again'; hook install --root /proc/1/root
echo '# removed'; hook uninstall --root /proc/1/root; ls -A /hooks.d /var/opt
mount -t tmpfs -o noexec none /var/opt
echo '# noexec'; hook install --root /proc/1/root; ls -A /hooks.d /var/opt/chaosd/bin
true
"#;

#[test]
fn a_container_installs_the_hook_on_its_machine_and_never_in_itself() -> Result<()> {
    if !std::path::Path::new("/bin").is_symlink() {
        skip!(Ok(()), "/bin is no link to /usr/bin");
    }
    let instance = Instance::new()?;
    let place = instance.file("mark", "")?.with_file_name("machine");
    std::fs::create_dir(&place)?;
    let (place, command) = (place.display().to_string(), instance.command()?);
    let program = command.get_program().to_str().context("no plain name")?;
    let unshared = ["--mount", "--pid", "--fork", "sh", "-euc", MACHINE, "sh"];
    let words = [&unshared[..], &[&place, program, STEPS]].concat();
    let said = run("unshare", &words)?;
    let step = |name: &str| -> Result<&str> {
        let heading = format!("# {name}\n");
        let (_, rest) = said.split_once(&heading).context(said.clone())?;
        Ok(rest.split("\n# ").next().unwrap_or_default())
    };
    let refused = step("refused")?;
    ensure!(refused.matches("code 2").count() == 2, "{said}");
    ensure!(
        refused
            .matches("--root /proc/1/root does it on the machine")
            .count()
            == 2,
        "{said}"
    );
    ensure!(!refused.lines().any(|line| line.starts_with('/')), "{said}");

    let wrote = step("wrote")?;
    ensure!(wrote.contains("wrote /opt/chaosd/bin/chaosd\n"), "{said}");
    ensure!(wrote.contains("wrote /hooks.d/chaosd.json\n"), "{said}");
    ensure!(wrote.ends_with("code 0"), "{said}");
    let file: Value = serde_json::from_str(step("file")?)?;
    ensure!(file["hook"]["path"] == "/opt/chaosd/bin/chaosd", "{file}");
    let copy: Vec<&str> = step("copy")?.lines().collect();
    ensure!(copy.len() == 2 && copy[0].starts_with("chaosd "), "{said}");
    ensure!(copy[1] == "chaosd", "a link led out of the root: {said}");

    ensure!(
        step("again")?.matches(" is there already").count() == 2,
        "{said}"
    );
    let removed = step("removed")?;
    ensure!(removed.contains("removed /hooks.d/chaosd.json"), "{said}");
    ensure!(removed.contains("removed /opt/chaosd/bin/chaosd"), "{said}");
    ensure!(
        removed.ends_with("code 0\n/hooks.d:\n\n/var/opt:"),
        "{said}"
    );

    let noexec = step("noexec")?;
    ensure!(
        noexec.contains("does not start there, and was not installed"),
        "{said}"
    );
    ensure!(!noexec.contains("code 0"), "{said}");
    ensure!(
        noexec
            .trim_end()
            .ends_with("/hooks.d:\n\n/var/opt/chaosd/bin:"),
        "{said}"
    );
    Ok(())
}

#[test]
fn the_hook_is_installed_once_and_taken_away_once() -> Result<()> {
    let instance = Instance::new()?;
    let dir = instance.file("mark", "")?.with_file_name("hooks.d");
    let dir = dir.display().to_string();
    let cli = |verb: &str| instance.cli(["hook", verb, "--dir", &dir]);
    let said = cli("install")?;
    ensure!(
        said.status == Some(0) && said.stdout.contains("wrote "),
        "{said:?}"
    );
    for word in [
        "--annotation chaosd.profile",
        "pod_annotations",
        "CRI-O",
        "docker",
    ] {
        ensure!(said.stdout.contains(word), "{word}: {said:?}");
    }
    let file = format!("{dir}/chaosd.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let path = document["hook"]["path"].as_str().context("no path")?;
    ensure!(
        Command::new(path)
            .arg("--version")
            .output()?
            .status
            .success()
    );
    let args = document["hook"]["args"].to_string();
    ensure!(args.contains("--socket"), "the socket is another: {args}");
    ensure!(cli("install")?.stdout.contains("is there already"));
    ensure!(cli("uninstall")?.stdout.contains("removed "));
    ensure!(cli("uninstall")?.stdout.contains("is not there"));
    std::fs::write(&file, "{}")?;
    for verb in ["install", "uninstall"] {
        let said = cli(verb)?;
        ensure!(said.status == Some(2), "{said:?}");
        ensure!(said.stderr.contains("not a file of chaosd's"), "{said:?}");
    }
    ensure!(std::fs::read_to_string(&file)? == "{}");
    Ok(())
}
