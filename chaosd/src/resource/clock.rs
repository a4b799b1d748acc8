//! `clock`: the host's clock is wrong, by a step, or by more and more.
//!
//! All of it is steps of `CLOCK_REALTIME` by a difference: a drift is many small ones. The rate of the
//! clock (`ADJ_FREQUENCY`, `ADJ_TICK`) is left alone, for `CLOCK_MONOTONIC` follows it too, by which
//! deadlines are kept, chaosd's own among them.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    clock::Standing,
    plan::Scope,
    process::{self, Identity, Stat},
    profile::{
        Clock, TimeService,
        units::{Drift, Offset},
    },
    report::Verdict,
    sys::time,
    txn::Applied,
    undo::{Added, Clock as Record, RevertReport, Stopped, Undo, told},
};

use super::{ActError, Acting, BindError, Bound, Effect, Host, Now, ResourceFault};

/// Programs that set a clock right, by their names of at most 15 bytes: chrony, ntpd of whichever
/// make, systemd-timesyncd, and those of linuxptp.
const KEEPERS: [&str; 7] = [
    "chronyd",
    "ntpd",
    "ntp-daemon",
    "ntpd-rs",
    TIMESYNCD,
    "ptp4l",
    "phc2sys",
];
const TIMESYNCD: &str = "systemd-timesyn";
/// Two chaosd would take the steps of each other for somebody else's.
const HELD: &str = "chaosd-clock";
/// A drift is added in steps of this, as far as that is not too often.
const STEP: Duration = Duration::from_millis(1);
const OFTEN: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_millis(250);
/// Less than this may be missing without anybody having set the clock.
const NOTHING_US: i64 = 1_000;

impl ResourceFault for Clock {
    fn what(&self) -> String {
        let step = self.offset.map(|offset| match offset.micros() {
            ..0 => format!(
                "sets the clock {} back",
                offset.to_string().trim_start_matches('-')
            ),
            _ => format!("sets the clock {offset} forward"),
        });
        let drift = self.drift.map(|drift| match drift.ppb() {
            ..0 => format!(
                "lets the clock lose {}",
                drift.to_string().trim_start_matches('-')
            ),
            _ => format!("lets the clock gain {drift}"),
        });
        [step, drift]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" and ")
    }

    fn bind(&self, scope: &Scope, _: u64) -> Result<Arc<dyn Bound>, BindError> {
        if scope.cgroup.is_some() || scope.pid.is_some() {
            return Err(BindError(
                "clock sets the clock of the whole host, for none is smaller: target the host (--host)"
                    .into(),
            ));
        }
        let failed = |e: io::Error| BindError(format!("failed to read the clock: {e}"));
        let now = Standing::read().map_err(failed)?;
        if now.apart_us.saturating_add(self.offset_us()) <= 0 {
            return Err(BindError(
                "the clock cannot show a time that is closer to 1970 than the boot is to now: step it back by less"
                    .into(),
            ));
        }
        let keepers: Vec<Identity> = keepers()
            .map_err(failed)?
            .into_iter()
            .map(|stat| stat.who)
            .collect();
        let in_sync = time::is_in_sync().map_err(failed)?;
        if self.time_service == TimeService::None {
            refuse(&keepers, in_sync)?;
        }
        Ok(Arc::new(Skew {
            asked: *self,
            keepers,
            in_sync,
        }))
    }
}

impl Clock {
    fn offset_us(&self) -> i64 {
        self.offset.map_or(0, Offset::micros)
    }

    fn drift_ppb(&self) -> i64 {
        self.drift.map_or(0, Drift::ppb)
    }
}

