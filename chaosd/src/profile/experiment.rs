//! The checked form of an experiment: what is expected to stay true, how that is looked at, what
//! ends it early, and in which stages the faults come.
//!
//! Invariant: each stage holds the whole profile that it runs, checked with the stage's own
//! parameters, so that nothing of a later stage can be refused in the middle.

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{
    Pattern, Profile, Whom,
    units::{DomainName, Percent},
};

/// How long a recovery is watched where no stage says it.
pub const DEFAULT_RECOVERY: Duration = Duration::from_secs(30);

/// An experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Experiment {
    /// What is expected to stay true.
    pub hypothesis: Option<String>,
    /// The steady state; names are unique.
    pub steady_state: Vec<ProbeSpec>,
    /// What ends it early.
    pub abort_when: Vec<AbortSpec>,
    /// At least one, at least one of them with faults.
    pub stages: Vec<StageSpec>,
    /// The words of the command that runs from the first stage to the last; may be empty.
    pub load: Vec<String>,
    /// The twin that is spared.
    pub control: Option<Control>,
    /// The profile as it was written, with what was said over its head filled in.
    #[serde(skip)]
    pub document: Value,
}

impl Experiment {
    /// The sum of its stages.
    pub fn lasts(&self) -> Duration {
        self.stages.iter().map(|stage| stage.lasts).sum()
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageSpec {
    /// Unique in its experiment.
    pub name: String,
    /// How long it lasts; not 0.
    #[serde(rename = "for", serialize_with = "super::units::serialize_duration")]
    pub lasts: Duration,
    /// It is over as soon as the steady state holds again: a recovery that nobody gave a time to.
    pub until_steady: bool,
    /// Parameters that it sets.
    pub set: BTreeMap<String, String>,
    /// What it runs; `None`: it has no faults.
    #[serde(skip)]
    pub profile: Option<Box<Profile>>,
}

/// The twin that is spared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Control {
    /// Parameters that lead the probes to it.
    pub set: BTreeMap<String, String>,
    /// Its place on this machine, which no fault may hit; `None`: it is elsewhere.
    pub target: Option<Whom>,
    /// The probes that look elsewhere by these parameters, each with the name of its twin.
    pub probes: Vec<ProbeSpec>,
}

/// How one thing of the steady state is looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeSpec {
    /// The kind's name (and a number) when not given.
    pub name: String,
    /// What is looked at, and what is expected.
    #[serde(flatten)]
    pub kind: ProbeKind,
    /// Its share in the score, from 0 (default 1).
    pub weight: f64,
    /// The share of looks under faults that must be as expected (default 100 %).
    pub at_least: Percent,
    /// A look begins this often (default 1 s), from [`OFTENEST`].
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub every: Duration,
    /// A look that takes longer has failed, and is given up.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub timeout: Duration,
}

/// The shortest time between two looks of a probe.
pub const OFTENEST: Duration = Duration::from_millis(20);

/// What a probe looks at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// A GET over HTTP/1.1.
    Http {
        /// What is asked for.
        url: Url,
        /// Good ones; empty: 200 to 299.
        status: Vec<u16>,
        /// The whole answer has come by then.
        within: Option<Duration>,
        /// What the answer contains.
        body: Option<Pattern>,
    },
    /// A query that Prometheus answers. Every series of the answer has to hold.
    Prometheus {
        /// The server's, without `/api`.
        url: Url,
        /// `PromQL`
        query: String,
        /// Of the values.
        bound: Bound,
    },
    /// A command of the user's.
    Command {
        /// Its words; at least one.
        run: Vec<String>,
        /// The code it is expected to end with.
        exit: u8,
        /// It has ended by then.
        within: Option<Duration>,
    },
    /// A TCP connection can be made.
    Tcp {
        /// Whereto.
        address: Address,
        /// It is there by then.
        within: Option<Duration>,
    },
    /// A name has an address.
    Dns {
        /// Which.
        name: DomainName,
        /// Who is asked; `None`: the first server of `/etc/resolv.conf`.
        server: Option<std::net::SocketAddr>,
        /// Addresses of which the answer holds one; empty: any will do.
        answer: Vec<IpAddr>,
        /// The answer has come by then.
        within: Option<Duration>,
    },
    /// The share of time that was lost by waiting for a resource
    /// (Documentation/accounting/psi.rst), since the look before.
    Psi {
        /// Whose; `None`: the machine's.
        cgroup: Option<PathBuf>,
        /// Which.
        resource: PressureOf,
        /// All that could run waited, rather than some of it.
        full: bool,
        /// In percent.
        bound: Bound,
    },
    /// Lines of a file that came since the look before.
    Log {
        /// Which.
        file: PathBuf,
        /// Lines that contain this; `*` stands for any characters.
        matches: Pattern,
        /// As many are tolerated.
        at_most: u64,
    },
    /// The machine's load average of one minute (`proc_loadavg(5)`).
    LoadAverage {
        /// Of it.
        bound: Bound,
    },
}

/// A resource that tasks wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PressureOf {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Io,
}

impl PressureOf {
    /// As profiles and files of the kernel write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

/// What a measured value has to be; at least one of both is given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bound {
    /// Less than this.
    pub below: Option<f64>,
    /// More than this.
    pub above: Option<f64>,
}

