//! What an experiment needs of this machine, besides what its faults need: told before anything is
//! touched. Looks, changes nothing.

use std::{
    fmt,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::probe::pressure_file;
use crate::profile::{AbortOn, Experiment, ProbeKind, SHELL};

/// All that is missing; never empty.
#[derive(Debug)]
pub struct Unready(pub Vec<String>);

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Unready {}

/// Fails with all that is missing for its probes and its load.
pub fn ready(experiment: &Experiment) -> Result<(), Unready> {
    let mut missing = Vec::new();
    if let Err(why) = words(&experiment.load) {
        missing.push(format!("load: {why}"));
    }
    let steady = experiment.steady_state.iter();
    for probe in steady {
        if let Err(why) = kind(&probe.kind) {
            missing.push(format!("probe {}: {why}", probe.name));
        }
    }
    for twin in experiment
        .control
        .iter()
        .flat_map(|control| &control.probes)
    {
        if let Err(why) = kind(&twin.kind) {
            missing.push(format!("probe {} on the control: {why}", twin.name));
        }
    }
    for abort in &experiment.abort_when {
        if let AbortOn::Fails(probe) | AbortOn::Comes(probe) = &abort.on
            && let Err(why) = kind(&probe.kind)
        {
            missing.push(format!("abort-when {}: {why}", probe.name));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Unready(missing))
    }
}

fn kind(kind: &ProbeKind) -> Result<(), String> {
    match kind {
        ProbeKind::Command { run, .. } => words(run),
        ProbeKind::Log { file, .. } => readable(file),
        ProbeKind::Psi {
            cgroup, resource, ..
        } => readable(&pressure_file(cgroup.as_deref(), *resource)?),
        _ => Ok(()),
    }
}

fn readable(file: &Path) -> Result<(), String> {
    let told = |error| format!("{} cannot be read: {error}", file.display());
    let metadata = fs::metadata(file).map_err(told)?;
    if metadata.is_dir() {
        return Err(format!("{} is a directory", file.display()));
    }
    // A FIFO would be waited for (open(2)).
    if !metadata.is_file() {
        return Err(format!("{} is no regular file", file.display()));
    }
    File::open(file).map(drop).map_err(told)
}

/// The program of a command is there. Of a shell's line, its first word, when that is a plain one.
fn words(words: &[String]) -> Result<(), String> {
    let Some(program) = words.first() else {
        return Ok(());
    };
    if let [shell, flag, line] = words
        && shell == SHELL
        && flag == "-c"
    {
        let first = line.split_whitespace().next().unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        // What is no path may be a word of the shell.
        if first.contains('/') && first.chars().all(plain) {
            return found(first);
        }
        return Ok(());
    }
    found(program)
}

fn found(program: &str) -> Result<(), String> {
    if program.contains('/') {
        if executable(Path::new(program)) {
            return Ok(());
        }
        return Err(format!("{program} is not there, or cannot be executed"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|dir: PathBuf| dir.join(program));
    if places.any(|place| executable(&place)) {
        return Ok(());
    }
    Err(format!("there is no {program} in PATH"))
}

fn executable(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_where_it_would_be_started() {
        let of = |line: &[&str]| {
            let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            words(&line)
        };
        assert_eq!(of(&["sh", "-c", "x"]), Ok(()));
        assert_eq!(of(&[SHELL, "-c", "type x; /no/such"]), Ok(()));
        assert_eq!(of(&[SHELL, "-c", "a=1 ./check"]), Ok(()));
        let missing = "/no/such is not there, or cannot be executed";
        assert_eq!(of(&[SHELL, "-c", "/no/such --now"]), Err(missing.into()));
        assert_eq!(of(&["/no/such"]), Err(missing.into()));
        assert!(of(&["/proc/version"]).is_err());
        assert_eq!(
            of(&["no-such-tool"]),
            Err("there is no no-such-tool in PATH".into())
        );
    }

    #[test]
    fn a_log_that_would_be_waited_for_is_refused() {
        let fifo = std::env::temp_dir().join(format!("chaosd-fifo-{}", std::process::id()));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).expect("a name of ours");
        let told = readable(&fifo);
        fs::remove_file(&fifo).expect("it is there");
        assert_eq!(told, Err(format!("{} is no regular file", fifo.display())));
        assert!(readable(&std::env::temp_dir()).is_err());
        assert_eq!(readable(Path::new("/proc/loadavg")), Ok(()));
    }
}
