//! `shutdown`: the host is switched off, or starts anew, after it was announced.
//!
//! Nothing happens until its notice is over, so that a revert calls it off; and nothing at all unless
//! a file of the host's configuration allows it.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use crate::{
    plan::Scope,
    process::Stat,
    profile::{PowerAction, Shutdown},
    report::Verdict,
    sys::power::{self, Power},
    undo::RevertReport,
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault};

/// Is there, is root's, and nobody else may write it: then this host may be shut down.
pub const ALLOWED: &str = "/etc/chaosd/allow-shutdown";
/// systemd runs (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";
/// A chaosd that stood still for so long could not be told to call it off (its watchdog takes it for
/// late, too).
const LATE: Duration = Duration::from_secs(2);
const WRITABLE_BY_OTHERS: u32 = 0o022;

impl Shutdown {
    fn power(self) -> Power {
        match self.action {
            PowerAction::PowerOff => Power::Off,
            PowerAction::Reboot => Power::Reboot,
        }
    }

    fn verb(self) -> &'static str {
        match self.action {
            PowerAction::PowerOff => "powers off",
            PowerAction::Reboot => "reboots",
        }
    }
}

impl ResourceFault for Shutdown {
    fn what(&self) -> String {
        let notice = humantime::format_duration(self.notice);
        format!("{} the host, {notice} after it begins", self.verb())
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        if scope.cgroup.is_some() || scope.pid.is_some() {
            return Err(BindError(
                "shutdown stops the whole host: target the host (--host)".into(),
            ));
        }
        allowed(Path::new(ALLOWED)).map_err(BindError)?;
        let first = Stat::read(1).map(|stat| stat.who.name);
        Ok(Arc::new(Switch {
            asked: *self,
            systemd: Path::new(SYSTEMD).is_dir() && first.is_ok_and(|name| name == "systemd"),
        }))
    }
}

/// Whether this host may be shut down; else what is to be done about it.
fn allowed(file: &Path) -> Result<(), String> {
    let file_said = file.display();
    let metadata = fs::symlink_metadata(file).map_err(|_| {
        format!(
            "this host does not let chaosd shut it down: create {file_said} as root to allow it"
        )
    })?;
    let of_root = metadata.is_file() && metadata.uid() == 0;
    if of_root && metadata.mode() & WRITABLE_BY_OTHERS == 0 {
        Ok(())
    } else {
        Err(format!(
            "{file_said} is to be a file of root's that nobody else may write: only then it allows a shutdown"
        ))
    }
}

#[derive(Debug)]
struct Switch {
    asked: Shutdown,
    systemd: bool,
}

impl Bound for Switch {
    fn mechanism(&self) -> String {
        if self.systemd {
            "systemd is asked, which stops all services first".into()
        } else {
            "sync(2) and reboot(2), at once, for the first process is not systemd".into()
        }
    }

    fn undo(&self) -> String {
        "a revert before its notice is over calls it off; none after that".into()
    }

    fn notes(&self) -> Vec<String> {
        vec![
            "is announced on the console and on all terminals".into(),
            "is called off when the run ends before its notice is over".into(),
        ]
    }

    fn claims(&self) -> Vec<String> {
        vec!["the host's power".into()]
    }

    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError> {
        Ok(Box::new(Switching {
            asked: self.asked,
            systemd: self.systemd,
            run: run_of(host.owner()).to_owned(),
            due: None,
            left: self.asked.notice,
            under_way: false,
            late: false,
            failed: Arc::default(),
        }))
    }
}

/// `run-r-1234-0` belongs to `r-1234`.
fn run_of(owner: &str) -> &str {
    let run = owner.strip_prefix("run-").unwrap_or(owner);
    run.rsplit_once('-').map_or(run, |(run, _)| run)
}

struct Switching {
    asked: Shutdown,
    systemd: bool,
    run: String,
    /// Since the run began; it is announced.
    due: Option<Duration>,
    left: Duration,
    under_way: bool,
    /// It missed its moment, and is called off.
    late: bool,
    /// What the kernel answered.
    failed: Arc<Mutex<Option<String>>>,
}

