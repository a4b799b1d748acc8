//! Units of systemd, by its D-Bus interface (org.freedesktop.systemd1(5)).

use std::{
    future::Future,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt as _,
    future::{join_all, join3},
};
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant, message::Type};

use crate::{alike::nearest, cgroup, process::Stat, profile::Pattern};

use super::{Member, RuntimeError, placing};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// What says that a unit is not in memory.
const NOT_LOADED: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// How long it is waited for systemd to make a process a unit's program, which takes it some ms.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);

/// Suffixes of units that have processes, with their interfaces.
const WITH_PROCESSES: [(&str, &str); 6] = [
    (".service", "org.freedesktop.systemd1.Service"),
    (".slice", "org.freedesktop.systemd1.Slice"),
    (".scope", "org.freedesktop.systemd1.Scope"),
    (".socket", "org.freedesktop.systemd1.Socket"),
    (".mount", "org.freedesktop.systemd1.Mount"),
    (".swap", "org.freedesktop.systemd1.Swap"),
];
/// Those that have none.
const WITHOUT: [&str; 5] = [".target", ".timer", ".path", ".device", ".automount"];

/// A connection to the bus.
#[derive(Clone, Debug)]
pub(super) struct Systemd {
    bus: Connection,
    address: String,
    within: Duration,
}

impl Systemd {
    /// Connects to the bus at `address`.
    pub(super) async fn connect(address: &str, within: Duration) -> Result<Self, RuntimeError> {
        let wrong = |message: String| failed(address, message);
        let builder = zbus::connection::Builder::address(address);
        let bus = tokio::time::timeout(within, builder.build())
            .await
            .map_err(|_| silent(address, within))?
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            bus,
            address: address.to_owned(),
            within,
        })
    }

    /// The bus has gone, or was started again.
    pub(super) fn is_closed(&self) -> bool {
        self.bus.is_closed()
    }

    /// The same, with another patience.
    pub(super) fn within(&self, within: Duration) -> Self {
        Self {
            within,
            ..self.clone()
        }
    }

    async fn wait<T>(
        &self,
        answer: impl Future<Output = zbus::Result<T>>,
    ) -> Result<Result<T, zbus::Error>, RuntimeError> {
        tokio::time::timeout(self.within, answer)
            .await
            .map_err(|_| silent(&self.address, self.within))
    }

    /// A method of the manager.
    async fn manager<A, T>(&self, method: &'static str, arguments: &A) -> zbus::Result<T>
    where
        A: serde::Serialize + zbus::zvariant::DynamicType + Sync,
        T: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        self.bus
            .call_method(Some(NAME), PATH, Some(MANAGER), method, arguments)
            .await?
            .body()
            .deserialize()
    }

    async fn property<T>(
        &self,
        of: &OwnedObjectPath,
        interface: &str,
        name: &str,
    ) -> zbus::Result<T>
    where
        T: TryFrom<OwnedVariant>,
        zbus::Error: From<T::Error>,
    {
        let answer = self
            .bus
            .call_method(Some(NAME), of, Some(PROPERTIES), "Get", &(interface, name))
            .await?;
        let value: OwnedVariant = answer.body().deserialize()?;
        Ok(T::try_from(value)?)
    }

    /// The unit of a name; a name without a suffix is a service's, as with systemctl(1).
    pub(super) async fn unit(&self, typed: &str) -> Result<Member, RuntimeError> {
        let (name, interface) = full_name(typed)?;
        let loaded: Result<OwnedObjectPath, _> = self.wait(self.manager("GetUnit", &name)).await?;
        let unit = match loaded {
            Ok(unit) => unit,
            Err(error) if is_not_loaded(&error) => return Err(self.not_loaded(name).await?),
            Err(error) => return Err(failed(&self.address, error.to_string())),
        };
        let (state, path, pid) = self
            .wait(async {
                let main = async {
                    if interface.ends_with(".Service") {
                        self.property::<u32>(&unit, interface, "MainPID").await
                    } else {
                        Ok(0)
                    }
                };
                let (state, path, pid) = join3(
                    self.property::<String>(&unit, "org.freedesktop.systemd1.Unit", "ActiveState"),
                    self.property::<String>(&unit, interface, "ControlGroup"),
                    main,
                )
                .await;
                Ok((state?, path?, pid?))
            })
            .await?
            .map_err(|error| failed(&self.address, error.to_string()))?;
        if path.is_empty() {
            return Err(RuntimeError::UnitNotActive { name, state });
        }
        let is_service = interface.ends_with(".Service");
        let until = Instant::now() + SETTLES_WITHIN;
        while is_set_up_by_systemd(pid) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if (is_service && pid == 0 && state != "active") || is_set_up_by_systemd(pid) {
            return Err(RuntimeError::UnitNotReady { name, state });
        }
        member(name, &path, pid)
    }

    /// The units in memory whose names fit, and which have a cgroup.
    pub(super) async fn units(&self, names: &Pattern) -> Result<Vec<Member>, RuntimeError> {
        let units: zbus::Result<Vec<Listed>> = self.wait(self.manager("ListUnits", &())).await?;
        let units = units.map_err(|error| failed(&self.address, error.to_string()))?;
        let fitting = units
            .iter()
            .map(|unit| unit.0.as_str())
            .filter(|name| interface_of(name).is_some() && names.fits(name));
        let (mut found, mut idle) = (Vec::new(), 0);
        for answer in join_all(fitting.map(|name| self.unit(name))).await {
            match answer {
                Ok(member) => found.push(member),
                Err(RuntimeError::UnitNotActive { .. } | RuntimeError::UnitNotReady { .. }) => {
                    idle += 1;
                }
                // It has just gone.
                Err(RuntimeError::NoUnit { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match (found.is_empty(), idle) {
            (false, _) => Ok(found),
            (true, 0) => Err(RuntimeError::NoUnit {
                name: names.to_string(),
                nearest: Vec::new(),
            }),
            (true, of) => Err(RuntimeError::NoneRuns {
                asked: format!("units {names}"),
                of,
                silent: Vec::new(),
            }),
        }
    }

    /// Why a unit is not in memory: it was never started, or it is a typo.
    async fn not_loaded(&self, name: String) -> Result<RuntimeError, RuntimeError> {
        let file: zbus::Result<String> = self.wait(self.manager("GetUnitFileState", &name)).await?;
        if file.is_ok() {
            let state = "inactive".to_owned();
            return Ok(RuntimeError::UnitNotActive { name, state });
        }
        let units: zbus::Result<Vec<Listed>> = self.wait(self.manager("ListUnits", &())).await?;
        let units = units.unwrap_or_default();
        // Their common suffix makes all units alike.
        let (stem, suffix) = name.rsplit_once('.').unwrap_or((&name, ""));
        let stems = units
            .iter()
            .filter_map(|unit| unit.0.strip_suffix(suffix)?.strip_suffix('.'));
        let nearest = nearest(stem, stems).into_iter();
        let nearest = nearest.map(|stem| format!("{stem}.{suffix}")).collect();
        Ok(RuntimeError::NoUnit { name, nearest })
    }

    /// Says so each time that a unit appears, disappears, or takes another state, until the bus ends.
    pub(super) async fn events(&self, mut changed: impl FnMut()) -> Result<(), RuntimeError> {
        let wrong = |error: zbus::Error| failed(&self.address, error.to_string());
        // systemd sends signals to those alone who say that they want them.
        self.wait(self.manager::<_, ()>("Subscribe", &()))
            .await?
            .map_err(wrong)?;
        let signals = |interface: &'static str| {
            MatchRule::builder()
                .msg_type(Type::Signal)
                .interface(interface)
                .build()
        };
        let states = signals(PROPERTIES).map_err(wrong)?.to_owned();
        let comings = signals(MANAGER).map_err(wrong)?.to_owned();
        let states = MessageStream::for_match_rule(states, &self.bus, None).await;
        let comings = MessageStream::for_match_rule(comings, &self.bus, None).await;
        let mut all = futures_util::stream::select(states.map_err(wrong)?, comings.map_err(wrong)?);
        while let Some(message) = all.next().await {
            if message
                .map_err(wrong)?
                .header()
                .path()
                .is_some_and(|path| path.starts_with(PATH))
            {
                changed();
            }
        }
        Ok(())
    }
}

/// What `ListUnits` tells of each: its name first.
type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

fn socket(address: &str) -> PathBuf {
    address.strip_prefix("unix:path=").unwrap_or(address).into()
}

fn silent(address: &str, after: Duration) -> RuntimeError {
    RuntimeError::Silent {
        runtime: "systemd".to_owned(),
        socket: socket(address),
        after,
    }
}

fn failed(address: &str, message: String) -> RuntimeError {
    RuntimeError::Ask {
        runtime: "systemd".to_owned(),
        socket: socket(address),
        message,
    }
}

fn is_not_loaded(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, _, _) if name.as_str() == NOT_LOADED)
}