impl Bound {
    /// True of a value within; never of one that is no number.
    pub fn holds(&self, value: f64) -> bool {
        !value.is_nan()
            && self.below.is_none_or(|most| value < most)
            && self.above.is_none_or(|least| value > least)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.above, self.below) {
            (Some(least), Some(most)) => write!(f, "above {least} and below {most}"),
            (Some(least), None) => write!(f, "above {least}"),
            (None, Some(most)) => write!(f, "below {most}"),
            (None, None) => f.write_str("any"),
        }
    }
}

/// An address of an HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Without brackets.
    pub host: String,
    /// 80 when not given.
    pub port: u16,
    /// With the query; begins with `/`.
    pub path: String,
    /// As written.
    pub text: String,
}

impl Serialize for Url {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A condition of `abort-when`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AbortSpec {
    /// What is looked at.
    pub on: AbortOn,
    /// It has been so for this long.
    #[serde(serialize_with = "super::units::serialize_duration")]
    pub lasting: Duration,
}

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbortOn {
    /// Any of these probes of the steady state fails: their places in the list.
    Failing(Vec<usize>),
    /// A probe of its own fails.
    Fails(Box<ProbeSpec>),
    /// A measured value is within its bound.
    Comes(Box<ProbeSpec>),
}

impl AbortSpec {
    /// In one line. `probes`: the steady state.
    pub fn what(&self, probes: &[ProbeSpec]) -> String {
        let what = match &self.on {
            AbortOn::Failing(which) => {
                let names: Vec<&str> = which
                    .iter()
                    .filter_map(|n| Some(probes.get(*n)?.name.as_str()))
                    .collect();
                format!("{} fails", names.join(" or "))
            }
            AbortOn::Fails(probe) => format!("{} fails", probe.kind),
            AbortOn::Comes(probe) => probe.kind.to_string(),
        };
        if self.lasting.is_zero() {
            return what;
        }
        format!("{what} for {}", humantime::format_duration(self.lasting))
    }
}

impl ProbeKind {
    /// As profiles write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Prometheus { .. } => "prometheus",
            Self::Command { .. } => "command",
            Self::Tcp { .. } => "tcp",
            Self::Dns { .. } => "dns",
            Self::Psi { .. } => "psi",
            Self::Log { .. } => "log",
            Self::LoadAverage { .. } => "load-average",
        }
    }

    /// An answer that takes longer is not as expected, though it may come.
    pub fn within(&self) -> Option<Duration> {
        match self {
            Self::Http { within, .. }
            | Self::Command { within, .. }
            | Self::Tcp { within, .. }
            | Self::Dns { within, .. } => *within,
            _ => None,
        }
    }

    /// True of those whose value is the time that an answer took.
    pub fn is_timed(&self) -> bool {
        matches!(
            self,
            Self::Http { .. } | Self::Command { .. } | Self::Tcp { .. } | Self::Dns { .. }
        )
    }

    /// What the value counts in.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Psi { .. } => "%",
            Self::Log { .. } => "lines",
            kind if kind.is_timed() => "ms",
            _ => "",
        }
    }

    /// The value that a look must not pass, in its unit.
    pub fn limit(&self) -> Option<f64> {
        match self {
            Self::Prometheus { bound, .. }
            | Self::Psi { bound, .. }
            | Self::LoadAverage { bound } => bound.below.or(bound.above),
            #[expect(clippy::cast_precision_loss, reason = "a line in a picture")]
            Self::Log { at_most, .. } => Some(*at_most as f64),
            kind => kind.within().map(|time| time.as_secs_f64() * 1e3),
        }
    }
}

/// What is asked and expected, in one line.
impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http {
                url, status, body, ..
            } => {
                write!(f, "GET {} answers ", url.text)?;
                if status.is_empty() {
                    f.write_str("2xx")?;
                }
                let words: Vec<String> = status.iter().map(u16::to_string).collect();
                f.write_str(&words.join(" or "))?;
                if let Some(body) = body {
                    write!(f, " with {}", body)?;
                }
            }
            Self::Prometheus { query, bound, .. } => write!(f, "{query} is {bound}")?,
            Self::Command { run, exit, .. } => {
                let line = match run.as_slice() {
                    [shell, flag, line] if shell == SHELL && flag == "-c" => line.clone(),
                    words => words.join(" "),
                };
                write!(f, "{line} ends with {exit}")?;
            }
            Self::Tcp { address, .. } => write!(f, "{address} accepts a connection")?,
            Self::Dns {
                name,
                server,
                answer,
                ..
            } => {
                write!(f, "{name} has an address")?;
                let words: Vec<String> = answer.iter().map(IpAddr::to_string).collect();
                if !words.is_empty() {
                    write!(f, ", {}", words.join(" or "))?;
                }
                if let Some(server) = server {
                    write!(f, " (asked of {server})")?;
                }
            }
            Self::Psi {
                cgroup,
                resource,
                full,
                bound,
            } => {
                let (resource, line) = (resource.name(), if *full { "full" } else { "some" });
                write!(f, "{resource} pressure ({line})")?;
                if let Some(cgroup) = cgroup {
                    write!(f, " of {}", cgroup.display())?;
                }
                write!(f, " is {bound} %")?;
            }
            Self::Log {
                file,
                matches,
                at_most,
            } => write!(
                f,
                "at most {at_most} new lines of {} have {}",
                file.display(),
                matches
            )?,
            Self::LoadAverage { bound } => write!(f, "the load average is {bound}")?,
        }
        match self.within() {
            Some(within) => write!(f, " within {}", humantime::format_duration(within)),
            None => Ok(()),
        }
    }
}

/// What runs a command that is one text.
pub const SHELL: &str = "/bin/sh";
