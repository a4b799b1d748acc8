//! A fault does not cut its own off-switch: neighbour discovery, DHCP and live SSH sessions pass,
//! unless they are asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use support::ping::ping;
use support::udp::{Flow, flow};
use support::{Daemon, Family, Lab, Node, Options, Run, run, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

/// Forgets the neighbour, pings it once, and says whether its link-layer address is known again.
fn neighbour_answers(node: &Node, other: &Node, family: Family) -> Result<bool> {
    let address = other.address_facing(node, family)?.to_string();
    let ip = |args: &[&str]| node.enter(|| run("ip", args))?;
    ip(&["neigh", "flush", "to", &address])?;
    ping(node, other, family, 1)?;
    Ok(ip(&["neigh", "show", "to", &address])?.contains("lladdr"))
}

/// Datagrams between the ports of DHCP and of `DHCPv6` that arrive, of 10.
fn dhcp(from: &Node, to: &Node, family: Family) -> Result<u64> {
    let (source_port, port) = match family {
        Family::V4 => (68, 67),
        Family::V6 => (546, 547),
    };
    let asked = Flow {
        family,
        datagrams: 10,
        source_port,
        port,
        settle: Duration::from_millis(100),
        ..Flow::default()
    };
    Ok(flow(from, to, &asked)?.received)
}

#[test]
fn neighbours_are_found_and_dhcp_passes_in_a_partition_of_everything() -> Result<()> {
    let lab = Lab::new("protected")?;
    let daemon = Daemon::start(&Options::default())?;
    let run = Run::inject(&daemon, lab.target(), "partition")?;
    for family in Family::BOTH {
        assert_eq!(
            ping(lab.target(), lab.peer(), family, 1)?,
            0,
            "it is a partition"
        );
        for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
            assert!(neighbour_answers(from, to, family)?, "{family:?}");
            assert_eq!(dhcp(from, to, family)?, 10, "{family:?}");
        }
    }
    drop(run.revert()?);
    Ok(())
}

#[test]
fn the_protected_set_is_hit_when_asked_for() -> Result<()> {
    let lab = Lab::new("unprotected")?;
    let daemon = Daemon::start(&Options::default())?;
    let run = Run::inject(&daemon, lab.target(), "partition --unprotected")?;
    for family in Family::BOTH {
        for (from, to) in [(lab.target(), lab.peer()), (lab.peer(), lab.target())] {
            assert_eq!(dhcp(from, to, family)?, 0, "{family:?}");
        }
        assert!(
            !neighbour_answers(lab.target(), lab.peer(), family)?,
            "{family:?}"
        );
    }
    drop(run.revert()?);
    for family in Family::BOTH {
        let answers = || ping(lab.target(), lab.peer(), family, 1).is_ok_and(|n| n == 1);
        assert!(wait_until(PATIENCE, answers), "{family:?}");
    }
    Ok(())
}

/// A process, ended with this value.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // One that has ended already is what we want.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A process is an SSH server by its name: this one echoes lines over one connection.
#[test]
fn a_live_ssh_session_goes_on_in_a_partition_and_plan_shows_it() -> Result<()> {
    let lab = Lab::new("ssh")?;
    let daemon = Daemon::start(&Options::default())?;
    for family in Family::BOTH {
        let address = SocketAddr::new(lab.peer().address_facing(lab.target(), family)?, 0);
        let listener = lab.peer().enter(|| TcpListener::bind(address))??;
        let address = listener.local_addr()?;
        let script = daemon.file(
            "sshd-session",
            &format!(
                "#!/bin/bash\nexec 3<>/dev/tcp/{}/{}\nwhile read -r -u 3 line; do echo \"$line\" >&3; done\n",
                address.ip(),
                address.port()
            ),
        )?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700))?;
        let start = || Command::new(&script).stdin(Stdio::null()).spawn();
        let _session = Ends(lab.target().enter(start)?.context("failed to start bash")?);
        let session = listener.accept()?.0;
        session.set_read_timeout(Some(Duration::from_millis(600)))?;
        let mut lines = BufReader::new(session.try_clone()?);
        let mut talks = || -> bool {
            let mut line = String::new();
            (&session).write_all(b"still there\n").is_ok()
                && lines.read_line(&mut line).is_ok()
                && line == "still there\n"
        };
        assert!(talks(), "{family:?}");

        let plan = [
            "plan",
            "inject",
            "partition",
            "--netns",
            lab.target().netns(),
        ];
        let plan = daemon.cli(plan)?;
        assert!(
            plan.stdout.contains(&address.to_string()),
            "the session {address} is listed: {plan:?}"
        );
        let run = Run::inject(&daemon, lab.target(), "partition")?;
        assert_eq!(ping(lab.target(), lab.peer(), family, 1)?, 0);
        assert!(talks(), "{family:?}: the session goes on");
        drop(run.revert()?);
        let run = Run::inject(&daemon, lab.target(), "partition --unprotected")?;
        assert!(!talks(), "{family:?}: the session hangs");
        drop(run.revert()?);
    }
    Ok(())
}
