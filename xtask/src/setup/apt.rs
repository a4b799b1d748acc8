//! An apt of our own: it fetches from the mirrors that this machine is already configured with,
//! and keeps every file of its own in one directory, so that the machine's apt is not changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt whose every file lies in one directory.
pub struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Starts in `dir`, emptied, with these archives: the address of a mirror and a suite of it.
    pub fn new(dir: &Path, archives: &[(&str, &str)]) -> Result<Self> {
        // What an interrupted run left would be taken for this run's.
        if dir.exists() {
            std::fs::remove_dir_all(dir)
                .with_context(|| format!("failed to remove {}", dir.display()))?;
        }
        for part in [
            "etc",
            "state/lists/partial",
            "cache/archives/partial",
            "debs",
        ] {
            create_dir(&dir.join(part))?;
        }
        let sources: Vec<_> = archives
            .iter()
            .map(|(mirror, suite)| {
                format!(
                    "deb [signed-by={KEYRING}] {mirror} {suite} main
"
                )
            })
            .collect();
        write(&dir.join("etc/sources.list"), &sources.concat())?;
        write(&dir.join("state/status"), "")?;
        Ok(Self {
            dir: dir.to_path_buf(),
        })
    }

    /// Fetches the lists of packages.
    pub fn update(&self) -> Result<()> {
        // A list that cannot be fetched is only a warning to apt, unless asked.
        self.run("apt-get", &["update", "--error-on=any"]).map(drop)
    }

    /// Asks about the packages in the lists.
    pub fn cache(&self, args: &[&str]) -> Result<String> {
        self.run("apt-cache", args)
    }

    /// Downloads packages, and returns their archives in no particular order.
    pub fn download(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        self.run("apt-get", &[&["download"], packages].concat())?;
        let debs = self.dir.join("debs");
        let read = || format!("failed to read {}", debs.display());
        let archives = std::fs::read_dir(&debs)
            .with_context(read)?
            .map(|entry| Ok(entry.with_context(read)?.path()))
            .collect::<Result<Vec<_>>>()?;
        if archives.len() < packages.len() {
            bail!("apt-get download brought only {} files", archives.len());
        }
        Ok(archives)
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let dir = self.dir.display();
        let mut command = Command::new(program);
        command.current_dir(self.dir.join("debs")).arg("-q");
        for option in [
            format!("Dir::Etc::sourcelist={dir}/etc/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={dir}/state"),
            format!("Dir::State::status={dir}/state/status"),
            format!("Dir::Cache={dir}/cache"),
            // apt's own user may not reach a checkout in somebody's home.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        step::output(command.args(args))
    }
}

/// Unpacks a package's files below `destination`.
pub fn unpack(archive: &Path, destination: &Path) -> Result<()> {
    step::output(Command::new("dpkg").arg("-x").arg(archive).arg(destination)).map(drop)
}

/// The Debian archives that this machine's apt uses.
pub struct Mirrors {
    pub main: String,
    /// Security updates; not every machine has them configured.
    pub security: Option<String>,
}

impl Mirrors {
    /// Reads apt's configuration.
    pub fn find() -> Result<Self> {
        let mut targets = targets()?;
        if labelled(&targets, "Debian").is_none() && super::is_root() {
            // Targets are listed only once their index has been fetched.
            step::output(Command::new("apt-get").args(["-q", "update"]))?;
            targets = self::targets()?;
        }
        match labelled(&targets, "Debian") {
            Some(main) => Ok(Self {
                main: main.to_owned(),
                security: labelled(&targets, "Debian-Security").map(str::to_owned),
            }),
            None => bail!("apt is configured with no Debian mirror"),
        }
    }
}

fn targets() -> Result<String> {
    step::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
    ]))
}

/// The label tells the main archive from the security archive.
fn labelled<'a>(targets: &'a str, label: &str) -> Option<&'a str> {
    targets
        .lines()
        .find_map(|line| line.strip_prefix(&format!("Debian|{label}|")))
}

fn create_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("failed to create {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::labelled;

    #[test]
    fn the_main_archive_and_the_security_archive_are_told_apart() {
        let targets =
            "Google|Google|http://a/\nDebian|Debian-Security|http://b/\nDebian|Debian|http://c/\n";
        assert_eq!(labelled(targets, "Debian"), Some("http://c/"));
        assert_eq!(labelled(targets, "Debian-Security"), Some("http://b/"));
        assert_eq!(labelled("", "Debian"), None);
    }
}
