//! `process`: signals for processes.
//!
//! A process is found anew each time, told by its number and its start, and hit through a pidfd: what
//! takes its number meanwhile is never hit. Those that SIGSTOP stops are in the journal before they
//! are stopped, and go on at the end; those that were stopped by others stay so.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chaosd_ebpf::{STEP, mix};
use nix::sys::signal::Signal;

use crate::{
    plan::{Cgroup, Scope},
    process::{self, Identity, Spared, Stat},
    profile::{Process, Which, signal_name},
    report::Verdict,
    txn::Applied,
    undo::{RevertReport, Stopped, Undo},
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault};

/// Processes that are written out; the rest are counted.
const SHOWN: usize = 3;

impl ResourceFault for Process {
    fn what(&self) -> String {
        let which = match (&self.which, self.count) {
            (Which::All {}, None) => "every process of the target".to_owned(),
            (Which::All {}, Some(_)) => "the target's processes".to_owned(),
            (Which::Match(pattern), None) => format!("processes named {pattern}"),
            (Which::Match(pattern), Some(_)) => format!("the processes named {pattern}"),
            (Which::Pid(pid), _) => format!("process {pid}"),
        };
        let count = self
            .count
            .map_or_else(String::new, |count| format!("{count} of "));
        let every = self.every.map_or_else(String::new, |every| {
            format!(", every {}", humantime::format_duration(every))
        });
        format!(
            "sends {} to {count}{which}{every}",
            signal_name(self.signal)
        )
    }

    fn bind(&self, scope: &Scope, seed: u64) -> Result<Arc<dyn Bound>, BindError> {
        let among = if let Some(pid) = scope.pid {
            Among::Process(u32::try_from(pid).unwrap_or_default())
        } else if let Some(cgroup) = &scope.cgroup {
            Among::Cgroup(cgroup.clone())
        } else if self.which == (Which::All {}) {
            return Err(BindError(
                "process without match and pid would hit every process of this host: give a name (--match), or a cgroup as its target".into(),
            ));
        } else {
            Among::Host
        };
        let found = Finder {
            asked: self.clone(),
            among,
        };
        let (hit, spared) = found.look().map_err(BindError)?;
        if let (Which::Pid(pid), [], []) = (&self.which, &hit[..], &spared[..]) {
            return Err(BindError(format!(
                "process {pid} is not there, or not of this target; `pgrep -a NAME` lists those that run"
            )));
        }
        if let (Among::Process(pid), Which::Match(pattern), [], []) =
            (&found.among, &self.which, &hit[..], &spared[..])
        {
            return Err(BindError(format!(
                "the target, process {pid}, is not named {pattern}: leave match out, or target what it is in (--cgroup)"
            )));
        }
        if let ([], [(stat, why), ..]) = (&hit[..], &spared[..]) {
            return Err(BindError(format!(
                "process {} is spared: {why}; hit another",
                stat.who
            )));
        }
        Ok(Arc::new(Signals {
            now: hit.into_iter().map(|stat| stat.who).collect(),
            spared: spared
                .into_iter()
                .map(|(stat, why)| (stat.who, why))
                .collect(),
            finder: found,
            seed,
        }))
    }
}

/// Where to look.
#[derive(Clone, Debug)]
enum Among {
    Host,
    Cgroup(Cgroup),
    /// The target is this one.
    Process(u32),
}

#[derive(Clone, Debug)]
struct Finder {
    asked: Process,
    among: Among,
}

