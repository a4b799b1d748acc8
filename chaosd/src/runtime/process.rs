//! Processes by name, as /proc has them.

use std::fs;

use crate::{
    alike::nearest,
    cgroup,
    process::{self, Stat},
    profile::Pattern,
};

use super::{Member, RuntimeError, placing};

/// Every process of that name whose command line has `args` in it, but for chaosd itself and the kernel's
/// threads.
pub(super) fn find(name: &Pattern, args: Option<&str>) -> Result<Vec<Member>, RuntimeError> {
    let all = process::all().map_err(RuntimeError::Processes)?;
    let own = std::process::id();
    let candidates: Vec<Stat> = all
        .into_iter()
        .filter(|stat| !stat.kernel && stat.who.pid != own)
        .collect();
    let found: Vec<Member> = candidates
        .iter()
        .filter(|stat| is_called(stat, name))
        .filter(|stat| args.is_none_or(|args| command_line(stat.who.pid).contains(args)))
        .filter_map(member)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let asked = match args {
        Some(args) => format!("process {name} with {args:?}"),
        None => format!("process {name}"),
    };
    let typed = name.to_string();
    let names = candidates.iter().map(|stat| stat.who.name.as_str());
    // The very name is no hint: it is the arguments that nothing has.
    let nearest = nearest(&typed, names.filter(|other| *other != typed));
    Err(RuntimeError::NoProcess { asked, nearest })
}

fn is_called(stat: &Stat, name: &Pattern) -> bool {
    let program = || process::program(stat.who.pid);
    name.fits(&stat.who.name) || program().is_some_and(|program| name.fits(&program))
}

/// Its arguments, joined by blanks.
fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&line).replace('\0', " ");
    text.trim_end().to_owned()
}

/// `None`: it ended meanwhile.
fn member(stat: &Stat) -> Option<Member> {
    let pid = i32::try_from(stat.who.pid).ok()?;
    let line = placing::unified_line(pid)?;
    let mut member = Member {
        label: format!("process {} (pid {pid})", stat.who.name),
        id: format!("{pid}:{}", stat.who.started),
        runtime: "proc".to_owned(),
        ..Member::default()
    };
    let own = (line != "/")
        .then(|| cgroup::unified().ok())
        .flatten()
        .map(|tree| tree.join(line.trim_start_matches('/')))
        .filter(|dir| dir.is_dir());
    member.cgroups.extend(own);
    placing::network(&mut member, pid);
    stat.who.stat()?;
    Some(member)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A sleeping child that goes with the guard.
    struct Sleeper(Child);

    impl Sleeper {
        fn new(seconds: &str) -> Self {
            Self(Command::new("sleep").arg(seconds).spawn().unwrap())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn arguments_tell_processes_of_one_name_apart() {
        let (one, other) = (Sleeper::new("86411"), Sleeper::new("86412"));
        let found = find(&Pattern::new("sleep"), Some("86411")).unwrap();
        let pids: Vec<_> = found.iter().map(|member| member.pid).collect();
        assert_eq!(pids, [i32::try_from(one.0.id()).ok()]);
        assert!(
            found[0].label.starts_with("process sleep (pid "),
            "{found:?}"
        );
        let both = find(&Pattern::new("sleep"), Some("8641")).unwrap();
        let other = i32::try_from(other.0.id()).ok();
        assert!(both.len() >= 2 && both.iter().any(|member| member.pid == other));
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest_name() {
        let _sleeper = Sleeper::new("86413");
        let error = find(&Pattern::new("slepe"), None).unwrap_err().to_string();
        assert!(error.starts_with("there is no process slepe"), "{error}");
        assert!(error.contains("sleep"), "{error}");
    }

    #[test]
    fn chaosd_itself_is_not_among_them() {
        let me = Stat::read(std::process::id()).unwrap().who;
        let found = find(&Pattern::new(&me.name), None);
        let pid = i32::try_from(me.pid).ok();
        assert!(found.is_err() || found.is_ok_and(|all| all.iter().all(|m| m.pid != pid)));
    }
}
