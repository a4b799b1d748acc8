//! The interface of systemd, from a service of the tests' own on a bus of their own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::unused_self, reason = "a method of an interface has a self")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use zbus::{OwnedObjectPath, fdo, interface};

use super::super::{Asked, Places, RuntimeError, Runtimes};
use crate::{cgroup::tests::Scratch, profile::Pattern};

const WITHIN: Duration = Duration::from_secs(5);

/// A bus without services; gone with the guard.
struct Bus {
    daemon: Child,
    address: String,
    dir: PathBuf,
}

impl Bus {
    /// `None`: this machine has no dbus-daemon.
    fn start(name: &str) -> Option<Self> {
        let file = format!("chaosd-bus-{}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(file);
        fs::create_dir(&dir).unwrap();
        let conf = dir.join("conf");
        let listen = dir.join("socket");
        fs::write(&conf, configuration(&listen)).unwrap();
        let spawned = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", conf.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut daemon) = spawned else {
            fs::remove_dir_all(&dir).unwrap();
            eprintln!("skipped: dbus-daemon is not installed");
            return None;
        };
        let mut line = String::new();
        // It says its address when it listens.
        BufReader::new(daemon.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Some(Self {
            daemon,
            address: line.trim().to_owned(),
            dir,
        })
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes::new(Places {
            systemd: self.address.clone(),
            ..Places::default()
        })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn configuration(listen: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy>
</busconfig>"#,
        listen.display()
    )
}

/// What systemd is asked, with the answers of Debian 12's.
struct Manager;

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn get_unit(&self, name: &str) -> Result<OwnedObjectPath, Failed> {
        let path = match name {
            "shop.service" => "/org/freedesktop/systemd1/unit/shop_2eservice",
            "dead.service" => "/org/freedesktop/systemd1/unit/dead_2eservice",
            "late.service" => "/org/freedesktop/systemd1/unit/late_2eservice",
            _ => return Err(Failed::NoSuchUnit(format!("Unit {name} not loaded."))),
        };
        Ok(OwnedObjectPath::try_from(path).unwrap())
    }

    fn get_unit_file_state(&self, name: &str) -> fdo::Result<String> {
        match name {
            "once.service" => Ok("static".to_owned()),
            _ => Err(fdo::Error::FileNotFound(
                "No such file or directory".to_owned(),
            )),
        }
    }

    fn list_units(&self) -> Vec<super::Listed> {
        let path = || OwnedObjectPath::try_from("/").unwrap();
        // Beside a name and two paths, words that nobody reads.
        let unit = |name: &str| {
            let word = || String::new();
            let name = name.to_owned();
            (
                name,
                word(),
                word(),
                word(),
                word(),
                word(),
                path(),
                0,
                word(),
                path(),
            )
        };
        vec![
            unit("shop.service"),
            unit("shop.timer"),
            unit("ssh.service"),
            unit("dead.service"),
        ]
    }

    fn subscribe(&self) {}
}

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum Failed {
    #[zbus(error)]
    Bus(zbus::Error),
    NoSuchUnit(String),
}

struct Unit(&'static str);

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn active_state(&self) -> &str {
        self.0
    }
}

struct Service {
    cgroup: String,
    pid: u32,
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property)]
    fn control_group(&self) -> &str {
        &self.cgroup
    }

    #[zbus(property, name = "MainPID")]
    fn main_pid(&self) -> u32 {
        self.pid
    }
}

/// A systemd that ends with the guard.
struct Systemd {
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Systemd {
    fn serve(bus: &Bus, cgroup: &str, pid: u32) -> Self {
        let (end, ended) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (address, cgroup) = (bus.address.clone(), cgroup.to_owned());
        let thread = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let units = units(&address, cgroup, pid);
                let _bus = tokio::time::timeout(WITHIN, units.build())
                    .await
                    .unwrap()
                    .unwrap();
                ready.send(()).unwrap();
                ended.await.unwrap_err();
            });
        });
        is_ready.recv().unwrap();
        Self {
            end: Some(end),
            thread: Some(thread),
        }
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn units(address: &str, cgroup: String, pid: u32) -> zbus::connection::Builder<'_> {
    let at = |name: &str| format!("/org/freedesktop/systemd1/unit/{name}_2eservice");
    let dead = Service {
        cgroup: String::new(),
        pid: 0,
    };
    let late = Service {
        cgroup: "/".to_owned(),
        pid: 0,
    };
    zbus::connection::Builder::address(address)
        .name("org.freedesktop.systemd1")
        .serve_at("/org/freedesktop/systemd1", Manager)
        .serve_at(at("shop"), Unit("active"))
        .serve_at(at("shop"), Service { cgroup, pid })
        .serve_at(at("dead"), Unit("failed"))
        .serve_at(at("dead"), dead)
        .serve_at(at("late"), Unit("activating"))
        .serve_at(at("late"), late)
}