/// Who would set it right at once.
fn refuse(keepers: &[Identity], in_sync: bool) -> Result<(), BindError> {
    match (keepers, in_sync) {
        ([], false) => Ok(()),
        ([], true) => Err(BindError(
            "the kernel says that the clock is kept right (adjtimex), by nobody whom chaosd knows: if that was earlier, or is wanted, say time-service: stop (--time-service stop)".into(),
        )),
        (keepers, _) => Err(BindError(format!(
            "{} keeps the clock right and would undo it: say time-service: stop (--time-service stop) to let it stand still meanwhile",
            some(keepers)
        ))),
    }
}

/// Whoever keeps the clock right, as far as chaosd knows them.
fn keepers() -> io::Result<Vec<Stat>> {
    let mut all = process::all()?;
    all.retain(|stat| KEEPERS.contains(&stat.who.name.as_str()) && !stat.kernel);
    Ok(all)
}

fn some(who: &[Identity]) -> String {
    let names: Vec<String> = who.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[derive(Debug)]
struct Skew {
    asked: Clock,
    keepers: Vec<Identity>,
    in_sync: bool,
}

impl Bound for Skew {
    fn mechanism(&self) -> String {
        let before = match &self.keepers[..] {
            [] => String::new(),
            keepers => format!("SIGSTOP to {}; ", some(keepers)),
        };
        let steps = match (self.asked.offset, self.asked.drift) {
            (Some(_), None) => "one step",
            (None, Some(_)) => "many small steps",
            _ => "one step and many small ones",
        };
        format!("{before}{steps} of CLOCK_REALTIME, by clock_adjtime with ADJ_SETOFFSET")
    }

    fn undo(&self) -> String {
        let goes_on = match &self.keepers[..] {
            [] => String::new(),
            keepers => format!("; SIGCONT to {}", some(keepers)),
        };
        format!(
            "a step back by what was added, so that the time that passed meanwhile stays{goes_on}"
        )
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            "hits everybody on this host: certificates, leases, logs, timers that go by the time of day"
                .to_owned(),
        ];
        if self.keepers.is_empty() && self.in_sync {
            notes.push("the kernel says that the clock is kept right, by nobody whom chaosd knows, who may set it meanwhile".into());
        }
        if self.keepers.iter().any(|who| who.name == TIMESYNCD) {
            notes.push("systemd replaces systemd-timesyncd when it has stood still for 3 minutes (WatchdogSec), and that sets the clock right".into());
        }
        notes
    }

    fn claims(&self) -> Vec<String> {
        vec!["the host's clock".into()]
    }

    fn arm(&self, host: Host) -> Result<Box<dyn Acting>, ActError> {
        let address = SocketAddr::from_abstract_name(HELD);
        let held = address.and_then(|address| UnixDatagram::bind_addr(&address));
        let held = held.map_err(|source| ActError::Refused {
            what: "hold the clock, which another chaosd may be changing".into(),
            source: source.into(),
        })?;
        Ok(Box::new(Skewing {
            asked: self.asked,
            host,
            set: None,
            ever: false,
            _held: held,
        }))
    }
}

struct Skewing {
    asked: Clock,
    host: Host,
    set: Option<Set>,
    ever: bool,
    /// As long as it may act.
    _held: UnixDatagram,
}

/// In force.
struct Set {
    applied: Applied,
    record: Record,
    /// So far, in microseconds.
    added: i64,
    /// Somebody else has set it.
    disturbed: bool,
}

