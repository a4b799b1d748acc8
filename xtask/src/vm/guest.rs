//! One guest from its start to its end.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::accelerator::Accelerator;
use super::emulator::Emulator;
use super::interrupt::{self, Supervised};
use super::kernel::Kernel;
use super::size::Size;
use super::work::Work;
use super::{initramfs, qemu, share};

/// How many of the console's last lines tell what went wrong.
const CONSOLE_TAIL: usize = 30;
const CHUNK: usize = 64 * 1024;

/// Takes what the guest prints as it comes; an error ends the guest.
pub type Sink<'a> = dyn FnMut(&[u8]) -> std::io::Result<()> + Send + 'a;

/// How a guest ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status of the command: 128 and the signal's number if one killed it.
    pub status: u8,
    /// What the guest's kernel complained of meanwhile.
    pub complaints: Vec<String>,
}

#[expect(
    clippy::too_many_arguments,
    reason = "a guest is made of these, and they are put together in one place"
)]
/// Boots the kernel and runs the script in it. Fails when the guest itself did, with the end of
/// its console.
pub fn run(
    lab: &Path,
    emulator: &Emulator,
    kernel: &Kernel,
    accelerator: Accelerator,
    size: &Size,
    script: &[u8],
    out: &mut Sink,
    err: &mut Sink,
) -> Result<Ended> {
    let work = Work::new(&lab.join("run"))?;
    let dir = work.dir();
    let initrd = initramfs::write(kernel, dir, script)?;
    scratch(&dir.join(qemu::DISK), size.disk)?;
    // Dropped after the guest, which would hang without it.
    let _share = share::start(dir)?;
    let command = qemu::guest(emulator, kernel, accelerator, size, &initrd, dir)?;
    let (guest, pipes) = Supervised::start(&command)?;
    let guest = &guest;
    let ended = std::thread::scope(|scope| {
        let out = scope.spawn(|| pump(pipes.out, out, guest));
        let err = scope.spawn(|| pump(pipes.err, err, guest));
        let ended = guest.wait(size.timeout);
        guest.kill();
        for pump in [out, err] {
            pump.join()
                .map_err(|_| anyhow!("failed to read what the guest prints"))??;
        }
        ended
    })?;
    interrupt::check()?;
    let console = qemu::console(dir);
    let Some(qemu_status) = ended else {
        let seconds = size.timeout.as_secs();
        return Err(anyhow!("the guest did not end within {seconds} s").context(tail(&console)));
    };
    let status = std::fs::read_to_string(dir.join(qemu::STATUS)).unwrap_or_default();
    let Ok(status) = status.trim().parse() else {
        return Err(anyhow!(
            "the guest gave no exit status (QEMU: {qemu_status})\n{}{}{}",
            qemu::log(dir),
            share::log(dir),
            tail(&console)
        ));
    };
    Ok(Ended {
        status,
        complaints: complaints(&console),
    })
}

fn pump(mut from: impl std::io::Read, to: &mut Sink, guest: &Supervised) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("failed to read what the guest prints"),
        };
        if let Err(error) = to(&buffer[..n]) {
            guest.kill();
            return Err(error).context("failed to write what the guest prints");
        }
    }
}

/// A file that takes room only as it is written.
fn scratch(path: &Path, mib: u64) -> Result<()> {
    File::create(path)
        .and_then(|file| file.set_len(mib << 20))
        .with_context(|| format!("failed to create {}", path.display()))
}

fn tail(console: &str) -> String {
    let lines: Vec<_> = console.lines().collect();
    let last = &lines[lines.len().saturating_sub(CONSOLE_TAIL)..];
    format!("the end of the guest's console:\n{}", last.join("\n"))
}

/// Lines in which a kernel says that it went wrong.
fn complaints(console: &str) -> Vec<String> {
    const SIGNS: [&str; 6] = [
        "BUG:",
        "WARNING:",
        "Oops:",
        "Kernel panic",
        "soft lockup",
        "leaked",
    ];
    console
        .lines()
        .filter(|line| SIGNS.iter().any(|sign| line.contains(sign)))
        .map(|line| line.trim_end().to_owned())
        .collect()
}