fn interface_of(name: &str) -> Option<&'static str> {
    WITH_PROCESSES
        .iter()
        .find(|(suffix, _)| name.ends_with(suffix))
        .map(|(_, interface)| *interface)
}

/// The whole name and the interface of a unit.
fn full_name(typed: &str) -> Result<(String, &'static str), RuntimeError> {
    if let Some(interface) = interface_of(typed) {
        return Ok((typed.to_owned(), interface));
    }
    if WITHOUT.iter().any(|suffix| typed.ends_with(suffix)) {
        return Err(RuntimeError::UnitWithoutProcesses {
            name: typed.to_owned(),
        });
    }
    Ok((format!("{typed}.service"), WITH_PROCESSES[0].1))
}

/// True while a process is yet to become a unit's program: systemd forks, calls the child `(program)`, moves it to
/// its namespaces and executes the program at last (systemd's src/core/execute.c; from v255 on a program of its
/// own, `systemd-executor`, does all that).
fn is_set_up_by_systemd(pid: u32) -> bool {
    let program = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let is_called = |name: &str| name.starts_with('(') && name.ends_with(')');
    Stat::read(pid).is_ok_and(|stat| is_called(&stat.who.name))
        && program(pid).is_some_and(|file| {
            file.ends_with("systemd-executor") || program(1).is_some_and(|first| first == file)
        })
}

fn member(name: String, path: &str, pid: u32) -> Result<Member, RuntimeError> {
    let mut member = Member {
        label: format!("unit {name}"),
        id: name,
        runtime: "systemd".to_owned(),
        ..Member::default()
    };
    let dir = cgroup::unified()?.join(path.trim_start_matches('/'));
    if dir.is_dir() {
        member.cgroups = vec![dir];
    } else {
        member.notes.push(format!(
            "systemd names the cgroup {path}, which is not in the unified hierarchy"
        ));
    }
    if let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) {
        placing::network(&mut member, pid);
    }
    Ok(member)
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;