impl Skewing {
    fn set(&mut self) -> Result<Set, ActError> {
        let refused = |what: &str, source: io::Error| ActError::Refused {
            what: what.into(),
            source: source.into(),
        };
        let mut txn = self.host.txn()?;
        if self.asked.time_service == TimeService::Stop {
            let keepers = keepers().map_err(|e| refused("look for time services", e))?;
            for stat in keepers.into_iter().filter(|stat| !stat.is_stopped()) {
                // One that ends meanwhile is no failure.
                txn.step(
                    Undo::Stopped(Stopped(stat.who.clone())),
                    || Ok(stat.who.signal(Signal::SIGSTOP).unwrap_or(false)),
                    |_| Ok(()),
                )?;
            }
        }
        let system = &self.host.system;
        let (offset, drift) = (self.asked.offset_us(), self.asked.drift_ppb());
        let before = Standing::read().map_err(|e| refused("read the clock", e))?;
        let record = Record::new(before, offset, drift);
        txn.step(
            Undo::Clock(record.clone()),
            || Ok(system.step_clock(&mut |_| Some(offset))?),
            |()| match record.added(&Standing::read()?) {
                Added::Theirs(found) => Err(format!("the clock is {} off", told(found)).into()),
                Added::Nothing if offset != 0 => Err("the clock is as it was".into()),
                Added::Nothing | Added::Ours(_) => Ok(()),
            },
        )?;
        Ok(Set {
            applied: txn.commit()?,
            record,
            added: offset,
            disturbed: false,
        })
    }

    /// How long until its drift is worth another step.
    fn pause(&self) -> Option<Duration> {
        let drift = self.asked.drift?.ppb().unsigned_abs();
        #[expect(clippy::cast_precision_loss, reason = "at most 1e9")]
        let pause = STEP.as_secs_f64() / (drift as f64 / 1e9);
        let pause = pause.clamp(OFTEN.as_secs_f64(), SELDOM.as_secs_f64());
        Some(Duration::from_secs_f64(pause))
    }
}

impl Set {
    /// Adds what it has drifted since.
    fn go_on(&mut self, host: &Host) -> io::Result<()> {
        let mut due = 0;
        host.system.step_clock(&mut |now| {
            let missing = match self.record.added(now) {
                Added::Ours(_) => false,
                Added::Nothing => self.added.abs() > NOTHING_US,
                Added::Theirs(_) => true,
            };
            // What somebody else has set is theirs, and what a watchdog has undone stays so.
            self.disturbed |= missing;
            if self.disturbed {
                return None;
            }
            due = self.record.offset_us + self.record.drifted_us(now) - self.added;
            Some(due)
        })?;
        self.added += due;
        Ok(())
    }
}

impl Acting for Skewing {
    fn act(&mut self, now: Now) -> Result<Option<Duration>, ActError> {
        if now.intensity <= 0.0 {
            return match self.set.take() {
                Some(set) => ActError::of(&set.applied.revert()).map(|()| None),
                None => Ok(None),
            };
        }
        let Some(set) = &mut self.set else {
            self.set = Some(self.set()?);
            self.ever = true;
            return Ok(self.pause());
        };
        set.go_on(&self.host).map_err(|source| ActError::Refused {
            what: "step the clock".into(),
            source: source.into(),
        })?;
        Ok(self.pause())
    }

    fn effect(&mut self) -> (Effect, Verdict) {
        let standing = Standing::read().ok();
        let found = |set: &Set| Some(standing.as_ref()?.apart_us - set.record.apart_us);
        let disturbed = self.set.as_ref().is_some_and(|set| set.disturbed);
        let told = match &self.set {
            Some(set) if disturbed => format!(
                "found that somebody has set the clock, which is {} off now",
                found(set).map_or_else(String::new, told)
            ),
            Some(set) => format!("has the clock {} off", told(set.added)),
            None => "leaves the clock as it was".into(),
        };
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        let seconds = |us: i64| us as f64 / 1e6;
        let asked = self.set.as_ref().zip(standing.as_ref());
        let effect = Effect {
            told,
            asked: asked
                .map(|(set, now)| seconds(set.record.offset_us + set.record.drifted_us(now))),
            reached: self.set.as_ref().and_then(found).map(seconds),
            unit: "seconds".into(),
        };
        let verdict = if self.ever && !disturbed {
            Verdict::Effective
        } else {
            Verdict::Ineffective
        };
        (effect, verdict)
    }

    fn end(self: Box<Self>) -> RevertReport {
        self.set
            .map_or_else(RevertReport::default, |set| set.applied.revert())
    }
}
