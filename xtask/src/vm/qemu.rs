//! The command lines of QEMU.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::accelerator::Accelerator;
use super::emulator::Emulator;
use super::kernel::Kernel;
use super::share;
use super::size::Size;

/// The files of a run, in its directory.
pub const DISK: &str = "disk";
pub const STATUS: &str = "status";
const CONSOLE: &str = "console";
const LOG: &str = "qemu.log";

/// The processor of a guest that is translated. Kernels take "enhanced rep movsb" for the fastest way to
/// copy and to clear, while a translator goes round for each byte of it.
const TRANSLATED: &str = "max,-erms,-fsrm";

/// Hands our standard output and error to QEMU as files of its own, for the guest's ports; what
/// QEMU has to say itself goes to a log.
const BEHIND: &str = r#"exec "$@" 3>&1 4>&2 >qemu.log 2>&1"#;

/// A guest that runs the command in its initramfs over the shared root.
pub fn guest(
    emulator: &Emulator,
    kernel: &Kernel,
    accelerator: Accelerator,
    size: &Size,
    initrd: &Path,
    work: &Path,
) -> Result<Command> {
    let mut words = format!("lab.kernel={}", kernel.dir.display());
    if size.systemd {
        words.push_str(" lab.systemd");
    }
    let mut qemu = base(emulator, kernel, accelerator, initrd, work, &words)?;
    let memory = size.memory;
    qemu.arg("-smp").arg(size.cpus.to_string());
    qemu.arg("-m").arg(format!("{memory}M"));
    // The share reads and writes the guest's memory, which must be a file for that.
    qemu.arg("-object").arg(format!(
        "memory-backend-memfd,id=memory,size={memory}M,share=on"
    ));
    qemu.args(["-machine", "memory-backend=memory"]);
    qemu.arg("-chardev")
        .arg(format!("socket,id=share,path={}", share::SOCKET));
    qemu.args([
        "-device",
        "vhost-user-fs-pci,chardev=share,tag=host,queue-size=1024",
    ]);
    // It is thrown away, so nothing has to reach the platter.
    qemu.arg("-drive").arg(format!(
        "file={DISK},format=raw,if=none,id=scratch,cache=unsafe"
    ));
    qemu.args(["-device", "virtio-blk-pci,drive=scratch"]);
    qemu.args(["-add-fd", "fd=3,set=1", "-add-fd", "fd=4,set=2"]);
    qemu.args(["-device", "virtio-serial-pci"]);
    for (port, path) in [
        ("out", "/dev/fdset/1"),
        ("err", "/dev/fdset/2"),
        ("status", STATUS),
    ] {
        qemu.arg("-chardev")
            .arg(format!("file,id={port},path={path},append=on"));
        qemu.arg("-device")
            .arg(format!("virtserialport,chardev={port},name={port}"));
    }
    Ok(qemu)
}

/// A guest that only boots, under KVM.
pub fn probe(kernel: &Kernel, initrd: &Path, work: &Path) -> Result<Command> {
    let emulator = Emulator::own()?;
    let mut qemu = base(
        &emulator,
        kernel,
        Accelerator::Kvm,
        initrd,
        work,
        "lab.probe",
    )?;
    qemu.args(["-m", "512M"]);
    Ok(qemu)
}

fn base(
    emulator: &Emulator,
    kernel: &Kernel,
    accelerator: Accelerator,
    initrd: &Path,
    work: &Path,
    words: &str,
) -> Result<Command> {
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg if emulator.threads => ("tcg,thread=multi", TRANSLATED),
        Accelerator::Tcg => ("tcg,thread=single", TRANSLATED),
    };
    let mut qemu = Command::new("sh");
    qemu.current_dir(work)
        .args(["-c", BEHIND, "sh"])
        .arg(&emulator.program)
        .args(["-machine", "q35", "-accel", accel, "-cpu", cpu])
        .args(["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"])
        .arg("-kernel")
        .arg(kernel.image()?)
        .arg("-initrd")
        .arg(initrd)
        .arg("-serial")
        .arg(format!("file:{CONSOLE}"))
        .arg("-append")
        // A panic reboots, which ends QEMU. The mitigations cost much under a translator.
        .arg(format!(
            "console=ttyS0 quiet loglevel=5 panic=-1 mitigations=off no_timer_check cgroup_no_v1=all {words}"
        ));
    for dir in &emulator.data {
        qemu.arg("-L").arg(dir);
    }
    Ok(qemu)
}

/// What the guest's console shows so far.
pub fn console(work: &Path) -> String {
    let bytes = std::fs::read(work.join(CONSOLE)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What QEMU said.
pub fn log(work: &Path) -> String {
    std::fs::read_to_string(work.join(LOG)).unwrap_or_default()
}
