//! System packages: the only list of programs that the tests and the demonstration start.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::is_root;
use crate::step;

/// A Debian or Ubuntu package and the program we want of it.
struct Package {
    program: &'static str,
    package: &'static str,
}

/// What the tests and the demonstration start, each with its reason. The product itself starts
/// none of them.
const TESTS: [Package; 5] = [
    // Makes the network namespaces and veth pairs of the laboratory.
    Package {
        program: "ip",
        package: "iproute2",
    },
    // Shows that no qdisc and no filter is left behind.
    Package {
        program: "tc",
        package: "iproute2",
    },
    // Turns GRO on, so that super-packets reach the programs as they do on real hosts.
    Package {
        program: "ethtool",
        package: "ethtool",
    },
    // ICMP and ICMPv6, which no socket of ours speaks.
    Package {
        program: "ping",
        package: "iputils-ping",
    },
    // The kernel loads veth and the qdiscs through it where they are modules.
    Package {
        program: "modprobe",
        package: "kmod",
    },
];

/// What the tests of DNS faults start. They are skipped, saying so, where it is not there.
const DNS: [Package; 4] = [
    // A real server, of which this package installs the program alone: a package with a service
    // would start a resolver on this machine.
    Package {
        program: "dnsmasq",
        package: "dnsmasq-base",
    },
    // Says whether an answer is well formed.
    Package {
        program: "dig",
        package: "bind9-dnsutils",
    },
    // Thousands of queries a second, of which it counts the lost.
    Package {
        program: "dnsperf",
        package: "dnsperf",
    },
    // musl's resolver beside glibc's.
    Package {
        program: "musl-gcc",
        package: "musl-tools",
    },
];

/// What the tests of disks start. They are skipped, saying so, where it is not there.
const DISKS: [Package; 5] = [
    // Disks that are files.
    Package {
        program: "losetup",
        package: "mount",
    },
    // Volumes, as LVM makes them.
    Package {
        program: "dmsetup",
        package: "dmsetup",
    },
    Package {
        program: "mkfs.ext4",
        package: "e2fsprogs",
    },
    Package {
        program: "mkfs.xfs",
        package: "xfsprogs",
    },
    // One file system on several disks.
    Package {
        program: "mkfs.btrfs",
        package: "btrfs-progs",
    },
];

/// The container runtimes whose names the tests resolve, in guests of the laboratory. They are skipped,
/// saying so, where one is not there.
const RUNTIMES: [Package; 9] = [
    Package {
        program: "crun",
        package: "crun",
    },
    Package {
        program: "runc",
        package: "runc",
    },
    Package {
        program: "conmon",
        package: "conmon",
    },
    Package {
        program: "podman",
        package: "podman",
    },
    // podman's networks, which it does without their names.
    Package {
        program: "/usr/lib/podman/netavark",
        package: "netavark",
    },
    Package {
        program: "containerd",
        package: "containerd",
    },
    // The networks of pods.
    Package {
        program: "/usr/lib/cni/bridge",
        package: "containernetworking-plugins",
    },
    Package {
        program: "dockerd",
        package: "docker.io",
    },
    // dockerd and netavark do not start without it.
    Package {
        program: "iptables",
        package: "iptables",
    },
];

/// What the tests of experiments start. They are skipped, saying so, where it is not there.
const EXPERIMENTS: [Package; 4] = [
    // The database of a shop, and what asks much of it.
    Package {
        program: "redis-server",
        package: "redis-server",
    },
    // The shop's customers.
    Package {
        program: "wrk",
        package: "wrk",
    },
    // Scrapes chaosd, and is asked by probes.
    Package {
        program: "prometheus",
        package: "prometheus",
    },
    // Says whether metrics are well formed.
    Package {
        program: "promtool",
        package: "prometheus",
    },
];

/// What the tests of reports look at them with. They are skipped, saying so, where it is not there.
const REPORTS: [Package; 4] = [
    // Shows pages in light, in dark and in print.
    Package {
        program: "chromium",
        package: "chromium",
    },
    // Reads what is printed.
    Package {
        program: "pdftotext",
        package: "poppler-utils",
    },
    // Says whether XML is well formed.
    Package {
        program: "xmllint",
        package: "libxml2-utils",
    },
    // Says whether records are valid by their schema.
    Package {
        program: "jsonschema",
        package: "python3-jsonschema",
    },
];

/// A bus, for a systemd of the tests' own.
const BUS: [Package; 1] = [Package {
    program: "dbus-daemon",
    package: "dbus-daemon",
}];

/// What `bench resources` measures by, and beside.
const RESOURCES: [Package; 2] = [
    Package {
        program: "stress-ng",
        package: "stress-ng",
    },
    Package {
        program: "fio",
        package: "fio",
    },
];

/// What the laboratory of kernels takes besides.
const LABORATORY: [Package; 5] = [
    Package {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
    },
    // All there is in the initramfs. The dynamic busybox would start nothing there.
    Package {
        program: "busybox",
        package: "busybox-static",
    },
    Package {
        program: "cpio",
        package: "cpio",
    },
    // Finds, and in the guest loads, the kernel's modules.
    Package {
        program: "depmod",
        package: "kmod",
    },
    // The modules are compressed.
    Package {
        program: "xz",
        package: "xz-utils",
    },
];