type Found = (Vec<Stat>, Vec<(Stat, &'static str)>);

impl Finder {
    /// Who is hit now, and who would be and is spared.
    fn look(&self) -> Result<Found, String> {
        let all = process::all().map_err(|e| format!("failed to list the processes: {e}"))?;
        let spared = Spared::among(&all);
        let of_target = match &self.among {
            Among::Host => all,
            Among::Cgroup(cgroup) => process::of_cgroup(cgroup).map_err(|e| e.to_string())?,
            Among::Process(pid) => all.into_iter().filter(|s| s.who.pid == *pid).collect(),
        };
        let (mut hit, mut not) = (Vec::new(), Vec::new());
        for stat in of_target.into_iter().filter(|stat| self.is_meant(stat)) {
            match spared.why(&stat) {
                None => hit.push(stat),
                // A pattern of a whole host meets many a thread of the kernel's.
                Some(_) if stat.kernel && !self.names_one() => {}
                Some(why) => not.push((stat, why)),
            }
        }
        Ok((hit, not))
    }

    /// Somebody has chosen that very process.
    fn names_one(&self) -> bool {
        matches!(self.asked.which, Which::Pid(_)) || matches!(self.among, Among::Process(_))
    }

    fn is_meant(&self, stat: &Stat) -> bool {
        match &self.asked.which {
            Which::All {} => true,
            Which::Match(pattern) => {
                pattern.fits(&stat.who.name)
                    || process::program(stat.who.pid).is_some_and(|name| pattern.fits(&name))
            }
            Which::Pid(pid) => i32::try_from(stat.who.pid) == Ok(*pid),
        }
    }
}

/// The fault on this host.
#[derive(Debug)]
struct Signals {
    finder: Finder,
    now: Vec<Identity>,
    spared: Vec<(Identity, &'static str)>,
    seed: u64,
}

impl Bound for Signals {
    fn is_on_one_process(&self) -> bool {
        matches!(self.finder.among, Among::Process(_))
    }

    fn mechanism(&self) -> String {
        format!(
            "pidfd_send_signal; now: {}",
            if self.now.is_empty() {
                "nobody".to_owned()
            } else {
                some(&self.now)
            }
        )
    }

    fn undo(&self) -> String {
        if stops(self.finder.asked.signal) {
            "SIGCONT to those that it stopped".into()
        } else {
            "none: a signal cannot be taken back".into()
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .spared
            .iter()
            .take(SHOWN)
            .map(|(who, why)| format!("spares process {who}: {why}"))
            .collect();
        if self.now.is_empty() {
            notes.push("meets no process now; those that come are hit".into());
        }
        if matches!(self.finder.asked.signal, Signal::SIGKILL | Signal::SIGTERM) {
            notes.push(
                "ends processes for good: whoever watches over them starts them again, or nobody"
                    .into(),
            );
        }
        notes
    }

    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError> {
        Ok(Box::new(Signalling {
            finder: self.finder.clone(),
            dice: self.seed,
            host,
            next: Duration::ZERO,
            done: false,
            sent: 0,
            last: None,
            met: false,
            stopped: Vec::new(),
            hit: BTreeSet::new(),
        }))
    }
}

/// The fault in force.
struct Signalling {
    finder: Finder,
    dice: u64,
    host: Host,
    /// When it sends again.
    next: Duration,
    /// It has sent all that it was to.
    done: bool,
    sent: u64,
    last: Option<Identity>,
    met: bool,
    stopped: Vec<Applied>,
    /// Those that are stopped, so that nobody is twice.
    hit: BTreeSet<(u32, u64)>,
}

/// Signals by which a process stands still, until SIGCONT (signal(7)); one that catches the last three
/// takes no harm from that.
fn stops(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SIGSTOP | Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU
    )
}

impl Signalling {
    fn send(&mut self) -> Result<(), ActError> {
        let (mut hit, _) = self.finder.look().map_err(|why| ActError::Refused {
            what: "look for processes".into(),
            source: why.into(),
        })?;
        self.met |= !hit.is_empty();
        hit.retain(|stat| !self.hit.contains(&(stat.who.pid, stat.who.started)));
        if let Some(count) = self.finder.asked.count {
            self.draw(&mut hit, count.get() as usize);
        }
        if stops(self.finder.asked.signal) {
            return self.stop(hit);
        }
        for stat in hit {
            if stat.who.signal(self.finder.asked.signal).unwrap_or(false) {
                self.sent += 1;
                self.last = Some(stat.who);
            }
        }
        Ok(())
    }

    fn stop(&mut self, mut hit: Vec<Stat>) -> Result<(), ActError> {
        hit.retain(|stat| !stat.is_stopped());
        if hit.is_empty() {
            return Ok(());
        }
        let mut txn = self.host.txn()?;
        for stat in hit {
            let who = stat.who;
            // One that ends meanwhile is no failure.
            let stopped = txn.step(
                Undo::Stopped(Stopped(who.clone())),
                || Ok(who.signal(self.finder.asked.signal).unwrap_or(false)),
                |_| Ok(()),
            )?;
            if stopped {
                self.hit.insert((who.pid, who.started));
                self.sent += 1;
                self.last = Some(who);
            }
        }
        self.stopped.push(txn.commit()?);
        Ok(())
    }

    /// Lets those go on that it stopped.
    fn go_on(&mut self) -> RevertReport {
        let mut report = RevertReport::default();
        for applied in self.stopped.drain(..).rev() {
            report.merge(applied.revert());
        }
        self.hit.clear();
        report
    }

    /// Keeps `count` of them, each as likely as any other.
    fn draw(&mut self, from: &mut Vec<Stat>, count: usize) {
        while from.len() > count {
            self.dice = mix(self.dice.wrapping_add(STEP));
            let len = from.len() as u64;
            let at = usize::try_from(self.dice % len).unwrap_or_default();
            from.swap_remove(at);
        }
    }
}

impl Acting for Signalling {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if now.intensity <= 0.0 {
            // It begins anew with the next pulse.
            self.done = false;
            self.next = Duration::ZERO;
            return ActError::of(&self.go_on()).map(|()| None);
        }
        if self.done {
            return Ok(None);
        }
        if now.since >= self.next {
            self.send()?;
            match self.finder.asked.every {
                Some(every) => self.next = now.since + every,
                None => self.done = self.met,
            }
        }
        Ok(self
            .finder
            .asked
            .every
            .map(|_| self.next.saturating_sub(now.since)))
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let processes = match self.sent {
            1 => "1 process".to_owned(),
            count => format!("{count} processes"),
        };
        let last = self
            .last
            .as_ref()
            .map_or_else(String::new, |who| format!(", {who} last"));
        let effect = Effect {
            told: format!(
                "sent {} to {processes}{last}",
                signal_name(self.finder.asked.signal)
            ),
            asked: None,
            #[expect(clippy::cast_precision_loss, reason = "a number for people")]
            reached: Some(self.sent as f64),
            unit: "processes".into(),
        };
        let verdict = if self.sent > 0 {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }

    fn end(mut self: Box<Self>) -> RevertReport {
        self.go_on()
    }
}

/// The first ones, and how many more.
fn some(who: &[Identity]) -> String {
    let shown: Vec<String> = who.iter().take(SHOWN).map(ToString::to_string).collect();
    match who.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