impl Switching {
    fn failure(&self) -> Option<String> {
        let failed = self.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn go(&mut self) -> Result<(), ActError> {
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| ActError::Refused {
            what: "shut the host down".into(),
            source,
        };
        // Somebody may have thought better of it.
        allowed(Path::new(ALLOWED)).map_err(|why| refused(why.into()))?;
        self.under_way = true;
        announce(&format!("this host {} now", self.asked.verb()));
        let power = self.asked.power();
        if self.systemd {
            return power::ask_systemd(power).map_err(|e| refused(e.into()));
        }
        let failed = Arc::clone(&self.failed);
        // What is to be written may take longer than the engine may be silent.
        let thread = thread::Builder::new().name("chaosd-power".into());
        let stops = move || {
            let error = power::stop(power);
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        };
        thread.spawn(stops).map_err(|e| refused(e.into()))?;
        Ok(())
    }
}

impl Acting for Switching {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if let Some(why) = self.failure() {
            return Err(ActError::Refused {
                what: "shut the host down".into(),
                source: why.into(),
            });
        }
        if self.under_way || self.late {
            return Ok(None);
        }
        if now.intensity <= 0.0 {
            self.call_off();
            return Ok(None);
        }
        let due = if let Some(due) = self.due {
            due
        } else {
            announce(&format!(
                "this host {} in {} (run {id}; to call it off: chaosd revert {id})",
                self.asked.verb(),
                humantime::format_duration(self.asked.notice),
                id = self.run
            ));
            *self.due.insert(now.since + self.asked.notice)
        };
        if now.since > due + LATE {
            // Whoever wanted to call it off meanwhile was not heard.
            self.call_off();
            self.late = true;
            return Ok(None);
        }
        self.left = due.saturating_sub(now.since);
        if self.left.is_zero() {
            self.go()?;
        }
        Ok(Some(self.left))
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let verb = self.asked.verb();
        let told = match (self.failure(), self.under_way, self.due) {
            (Some(why), ..) => format!("could not stop the host, which goes on: {why}"),
            (None, true, _) => format!("{verb} the host now"),
            (None, false, Some(_)) => {
                let left = Duration::from_secs(self.left.as_secs() + 1);
                let left = humantime::format_duration(left);
                format!("{verb} the host in {left}, unless this run ends before")
            }
            (None, false, None) if self.late => {
                "lets the host go on, for chaosd stood still when it was to stop".into()
            }
            (None, false, None) => "lets the host go on".into(),
        };
        let effect = Effect {
            told,
            asked: None,
            reached: None,
            unit: String::new(),
        };
        let verdict = if self.under_way && self.failure().is_none() {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }

    fn end(mut self: Box<Self>) -> RevertReport {
        self.call_off();
        RevertReport::default()
    }
}

impl Switching {
    /// Before its notice is over.
    fn call_off(&mut self) {
        if !self.under_way && self.due.take().is_some() {
            self.left = self.asked.notice;
            announce(&format!("called off: this host goes on (run {})", self.run));
        }
    }
}

/// To the console, to every terminal, and to the log. One that does not take it is left out.
fn announce(words: &str) {
    tracing::warn!("{words}");
    let text = format!("\r\nchaosd: {words}\r\n");
    for terminal in terminals() {
        let mut options = OpenOptions::new();
        let options = options.write(true);
        let open = options
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(terminal);
        if let Ok(mut terminal) = open {
            let _may_be_full = terminal.write_all(text.as_bytes());
        }
    }
}

fn terminals() -> Vec<PathBuf> {
    let entries = fs::read_dir("/dev/pts").into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let numbered = name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        numbered && fs::metadata(path).is_ok_and(|found| found.file_type().is_char_device())
    };
    let numbered = entries.map(|entry| entry.path()).filter(is_one);
    [PathBuf::from("/dev/console")]
        .into_iter()
        .chain(numbered)
        .collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_a_file_of_root_s_allows_it() {
        let path = std::env::temp_dir().join(format!("chaosd-allow-{}", std::process::id()));
        let said = allowed(&path).unwrap_err();
        assert!(said.contains("create"), "{said}");
        fs::write(&path, "").unwrap();
        let with = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            allowed(&path)
        };
        let [closed, open] = [0o644, 0o666].map(with);
        fs::remove_file(&path).unwrap();
        assert!(closed.is_ok(), "{closed:?}");
        assert!(open.unwrap_err().contains("nobody else may write"));
    }

    #[test]
    fn its_run_is_named_as_users_know_it() {
        assert_eq!(run_of("run-r-12ab34cd-0"), "r-12ab34cd");
    }
}