/// Shares this machine's root with the guest. Debian 12 ships it with QEMU; later releases have a
/// package of its own, which is asked for only when QEMU did not bring it.
const SHARE: [Package; 1] = [Package {
    program: "virtiofsd",
    package: "virtiofsd",
}];

/// What a guest with systemd as its first process takes besides.
const SYSTEMD: [Package; 2] = [
    Package {
        program: "systemd",
        package: "systemd",
    },
    // systemctl and others ask systemd over it.
    Package {
        program: "dbus-daemon",
        package: "dbus",
    },
];

/// Where Debian keeps the programs that are no user's to start.
const ELSEWHERE: [&str; 5] = [
    "/usr/sbin",
    "/sbin",
    "/usr/lib/qemu",
    "/usr/libexec",
    "/lib/systemd",
];

/// Brings what the tests run.
pub fn for_tests() -> Result<()> {
    ensure("system packages", "the tests need", &TESTS)?;
    step::nothing_to_do("system packages", "all there");
    for (label, who, packages) in [
        ("DNS packages", "the tests of DNS faults need", &DNS[..]),
        ("disk packages", "the tests of disks need", &DISKS),
        ("load generators", "bench resources needs", &RESOURCES),
        ("D-Bus", "the tests of units need", &BUS),
        ("browser", "the tests of reports need", &REPORTS),
    ] {
        if let Err(error) = ensure(label, who, packages) {
            step::nothing_to_do(label, &format!("not all there: {error:#}"));
        }
    }
    for (label, who, packages) in [
        (
            "container runtimes",
            "the tests of names need",
            &RUNTIMES[..],
        ),
        (
            "databases and Prometheus",
            "the tests of experiments need",
            &EXPERIMENTS,
        ),
    ] {
        let without_services = NoServices::here();
        if let Err(error) = without_services.and_then(|_kept| ensure(label, who, packages)) {
            step::nothing_to_do(label, &format!("not all there: {error:#}"));
        }
    }
    Ok(())
}

/// What every package asks before it starts its service (invoke-rc.d(8), deb-systemd-invoke(1p)).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// While it lives, no package that is installed starts its service: dockerd would change this machine's
/// network, and is wanted in guests alone.
struct NoServices {
    /// It was we who forbade it.
    ours: bool,
}

impl NoServices {
    fn here() -> Result<Self> {
        let ours = is_root() && !Path::new(POLICY).exists();
        if ours {
            use std::os::unix::fs::PermissionsExt as _;
            // 101: the action is not allowed.
            std::fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .and_then(|()| {
                    std::fs::set_permissions(POLICY, std::fs::Permissions::from_mode(0o755))
                })
                .with_context(|| format!("failed to write {POLICY}"))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            step::note(&format!("{POLICY} is left over: {error}"));
        }
    }
}

/// Brings what the laboratory of kernels runs.
pub fn for_laboratory() -> Result<()> {
    ensure("laboratory packages", "the laboratory needs", &LABORATORY)?;
    ensure("virtiofsd", "the laboratory needs", &SHARE)
}

/// Brings what a guest with systemd runs.
pub fn for_systemd() -> Result<()> {
    ensure("systemd", "a guest with systemd needs", &SYSTEMD)
}

/// Where a program of the lists is.
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH often lacks sbin, where these programs are.
    // A whole path is where it is.
    std::env::split_paths(&path)
        .chain(ELSEWHERE.map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|program| program.is_file())
}

/// Installs what is missing when root; else fails with the line that does it.
fn ensure(label: &str, who: &str, packages: &[Package]) -> Result<()> {
    let mut missing: Vec<_> = packages
        .iter()
        .filter(|p| !is_there(p.program))
        .map(|p| p.package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if path_of("apt-get").is_none() {
        bail!("{who} these packages, by their Debian names: {list}");
    }
    if !is_root() {
        bail!("{who} system packages; run: sudo apt-get install -y {list}");
    }
    let label = format!("{label}: {list}");
    step::quiet(&label, || {
        install(&missing).or_else(|_| {
            // The lists of a fresh machine are empty or old.
            step::output(Command::new("apt-get").args(["-q", "update"]))?;
            install(&missing)
        })
    })
}

fn install(packages: &[&str]) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-q", "install", "-y", "--no-install-recommends"])
        .args(packages);
    step::output(&mut apt).map(drop)
}

fn is_there(program: &str) -> bool {
    match path_of(program) {
        None => false,
        Some(path) if program == "busybox" => is_static(&path),
        Some(_) => true,
    }
}

/// A program without an interpreter (`PT_INTERP`) asks for no library.
fn is_static(program: &Path) -> bool {
    let Ok(bytes) = std::fs::read(program) else {
        return false;
    };
    let head = &bytes[..bytes.len().min(4096)];
    !head.windows(8).any(|window| window == b"/ld-linu")
}
