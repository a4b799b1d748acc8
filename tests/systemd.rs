//! systemd as the first process: a shutdown goes its way, and a time service of its own stands still while
//! the clock is wrong.
//!
//! It is the first process of a guest that was booted by `--systemd`, or of a pid namespace, which
//! reboot(2) stops as it stops a machine (`pid_namespaces(7)`).

use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use support::{Cgroup, Daemon, Instance, Options, run, wait_until};

use crate::clock::{clock, seconds, start};
use crate::limits::LONG;
use crate::shutdown::allowed;

const SYSTEMD: &str = "/lib/systemd/systemd";
/// From its start to the units that are wanted, where a processor is computed.
const BOOTS: Duration = Duration::from_mins(1);

/// A directory for units and what they say. Dropped, it is removed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let name = format!("chaosd-test-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory)?;
        Ok(Self(directory))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.0.join(name), text).with_context(|| name.to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Puts systemd in the place of the first process of the namespaces that it is started in. `$0` holds the
/// units, and takes what they say.
const BOOT: &str = r#"
set -e
mount -t tmpfs run /run
# The kernel takes no second one on top of the first.
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/systemd/system
cp "$0"/*.service "$0"/*.target /run/systemd/system/
exec "$1" --unit=host.target --log-target=console --log-level=warning --show-status=0
"#;

#[test]
fn systemd_stops_its_services_and_then_the_host() -> Result<()> {
    let _allowed = allowed!();
    if !Path::new(SYSTEMD).exists() {
        support::skip!(Ok(()), "no {SYSTEMD}");
    }
    for (action, signal) in [("power-off", libc::SIGINT), ("reboot", libc::SIGHUP)] {
        let Some(cgroup) = Cgroup::new()? else {
            support::skip!(Ok(()), "this machine has no unified cgroup tree");
        };
        let scratch = Scratch::new(action)?;
        let place = scratch.0.display();
        let chaosd = PathBuf::from(Instance::new()?.command()?.get_program());
        let ends = "DefaultDependencies=no\nConflicts=shutdown.target\nBefore=shutdown.target";
        scratch.write(
            "host.target",
            "[Unit]\nDefaultDependencies=no\nWants=bystander.service fault.service\n",
        )?;
        scratch.write(
            "bystander.service",
            &format!(
                "[Unit]\n{ends}\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
                 ExecStart=/bin/sh -c 'echo begun >>{place}/said'\n\
                 ExecStop=/bin/sh -c 'sleep 1; echo stopped >>{place}/said'\n"
            ),
        )?;
        scratch.write(
            "fault.service",
            &format!(
                "[Unit]\n{ends}\nAfter=bystander.service\n[Service]\n\
                 Environment=CHAOSD_STATE_DIR={place}/state CHAOSD_SOCKET={place}/socket\n\
                 ExecStart={} inject shutdown --host --action {action} --notice 2s --for 5m\n\
                 StandardOutput=append:{place}/chaosd\nStandardError=append:{place}/chaosd\n",
                chaosd.display()
            ),
        )?;
        let mut command = cgroup.command("unshare");
        let namespaces = ["--mount", "--cgroup", "--ipc", "--uts", "--pid", "--fork"];
        command
            .args(namespaces)
            .args(["--mount-proc", "--propagation", "private", "sh", "-c", BOOT])
            .arg(&scratch.0)
            .arg(SYSTEMD)
            // It leaves loop devices and swap alone then.
            .env("container", "chaosd-test")
            .stdin(Stdio::null());
        let since = Instant::now();
        let output = command.output()?;
        let read = |name: &str| std::fs::read_to_string(scratch.0.join(name)).unwrap_or_default();
        let told = format!("{action}: {output:?}\n{}\n{}", read("said"), read("chaosd"));
        ensure!(output.status.signal() == Some(signal), "{told}");
        ensure!(since.elapsed() > Duration::from_secs(3), "{told}");
        // Who is killed with the machine has no time for that.
        ensure!(read("said") == "begun\nstopped\n", "{told}");
    }
    Ok(())
}

/// The right time, as an NTP server tells it (RFC 5905, section 7.3). Dropped, it ends.
struct Ntp {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ntp {
    /// `apart`: how far the right time is from that since the boot, in seconds.
    fn start(apart: f64) -> Result<Self> {
        /// From 1900 to 1970.
        const ERA: f64 = 2_208_988_800.0;
        let socket = UdpSocket::bind(("127.0.0.1", 123))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let now = move || {
            let time = seconds(nix::time::ClockId::CLOCK_BOOTTIME) + apart + ERA;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "seconds of this era, and their 2^-32 parts"
            )]
            let fixed = (time.trunc() as u64) << 32 | (time.fract() * 4_294_967_296.0) as u64;
            fixed.to_be_bytes()
        };
        let answer = move || {
            let mut query = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                let Ok((48.., from)) = socket.recv_from(&mut query) else {
                    continue;
                };
                let received = now();
                // Version 4, mode "server"; stratum 1, poll 2^4 s, precision 2^-20 s.
                let head = [0b00_100_100, 1, 4, 236, 0, 0, 0, 0, 0, 0, 0, 1];
                let clock = *b"LOCL";
                let asked = &query[40..48];
                let times = [&received[..], asked, &received, &now()].concat();
                let _it_asks_again = socket.send_to(&[&head[..], &clock, &times].concat(), from);
            }
        };
        Ok(Self {
            over,
            thread: Some(std::thread::spawn(answer)),
        })
    }
}

impl Drop for Ntp {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// systemd-timesyncd as its unit has it, which asks us for the time. Dropped, it is stopped.
struct TimeService {
    pid: u32,
    _ntp: Ntp,
}

const UNIT: &str = "systemd-timesyncd.service";

impl TimeService {
    fn start(apart: f64) -> Result<Self> {
        let ntp = Ntp::start(apart)?;
        let directory = Path::new("/run/systemd/timesyncd.conf.d");
        std::fs::create_dir_all(directory)?;
        std::fs::write(
            directory.join("chaosd-test.conf"),
            "[Time]\nNTP=127.0.0.1\n",
        )?;
        // The laboratory keeps it from starting at boot.
        std::fs::remove_file(Path::new("/run/systemd/system").join(UNIT)).ok();
        run("systemctl", &["daemon-reload"])?;
        run("systemctl", &["start", UNIT])?;
        let pid = run(
            "systemctl",
            &["show", "--property=MainPID", "--value", UNIT],
        )?;
        Ok(Self {
            pid: pid.trim().parse()?,
            _ntp: ntp,
        })
    }

    fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.is_ok_and(|stat| stat.contains(") T "))
    }

    /// As systemd sees it, and by the process that there was.
    fn is_active(&self) -> bool {
        let shown = ["show", "--property=ActiveState,MainPID", UNIT];
        let shown = run("systemctl", &shown).unwrap_or_default();
        shown.contains("ActiveState=active") && shown.contains(&format!("MainPID={}", self.pid))
    }
}

impl Drop for TimeService {
    fn drop(&mut self) {
        if let Err(error) = run("systemctl", &["stop", UNIT]) {
            eprintln!("{UNIT} is left over: {error:#}");
        }
    }
}

fn is_in_sync() -> bool {
    let shown = ["show", "--property=NTPSynchronized", "--value"];
    run("timedatectl", &shown).is_ok_and(|said| said.trim() == "yes")
}

#[test]
fn a_time_service_stands_still_while_the_clock_is_wrong_and_goes_on() -> Result<()> {
    let clock = clock!();
    let first = std::fs::read_to_string("/proc/1/comm")?;
    if first.trim() != "systemd" {
        support::skip!(Ok(()), "the first process is {}, not systemd", first.trim());
    }
    if !Path::new("/lib/systemd/systemd-timesyncd").exists() {
        support::skip!(Ok(()), "no systemd-timesyncd");
    }
    let service = TimeService::start(clock.right())?;
    ensure!(wait_until(BOOTS, is_in_sync), "nothing is in sync");
    let daemon = Daemon::start(&Options::default())?;
    let words = ["inject", "clock", "--host", "--offset", "5m", "--detach"];
    let refused = daemon.cli(words)?;
    ensure!(refused.status == Some(2), "{refused:?}");
    let who = format!("{} (systemd-timesyn) keeps the clock right", service.pid);
    ensure!(refused.stderr.contains(&who), "{refused:?}");
    ensure!(clock.is(0.0) && !service.stands_still());

    let run = start(&daemon, "--offset 5m --time-service stop")?;
    ensure!(wait_until(LONG, || service.stands_still()));
    // It would have noticed at once (`TFD_TIMER_CANCEL_ON_SET`), asked us, and set the clock right.
    std::thread::sleep(Duration::from_secs(5));
    ensure!(clock.is(300.0), "{} s ahead", clock.ahead());
    let told = run.revert()?;
    ensure!(clock.is(0.0), "{} s ahead: {told:?}", clock.ahead());
    ensure!(told.word("/faults/0/verdict") == "effective", "{told:?}");
    ensure!(wait_until(LONG, || !service.stands_still() && service.is_active()));

    let run = start(&daemon, "--offset -1h --time-service stop")?;
    ensure!(wait_until(LONG, || service.stands_still()));
    daemon.kill(Signal::SIGKILL)?;
    let back = || !service.stands_still() && clock.is(0.0);
    ensure!(wait_until(LONG, back), "{} s ahead", clock.ahead());
    drop(run);
    ensure!(service.is_active() && wait_until(BOOTS, is_in_sync));
    ensure!(clock.is(0.0), "{} s ahead", clock.ahead());
    Ok(())
}