#[test]
fn a_unit_is_found_with_its_cgroup_and_its_main_process() {
    let Some(bus) = Bus::start("unit") else {
        return;
    };
    let scratch = Scratch::new("shop.service");
    let below = format!("/{}", scratch.name().display());
    let _systemd = Systemd::serve(&bus, &below, std::process::id());
    let runtimes = bus.runtimes();
    for name in ["shop.service", "shop"] {
        let found = runtimes
            .find(&Asked::Unit(Pattern::new(name)), None, WITHIN)
            .unwrap();
        let [member] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(member.label, "unit shop.service");
        assert_eq!((&*member.id, &*member.runtime), ("shop.service", "systemd"));
        assert_eq!(member.cgroups, std::slice::from_ref(&scratch.0));
        assert_eq!(member.pid, i32::try_from(std::process::id()).ok());
        assert!(member.netns.is_some());
    }
}

#[test]
fn all_units_that_fit_and_have_a_cgroup_are_found() {
    let Some(bus) = Bus::start("units") else {
        return;
    };
    let scratch = Scratch::new("shops.service");
    let below = format!("/{}", scratch.name().display());
    let _systemd = Systemd::serve(&bus, &below, std::process::id());
    let runtimes = bus.runtimes();
    let find = |name: &str| runtimes.find(&Asked::Unit(Pattern::new(name)), None, WITHIN);
    for name in ["sh*", "*.service", "shop*.service"] {
        let ids: Vec<String> = find(name).unwrap().into_iter().map(|m| m.id).collect();
        assert_eq!(ids, ["shop.service"], "{name}");
    }
    let error = find("nothing-*").unwrap_err();
    assert_eq!(error.to_string(), "there is no unit nothing-*");
    let error = find("dead*").unwrap_err();
    assert!(error.is_stopped(), "{error}");
}

#[test]
fn a_unit_that_is_not_there_or_does_not_run_is_answered_with_what_to_do() {
    let Some(bus) = Bus::start("missing") else {
        return;
    };
    let _systemd = Systemd::serve(&bus, "/x", 1);
    let runtimes = bus.runtimes();
    for (name, expected) in [
        (
            "shpo.service",
            "there is no unit shpo.service; did you mean shop.service?",
        ),
        (
            "dead",
            "unit dead.service has no cgroup, for it is failed: `systemctl start dead.service` starts it",
        ),
        (
            "late",
            "unit late.service is activating and its main process does not run yet, or any more: ask again when it does",
        ),
        (
            "once.service",
            "unit once.service has no cgroup, for it is inactive: `systemctl start once.service` starts it",
        ),
        (
            "shop.timer",
            "unit shop.timer has no processes, for it is a timer: name a service, slice, scope, socket \
             or mount",
        ),
    ] {
        let asked = Asked::Unit(Pattern::new(name));
        let error = runtimes.find(&asked, None, WITHIN).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// Gone with the guard.
struct Shell(Child);

impl Shell {
    /// Of a program of that path, which gives itself a name.
    fn called(name: &str, program: &Path) -> Self {
        fs::copy("/bin/sh", program).unwrap();
        let script = format!("printf %s '{name}' > /proc/self/comm; echo; read line");
        let mut command = Command::new(program);
        command.args(["-c", &script]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self(child)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_process_that_systemd_still_sets_up_is_known_by_its_name_and_its_program() {
    let dir = crate::journal::testing::TempDir::new();
    let executor = dir.path().join("systemd-executor");
    for (name, program, wanted) in [
        ("(shop)", executor.clone(), true),
        ("shop", executor, false),
        ("(shop)", dir.path().join("shop"), false),
    ] {
        let shell = Shell::called(name, &program);
        let found = super::is_set_up_by_systemd(shell.0.id());
        assert_eq!(found, wanted, "{name} {}", program.display());
    }
    assert!(!super::is_set_up_by_systemd(0));
}

#[test]
fn without_a_bus_it_is_said_where_systemd_was_looked_for() {
    let runtimes = Runtimes::new(Places {
        systemd: "unix:path=/nonexistent/bus".to_owned(),
        ..Places::default()
    });
    let asked = Asked::Unit(Pattern::new("shop"));
    let error = runtimes.find(&asked, None, WITHIN).unwrap_err();
    assert!(matches!(error, RuntimeError::Ask { .. }), "{error}");
    assert!(
        error.to_string().contains("systemd at /nonexistent/bus"),
        "{error}"
    );
}
