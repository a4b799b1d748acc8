//! What is said of runs: the same types on the terminal, over the API and in `-o json`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::resource::Effect;

use crate::{bpf::Mechanism, plan::Limits, profile::units::Percent};

/// Names a run: `r-` and eight hexadecimal digits.
pub type RunId = String;

/// The life of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Its faults are in force (or wait for their `after`).
    Armed,
    /// Over, and acts on nothing any more; packets that it held are still on their way out of
    /// chaosd's queues, for 5.5 s at most. Its counts and its verdict may still get worse.
    Draining,
    /// Over; everything it changed is as before.
    Reverted,
    /// Over; `problems` says what could not be put back.
    Failed,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Its time was up.
    Deadline,
    /// Somebody reverted it.
    Reverted,
    /// chaosd was told to stop.
    Shutdown,
    /// What it targeted is gone.
    TargetGone,
    /// The watchdog took the plane away from a daemon that was late.
    Fenced,
    /// Its command ended (`chaosd run PROFILE -- COMMAND`).
    CommandEnded,
    /// chaosd lost its watchdog and could not start another.
    WatchdogLost,
    /// Who asked for it, and was to stay to its end, is gone.
    AskerGone,
    /// The daemon died; its watchdog reverted, or whoever came next.
    DaemonLost,
}

/// What a fault did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It acted on packets.
    Effective,
    /// It matched packets and spared them all (a low rate and few packets).
    Spared,
    /// Traffic flowed, and nothing of it matched.
    Ineffective,
    /// No packet was seen.
    NoTraffic,
    /// It is one of several ways that a fault of the profile covers, and traffic took only others.
    NotTaken,
    /// It acted on packets, and chaosd's own queue lost some that it was to hold, or that it had not
    /// let go of when it was deleted: what was measured is not what was asked for.
    Overflow,
}

/// Packets (wire segments) of one direction since the fault was armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Count {
    /// Passed the fault's interfaces.
    pub seen: u64,
    /// Matched while it was active.
    pub matched: u64,
    /// It acted on.
    pub affected: u64,
    /// Of those, the ones that the full queue of a `bandwidth` dropped, as a bottleneck does.
    pub tail_dropped: u64,
    /// Held packets that chaosd's own queue refused, or that were in it when it was deleted after
    /// the run: lost, though nobody asked for it.
    pub overflow: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.matched += other.matched;
        self.affected += other.affected;
        self.tail_dropped += other.tail_dropped;
        self.overflow += other.overflow;
    }
}

/// What a fault did to DNS queries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DnsReport {
    /// What comes back: `drop`, `nxdomain`, `servfail`, `refused`, `empty`, `addresses`; `none`: the
    /// server's own answer, for queries are only held.
    pub answer: String,
    /// Queries that came to this answer.
    pub answered: u64,
    /// Queries over TCP, whose connections were reset in the place of the answer (lost, when it is
    /// `drop`).
    pub tcp: u64,
    /// The last queries it acted on, newest first. A network namespace remembers 64 over all faults.
    pub last: Vec<DnsQuery>,
}

/// A query that a fault acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DnsQuery {
    /// The name as it was asked for; what is not printable is escaped (RFC 1035 §5.1).
    pub name: String,
    /// The type that was asked for: `A`, `AAAA`, `TYPE1234`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When, RFC 3339.
    pub at: String,
}

/// One fault of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FaultReport {
    /// As in the profile.
    pub name: String,
    /// `drop`, `corrupt`, ...
    pub kind: String,
    /// The fault of the profile that it is a part of, when that came to several: a `dns` fault with
    /// `encrypted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// What it does to what, in one line.
    pub what: String,
    /// Arriving packets.
    #[serde(rename = "in")]
    pub ingress: Count,
    /// Leaving packets.
    #[serde(rename = "out")]
    pub egress: Count,
    /// The sum of it.
    pub verdict: Verdict,
    /// Of a `dns` fault: its answers, and the last names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsReport>,
    /// Of a fault that acts on the machine: what it did. It has no packets to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

impl FaultReport {
    /// Both directions.
    pub fn total(&self) -> Count {
        let mut total = self.ingress;
        total += self.egress;
        total
    }
}

/// One run, alive or over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RunReport {
    /// Its id.
    pub id: RunId,
    /// The profile's name, or `inject`.
    pub profile: String,
    /// Whom it hits, in one line.
    pub target: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is over.
    pub ended: Option<Ended>,
    /// RFC 3339.
    pub started: String,
    /// Seconds it was asked to last.
    pub for_seconds: f64,
    /// Seconds to go.
    pub left_seconds: f64,
    /// The seed that repeats its decisions.
    pub seed: u64,
    /// Milliseconds from the request to the armed fault.
    pub arm_ms: f64,
    /// Its faults. Of a run on several, all that came of each.
    pub faults: Vec<FaultReport>,
    /// Of a run on those that answer to a name: each of them, a restarted one once for each life,
    /// of which the last hundred that are over are told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberReport>,
    /// What went wrong: with how to put it right by hand.
    pub problems: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl RunReport {
    /// What each fault did to all that it is on, and then, where those are several, to each of them (by its
    /// target).
    pub fn rows(&self) -> impl Iterator<Item = (Option<&str>, &FaultReport)> {
        let several = self.members.len() > 1;
        let members = self.members.iter().filter(move |_| several);
        let each = members.flat_map(|member| {
            let faults = member.faults.iter();
            faults.map(|fault| (Some(member.target.as_str()), fault))
        });
        self.faults.iter().map(|fault| (None, fault)).chain(each)
    }
}

/// One of those that a run is on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct MemberReport {
    /// Names what is done to it: can be reverted alone.
    pub id: RunId,
    /// Who it is.
    pub target: String,
    /// Which runtime knows it.
    pub runtime: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is over.
    pub ended: Option<Ended>,
    /// Milliseconds from the decision to the armed fault.
    pub arm_ms: f64,
    /// What the faults did to it.
    pub faults: Vec<FaultReport>,
}

/// `chaosd status -o json`
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The daemon, when one answers.
    pub daemon: Option<Daemon>,
    /// Runs alive, then the last ones that are over, newest first.
    pub runs: Vec<RunReport>,
}

/// The daemon itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Daemon {
    /// Process id.
    pub pid: u32,
    /// Process id of its watchdog; 0 while it is being replaced.
    pub watchdog_pid: u32,
    /// chaosd's version.
    pub version: String,
    /// How its programs come onto interfaces.
    #[serde(default)]
    pub attach: Mechanism,
    /// No run lasts longer, in seconds (`serve --max-for`).
    #[serde(default)]
    pub max_for_seconds: Option<f64>,
    /// No run hits a larger share of those that answer to a name, in percent (`serve --max-share`).
    #[serde(default)]
    pub max_share_percent: Option<f64>,
}

impl Daemon {
    /// What it allows; where it does not say, what is allowed without it.
    pub fn limits(&self) -> Limits {
        let allowed = Limits::default();
        let max_for = self.max_for_seconds;
        let max_for = max_for.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let max_share = self.max_share_percent.and_then(Percent::new);
        Limits {
            max_for: max_for.unwrap_or(allowed.max_for),
            max_share: max_share.unwrap_or(allowed.max_share),
        }
    }
}
