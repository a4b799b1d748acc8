//! The checked form of a probe: what is looked at, how often, and what is expected.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use serde::Serialize;

use super::{
    Pattern,
    units::{DomainName, Percent},
};

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
                    write!(f, " with {body}")?;
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
