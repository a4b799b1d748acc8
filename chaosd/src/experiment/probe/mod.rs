//! One look at one thing: a file for each kind.
//!
//! Invariant: a look changes nothing, and is given up by dropping it.

mod command;
mod dns;
mod dns_message;
mod http;
mod log;
mod prometheus;
mod psi;

pub(super) use psi::file as pressure_file;

use crate::profile::{Bound, ProbeKind, ProbeSpec};

/// What a look came to, when there was an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    /// As expected; its value is the time that it took.
    Answered,
    /// A value, to be held against what is expected.
    Measured(f64),
}

/// Or why there was none, or another than was expected.
pub(super) type Look = Result<Seen, String>;

/// Something that can be looked at again and again.
pub(super) trait Looks: Send {
    /// One look.
    fn look(&mut self) -> impl Future<Output = Look> + Send;
}

impl Looks for Looker {
    async fn look(&mut self) -> Look {
        self.look_at_it().await.map_err(numberless)
    }
}

/// What the system said, without its number: ` (os error 111)`.
fn numberless(mut why: String) -> String {
    if let Some((said, rest)) = why.rsplit_once(" (os error ")
        && rest.trim_end_matches(')').parse::<i32>().is_ok()
    {
        why.truncate(said.len());
    }
    why
}

/// Who looks. It remembers what the look before has seen, where that matters.
#[derive(Debug)]
pub(super) struct Looker {
    kind: ProbeKind,
    series: prometheus::Series,
    psi: psi::Before,
    log: log::Place,
}

impl Looker {
    /// `comes`: it waits for something to come true, where others see to it that all is well.
    pub(super) fn new(spec: &ProbeSpec, comes: bool) -> Self {
        let mut log = log::Place::default();
        if let ProbeKind::Log { file, .. } = &spec.kind {
            // What stood there before the experiment is not its doing.
            log = log::Place::end_of(file);
        }
        Self {
            kind: spec.kind.clone(),
            series: if comes {
                prometheus::Series::Any
            } else {
                prometheus::Series::All
            },
            psi: psi::Before::default(),
            log,
        }
    }

    async fn look_at_it(&mut self) -> Look {
        match &self.kind {
            ProbeKind::Http {
                url, status, body, ..
            } => http::look(url, status, body.as_ref()).await,
            ProbeKind::Prometheus { url, query, bound } => {
                prometheus::look(url, query, bound, self.series).await
            }
            ProbeKind::Command { run, exit, .. } => command::look(run, *exit).await,
            ProbeKind::Tcp { address, .. } => {
                let place = (address.host.as_str(), address.port);
                match tokio::net::TcpStream::connect(place).await {
                    Ok(_) => Ok(Seen::Answered),
                    Err(error) => Err(error.to_string()),
                }
            }
            ProbeKind::Dns {
                name,
                server,
                answer,
                ..
            } => dns::look(name, *server, answer).await,
            ProbeKind::Psi {
                cgroup,
                resource,
                full,
                ..
            } => self.psi.look(cgroup.as_deref(), *resource, *full),
            ProbeKind::Log { file, matches, .. } => self.log.look(file, matches),
            ProbeKind::LoadAverage { .. } => load_average(),
        }
    }
}

/// Why a value is not as expected; `None`: it is.
pub(super) fn misses(kind: &ProbeKind, value: f64) -> Option<String> {
    let unit = kind.unit();
    let outside = |bound: &Bound| {
        (!bound.holds(value)).then(|| format!("{} is not {bound}{}", short(value), spaced(unit)))
    };
    match kind {
        ProbeKind::Prometheus { bound, .. }
        | ProbeKind::Psi { bound, .. }
        | ProbeKind::LoadAverage { bound } => outside(bound),
        ProbeKind::Log { at_most, .. } => {
            #[expect(clippy::cast_precision_loss, reason = "a file has fewer lines")]
            let most = *at_most as f64;
            (value > most).then(|| format!("{} new lines", short(value)))
        }
        kind => {
            let within = kind.within()?.as_secs_f64() * 1e3;
            (value > within).then(|| format!("took {} ms", short(value)))
        }
    }
}

fn spaced(unit: &str) -> String {
    if unit.is_empty() {
        String::new()
    } else {
        format!(" {unit}")
    }
}

/// A value for people: four digits that matter.
pub(super) fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 1000.0 || size == 0.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// Of one minute, the first word of `/proc/loadavg` (`proc_loadavg(5)`).
fn load_average() -> Look {
    let text = std::fs::read_to_string("/proc/loadavg").map_err(|error| error.to_string())?;
    let first = text.split_whitespace().next();
    let value = first.and_then(|word| word.parse().ok());
    value
        .map(Seen::Measured)
        .ok_or_else(|| "/proc/loadavg holds no number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{numberless, short};

    #[test]
    fn the_system_s_words_are_told_without_its_number() {
        let refused = std::io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        assert_eq!(numberless(refused.to_string()), "Connection refused");
        for other in ["status 503", "it says (os error none)", "(os error 5) came"] {
            assert_eq!(numberless(other.to_owned()), other);
        }
    }

    #[test]
    fn a_value_keeps_the_digits_that_matter() {
        for (value, told) in [
            (0.0, "0"),
            (0.01234, "0.0123"),
            (12.0, "12"),
            (12.345, "12.35"),
            (312.34, "312.3"),
            (12345.6, "12346"),
        ] {
            assert_eq!(short(value), told);
        }
    }
}
